"""Report: one HTML file of what a model finds and what it misses."""
