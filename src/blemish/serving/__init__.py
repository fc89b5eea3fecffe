"""A model behind HTTP, and a page on which people look, decide and set the limits again."""
