"""Methods: the published systems, a folder each."""
