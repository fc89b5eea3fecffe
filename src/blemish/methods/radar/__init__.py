"""RADAR: one step of a diffusion model."""
