"""Trio: three measures of one frozen teacher."""
