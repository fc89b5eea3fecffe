"""HFR: hierarchical feature reconstruction."""
