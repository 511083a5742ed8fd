"""What is allowed: profiles, their meaning and their order."""
