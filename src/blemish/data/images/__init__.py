"""Images: reading files and arrays, and the one preprocessing."""
