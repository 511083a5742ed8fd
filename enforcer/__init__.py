"""Run software that is not trusted: nothing is reachable that no clause of its profile grants."""

__version__ = "0.1.0"
