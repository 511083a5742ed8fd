"""Each enforcement on the real kernel, from both sides."""
