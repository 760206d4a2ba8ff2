"""A stand-in for QEMU's chardev between a unix socket and a guest agent.

QEMU keeps one lasting connection to the agent and serves the clients of its socket one at a time, with a
backlog of one. ``qemu-ga -m unix-listen`` alone cannot stand in for that: it dies of SIGPIPE when a client
leaves in the middle of an answer. As on a virtio-serial port:

- what the agent says while no client is connected waits for the next client;
- while the agent is away, a client's bytes are not read, and are lost when the client leaves;
- bytes already taken from a client reach the agent even if the client leaves;
- bytes already taken from the agent are lost if the client leaves before they are sent.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from pathlib import Path

from .traffic import Traffic

_CHUNK = 64 * 1024
_RECONNECT_MS = 20
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Relay(threading.Thread):
    """Serves ``listen_path`` and passes bytes to and from the agent that listens on ``agent_path``."""

    def __init__(self, listen_path: Path, agent_path: Path, traffic: Traffic) -> None:
        super().__init__(name=f"relay {listen_path.name}", daemon=True)
        self._agent_path = agent_path
        self._traffic = traffic
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listen_path.unlink(missing_ok=True)
        self._listener.bind(str(listen_path))
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._client: socket.socket | None = None
        self._agent: socket.socket | None = None
        self._to_agent = b""
        self._to_client = b""
        self._stop_read, self._stop_write = os.pipe()

    def stop(self) -> None:
        """Close everything and wait for the thread to end."""
        os.write(self._stop_write, b"x")
        self.join()

    def run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            for sock in (self._client, self._agent, self._listener):
                if sock is not None:
                    sock.close()
            os.close(self._stop_read)
            os.close(self._stop_write)

    def _turn(self) -> bool:
        if self._agent is None:
            self._connect_agent()
        poll = select.poll()
        poll.register(self._stop_read, select.POLLIN)
        if self._client is None:
            poll.register(self._listener, select.POLLIN)
        else:
            poll.register(self._client, self._client_interest())
        if self._agent is not None:
            poll.register(self._agent, self._agent_interest())
        events = dict(poll.poll(None if self._agent is not None else _RECONNECT_MS))
        if self._stop_read in events:
            return False
        client, agent = self._client, self._agent
        if client is None and self._listener.fileno() in events:
            self._accept()
        if agent is not None and agent.fileno() in events:
            self._serve_agent(agent, events[agent.fileno()])
        if client is not None and client is self._client and client.fileno() in events:
            self._serve_client(client, events[client.fileno()])
        return True

    def _client_interest(self) -> int:
        readable = self._agent is not None and not self._to_agent
        return (select.POLLIN if readable else 0) | (select.POLLOUT if self._to_client else 0)

    def _agent_interest(self) -> int:
        readable = self._client is not None and not self._to_client
        return (select.POLLIN if readable else 0) | (select.POLLOUT if self._to_agent else 0)

    def _connect_agent(self) -> None:
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            agent.connect(str(self._agent_path))
        except OSError:
            agent.close()
            return
        agent.setblocking(False)
        self._agent = agent

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            self._client, _ = self._listener.accept()
            self._client.setblocking(False)

    def _serve_client(self, client: socket.socket, event: int) -> None:
        try:
            if event & select.POLLOUT and self._to_client:
                self._to_client = self._to_client[client.send(self._to_client) :]
            if event & select.POLLIN:
                data = client.recv(_CHUNK)
                if not data:
                    return self._drop_client()
                self._traffic.to_agent(data)
                self._to_agent = data
                self._flush_to_agent()
            elif event & _GONE:
                self._drop_client()
        except BlockingIOError:
            pass
        except OSError:
            self._drop_client()

    def _serve_agent(self, agent: socket.socket, event: int) -> None:
        try:
            if event & select.POLLOUT:
                self._flush_to_agent()
            if event & select.POLLIN:
                data = agent.recv(_CHUNK)
                if not data:
                    return self._drop_agent()
                self._traffic.to_client(data)
                self._to_client = data
                self._flush_to_client()
            elif event & _GONE:
                self._drop_agent()
        except BlockingIOError:
            pass
        except OSError:
            self._drop_agent()

    def _flush_to_agent(self) -> None:
        if self._agent is None or not self._to_agent:
            return
        try:
            self._to_agent = self._to_agent[self._agent.send(self._to_agent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop_agent()

    def _flush_to_client(self) -> None:
        if self._client is None or not self._to_client:
            return
        try:
            self._to_client = self._to_client[self._client.send(self._to_client) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop_client()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
        self._to_client = b""

    def _drop_agent(self) -> None:
        if self._agent is not None:
            self._agent.close()
        self._agent = None
        self._to_agent = b""
