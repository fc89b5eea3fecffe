"""Model file: what is written, what is read, and what opens it."""
