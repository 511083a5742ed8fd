"""How the kernel is told: a policy becomes a plan, and the plan a list of system calls."""
