"""History: what was judged, what people said, and which limits were in force."""
