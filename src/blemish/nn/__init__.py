"""Blocks shared by two methods or more."""
