"""The rules: what was recorded in, service lines and reasons out. Standard library alone."""
