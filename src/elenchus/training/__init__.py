"""Training loops that the stages call."""
