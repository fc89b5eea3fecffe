"""Outputs: what a run writes of its predictions."""
