"""Runs a program and writes its peak of resident memory, in KiB, to a file.

    python3 -I -S measure.py FILE PROGRAM ARGUMENT...

The kernel counts the memory that a process had before it executed a program, so only a small parent
can measure a small child: this one has about 10 MiB, which is the least it can report.
"""

import os
import sys


def main() -> None:
    pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(str(usage.ru_maxrss))
    sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
