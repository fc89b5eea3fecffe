"""RD: reverse distillation."""
