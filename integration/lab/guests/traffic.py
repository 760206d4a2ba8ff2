"""Counts what goes between a guest's agent and whoever asks it, by any way."""

from __future__ import annotations

import re
import threading
from collections import Counter

# Inside a JSON text the quotes would have backslashes, so no argument looks like this.
_COMMAND = re.compile(rb'"execute"\s*:\s*"([a-z-]+)"')
_LONGEST = 80


class Traffic:
    """Bytes each way and commands by name, since the last reset. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tail = b""
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._commands: Counter[str] = Counter()
            self._bytes_in = self._bytes_out = 0

    def to_agent(self, data: bytes) -> None:
        """These bytes go to the agent; a command counts when its name is complete."""
        with self._lock:
            self._bytes_in += len(data)
            text = self._tail + data
            for match in _COMMAND.finditer(text):
                if match.end() > len(self._tail):
                    self._commands[match.group(1).decode()] += 1
            self._tail = text[-_LONGEST:]

    def to_client(self, data: bytes) -> None:
        """These bytes come from the agent."""
        with self._lock:
            self._bytes_out += len(data)

    def counts(self) -> tuple[Counter[str], int, int]:
        """Commands, bytes to the agent, bytes from it."""
        with self._lock:
            return self._commands.copy(), self._bytes_in, self._bytes_out
