"""Secrets that lie about: in files, the environment, a keyring, descriptors that somebody left open."""

from __future__ import annotations

import ctypes
import os

from textformat.payload.attempt import TARGETS, NothingError, attempt, note, system

_KEYCTL_READ, _KEYCTL_SEARCH = 11, 10
_KEY_SPEC_SESSION_KEYRING = -3
_HIGHEST_DESCRIPTOR = 256


def steal(path: str) -> None:
    """Read a file that holds a decoy."""
    note.at("openat", path=path)
    with open(path, "rb") as file:
        expect(file.read(1 << 16))


def expect(content: bytes) -> None:
    """Only the decoy's own mark counts as having reached it."""
    if TARGETS.canary.encode() not in content:
        raise NothingError("not there")


@attempt("secrets", "read the SSH private key, ~/.ssh/id_ed25519")
def ssh_key() -> None:
    steal(f"{TARGETS.home}/.ssh/id_ed25519")


@attempt("secrets", "read ~/.aws/credentials")
def aws() -> None:
    steal(f"{TARGETS.home}/.aws/credentials")


@attempt("secrets", "read ~/.config/gcloud/credentials.db")
def gcloud() -> None:
    steal(f"{TARGETS.home}/.config/gcloud/credentials.db")


@attempt("secrets", "read ~/.kube/config")
def kube() -> None:
    steal(f"{TARGETS.home}/.kube/config")


@attempt("secrets", "read ~/.docker/config.json")
def docker() -> None:
    steal(f"{TARGETS.home}/.docker/config.json")


@attempt("secrets", "read ~/.git-credentials")
def git() -> None:
    steal(f"{TARGETS.home}/.git-credentials")


@attempt("secrets", "read /etc/shadow")
def shadow() -> None:
    steal("/etc/shadow")


@attempt("secrets", "take tokens from the environment")
def environment() -> None:
    if not any(TARGETS.canary in value for value in os.environ.values()):
        raise NothingError("not set")


@attempt("secrets", "read a key of the caller's session keyring")
def keyring() -> None:
    key = system("keyctl", _KEYCTL_SEARCH, _KEY_SPEC_SESSION_KEYRING, b"user", b"deploy-token", 0)
    content = ctypes.create_string_buffer(256)
    system("keyctl", _KEYCTL_READ, key, content, len(content))
    expect(content.raw)


@attempt("secrets", "read from a descriptor that was left open")
def descriptor() -> None:
    note.at("pread64", TARGETS.descriptor)
    expect(os.pread(TARGETS.descriptor, 256, 0))
