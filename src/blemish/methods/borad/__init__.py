"""BoRAD: one model for all products, no labels."""
