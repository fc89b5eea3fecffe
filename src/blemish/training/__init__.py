"""Training: from a data set to a trained method; its loop; the batches that feed it."""
