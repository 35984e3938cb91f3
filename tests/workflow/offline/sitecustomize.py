"""Imported by every Python that starts with this folder on PYTHONPATH: sockets lead nowhere but to this machine.

Each attempt to reach elsewhere fails as where there is no network, and is a line in the file ELENCHUS_TEST_SOCKETS.
"""

import ipaddress
import os
import socket
import sys


def outside(host) -> bool:
    """Return whether a host's name or address is none of this machine's."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return False
    try:
        return not (ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified)
    except ValueError:
        return True


def refuse(event: str, arguments: tuple) -> None:
    """Refuse what would leave this machine. event: Python's own name of what a program is about to do."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path: a socket of this machine
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if outside(host):
        with open(os.environ["ELENCHUS_TEST_SOCKETS"], "a") as f:
            f.write(f"{event} {host} by {' '.join(sys.orig_argv)[:300]}\n")
        raise OSError(101, f"Network is unreachable (test): {host}")


if "ELENCHUS_TEST_SOCKETS" in os.environ:
    sys.addaudithook(refuse)
