"""Exact metrics as pure functions on raw scores and maps."""
