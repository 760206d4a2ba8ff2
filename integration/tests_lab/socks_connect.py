"""Connects through the lab's SOCKS5 proxy and passes bytes between it and stdin and stdout: ssh's ``ProxyCommand``.

Usage: socks_connect.py PROXY_PORT USER PASSWORD HOST PORT
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading


def connect(proxy_port: int, user: str, password: str, host: str, port: int) -> tuple[socket.socket, int]:
    """The connection, and the proxy's reply code; -1 for a refused login."""
    sock = socket.create_connection(("127.0.0.1", proxy_port))
    sock.sendall(b"\x05\x01\x02")
    assert sock.recv(2, socket.MSG_WAITALL) == b"\x05\x02"
    sock.sendall(b"\x01" + b"".join(bytes([len(text)]) + text.encode() for text in (user, password)))
    if sock.recv(2, socket.MSG_WAITALL) != b"\x01\x00":
        return sock, -1
    sock.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + struct.pack("!H", port))
    return sock, sock.recv(10, socket.MSG_WAITALL)[1]


def main() -> int:
    """Run as ssh's proxy command."""
    port, user, password, host, ssh_port = sys.argv[1:]
    sock, code = connect(int(port), user, password, host, int(ssh_port))
    if code != 0:
        return 1

    def send() -> None:
        while data := os.read(0, 65536):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    while data := sock.recv(65536):
        os.write(1, data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
