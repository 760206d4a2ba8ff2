"""Guests without a working agent: never started, or with nothing behind the port."""

from __future__ import annotations

from .base import Guest
from .relay import Relay


class SilentGuest(Guest):
    """A running VM whose agent never answers: the port is there, and nobody reads from it."""

    _relay: Relay | None = None

    def start(self) -> None:
        if self._relay is None:
            self._relay = Relay(self.socket_path, self.directory / "no-agent", self.traffic)
            self._relay.start()

    def stop(self) -> None:
        if self._relay is not None:
            self._relay.stop()
            self._relay = None
