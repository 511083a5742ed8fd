"""Where enforcer keeps things: images, volumes and caches in a store, run-time state apart. On the launch path."""

from __future__ import annotations

import os

from enforcer.errors import HostError
from enforcer.runtime import state


def store() -> str:
    """Return the store's directory: $ENFORCER_STORE, /var/lib/enforcer, or the user's own data directory."""
    chosen = os.environ.get("ENFORCER_STORE")
    if chosen:
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/enforcer"
    return os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "enforcer")


def run_state() -> str:
    """Return the run-time directory: $ENFORCER_STATE, or as `state.root` says."""
    chosen = os.environ.get("ENFORCER_STATE")
    return os.path.abspath(chosen) if chosen else state.root(os.geteuid())


def cache(name: str) -> str:
    """Return one of the store's caches ("plans", "seccomp", "facts"), made with mode 0700 if missing. Raises HostError."""
    return state.directory(state.directory(state.directory(store()) + "/cache") + f"/{name}")


def volumes() -> str:
    """Return the directory of the named volumes, made with mode 0700 if missing. Raises HostError."""
    return state.directory(state.directory(store()) + "/volumes")


def working_directory() -> str:
    """Return the absolute directory that relative paths of the command line start from. Raises HostError when it is gone."""
    try:
        return os.getcwd()
    except OSError as error:
        raise HostError("the working directory is gone", why=error.strerror or "", hint="cd to one that exists") from error
