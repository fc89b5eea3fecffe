"""LogicRD: structural and logical defects."""
