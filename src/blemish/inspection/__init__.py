"""Inspection: from pixels to a prediction; torch-free."""
