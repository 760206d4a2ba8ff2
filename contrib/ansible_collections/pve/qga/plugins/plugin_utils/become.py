# Copyright: (c) 2026, the pve-qga-run project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0
"""What programs for ``become`` say before the command begins, and what is to be said to them."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible.plugins.become import BecomeBase


def password_error(become: BecomeBase, output: bytes) -> t.Optional[str]:
    """What is wrong with the password if ``output`` complains about it, or None."""
    missing = "%s wants a password (ansible_become_password)" % become.name
    if become.check_missing_password(output):
        return missing
    if become.check_incorrect_password(output):
        return "Incorrect %s password" % become.name if become.get_option("become_pass") else missing
    return None


class BecomeDialog:
    """A command's output until the program for ``become`` has made way for the command.

    Call ``advance()`` after each arrival of output; it takes the program's own words out of it. What is to
    be written to the command's stdin is then in ``answer``. The dialog is over when ``succeeded`` is true
    or ``advance()`` tells a problem.
    """

    def __init__(self, become: BecomeBase, password: bytes) -> None:
        self.answer = b""
        self.succeeded = False
        self._become = become
        self._password = password
        self._asked = False

    def take_answer(self) -> bytes:
        answer, self.answer = self.answer, b""
        return answer

    def advance(self, stdout: bytearray, stderr: bytearray) -> t.Optional[str]:
        """Looks at all output there is. Returns what is wrong, or None."""
        marker = stdout.find(self._become.success.encode("ascii"))
        line_end = stdout.find(b"\n", marker) if marker >= 0 else -1
        if line_end >= 0:
            del stdout[: line_end + 1]
            self.succeeded = True
            return None
        problem = password_error(self._become, bytes(stdout + stderr))
        if problem:
            return problem
        for stream in (stderr, stdout):
            if any(self._become.check_password_prompt(line) for line in bytes(stream).splitlines()):
                if self._asked:
                    return "Incorrect %s password" % self._become.name
                # It waits for the answer, so all that it has said until now is its own.
                stream.clear()
                self._asked = True
                self.answer = self._password + b"\n"
        return None
