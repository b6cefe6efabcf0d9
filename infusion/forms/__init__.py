"""Forms: what people type, read into facts for the rules."""
