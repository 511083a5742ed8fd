"""Decoy services, each of which counts who comes: what it counts is evidence that no payload can make up."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from dataclasses import dataclass, field

METADATA = "169.254.169.254"
ATTACKER = "192.0.2.66"  # TEST-NET-1: belongs to nobody (RFC 5737)
LOOPBACK_PORT = 5432
ABSTRACT = "payroll-service/control"
DOCKER = "/run/docker.sock"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR = 0x8913, 0x8914, 0x8916
_IFF_UP = 1


@dataclass
class Services:
    """Everything that listens. hits: name of the attempt → how many came."""

    canary: str
    hits: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Give the stage's own loopback the addresses, and listen."""
        _address("lo", "")
        _address("lo:metadata", METADATA)
        _address("lo:attacker", ATTACKER)
        inet, local, stream, datagram = socket.AF_INET, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
        self._listen("metadata", inet, stream, (METADATA, 80))
        self._listen("tcp", inet, stream, (ATTACKER, 443))
        self._listen("udp", inet, datagram, (ATTACKER, 4433))
        self._listen("dns", inet, datagram, (ATTACKER, 53))
        self._listen("loopback", inet, stream, ("127.0.0.1", LOOPBACK_PORT))
        self._listen("abstract", local, stream, "\0" + ABSTRACT)
        self._listen("docker_socket", local, stream, DOCKER)

    def _listen(self, name: str, family: int, kind: int, address: tuple[str, int] | str) -> None:
        listener = socket.socket(family, kind)
        listener.bind(address)
        if address == DOCKER:
            os.chmod(DOCKER, 0o666)  # it is not its mode that refuses
        self.hits[name] = 0
        serve = self._accept if kind == socket.SOCK_STREAM else self._receive
        if kind == socket.SOCK_STREAM:
            listener.listen()
        threading.Thread(target=serve, args=(name, listener), daemon=True).start()

    def _accept(self, name: str, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            self.hits[name] += 1
            with connection:
                connection.recv(4096)
                connection.send(self.canary.encode())

    def _receive(self, name: str, listener: socket.socket) -> None:
        while True:
            _, sender = listener.recvfrom(4096)
            self.hits[name] += 1
            listener.sendto(self.canary.encode(), sender)


def _address(label: str, address: str) -> None:
    """Give the loopback one more address (netdevice(7)), or bring it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if address:
            name = struct.pack("16sH2x4s8x", label[:15].encode(), socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(control, _SIOCSIFADDR, name)
        else:
            flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", label.encode(), 0))
            up = struct.unpack("16xH14x", flags)[0] | _IFF_UP
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", label.encode(), up))
