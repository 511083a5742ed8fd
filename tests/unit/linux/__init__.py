"""What enforcer.linux does without changing the kernel's state: parsing and choosing."""
