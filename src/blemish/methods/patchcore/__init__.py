"""PatchCore: nearest neighbours in a memory of good patches."""
