"""Input that nobody wrote on purpose."""
