"""Pages by who they are for."""
