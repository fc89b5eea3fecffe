"""Calibration: limits from good images, and nowhere else."""
