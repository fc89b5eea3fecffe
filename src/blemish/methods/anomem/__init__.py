"""AnoMem: multi-scale contrasted memory."""
