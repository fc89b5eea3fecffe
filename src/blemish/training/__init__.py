"""Training: fitting, the loop, the feature cache, devices."""
