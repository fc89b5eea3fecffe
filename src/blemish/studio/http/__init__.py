"""HTTP: what the studio answers."""
