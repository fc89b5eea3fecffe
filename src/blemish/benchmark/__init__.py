"""Protocols over data sets and methods."""
