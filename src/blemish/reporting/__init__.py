"""Pictures, tables and reports made from predictions."""
