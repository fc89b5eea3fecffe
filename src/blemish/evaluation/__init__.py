"""Evaluation: metrics over labelled images, diagnostics, timing."""
