"""Images: where their files come from and where they are kept."""
