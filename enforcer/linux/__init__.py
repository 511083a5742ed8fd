"""The only system calls, and the only processes started."""
