"""pvedaemon: the few synchronous workers that carry out a node's protected calls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

WORKERS = 3
HOP_TIMEOUT_S = 30.0


class HopTimeout(Exception):
    """The worker did not answer within the hop's limit; what it does goes on regardless."""


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001 - handed to the waiting caller
            self._error = error
        self._done.set()

    def wait(self, timeout_s: float) -> Any:
        if not self._done.wait(timeout_s):
            raise HopTimeout
        if self._error is not None:
            raise self._error
        return self._result


class Daemon:
    """One node's workers. A call waits in a queue while all of them are busy."""

    def __init__(self, node: str) -> None:
        self.hop_timeout_s = HOP_TIMEOUT_S
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        for index in range(WORKERS):
            threading.Thread(target=self._serve, name=f"pvedaemon {node} {index}", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()

    def call(self, work: Callable[[], Any]) -> Any:
        """Have a worker do ``work``; return or raise what it does."""
        job = _Job(work)
        self._jobs.put(job)
        return job.wait(self.hop_timeout_s)

    def stop(self) -> None:
        """Let the workers end once they are idle."""
        for _ in range(WORKERS):
            self._jobs.put(None)
