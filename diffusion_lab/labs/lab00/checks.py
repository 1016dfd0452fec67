"""Lab 00: it has no exercises."""
