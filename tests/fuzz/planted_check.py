#!/usr/bin/env python3
"""Checks that the fuzz drivers find the bugs of planted_fuzz.c, and only those.

planted_check.py [--address-sanitizer] [--fuzzer PROGRAM] REPLAY_PROGRAM
"""
import argparse
import pathlib
import signal
import subprocess
import sys
import tempfile

TRAPS = (-signal.SIGILL, -signal.SIGTRAP, -signal.SIGABRT)


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=240)
    return done.returncode, done.stdout + done.stderr


def trapped(status, output):
    return status in TRAPS or (status > 0 and "ILL on unknown address" in output) or (
        status > 0 and "deadly signal" in output)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address-sanitizer", action="store_true")
    parser.add_argument("--fuzzer")
    parser.add_argument("replay")
    options = parser.parse_args()
    failures = []

    def check(what, good, output):
        if not good:
            failures.append(f"{what}:\n{output}")

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, content in (("harmless", b"HELLO"), ("trap", b"T!rap"), ("overflow", b"O!"),
                              ("near", b"U!")):
            (root / name).mkdir()
            (root / name / "input").write_bytes(content)
        (root / "empty").mkdir()

        status, output = run(options.replay, str(root / "harmless"))
        check("a harmless input passes", status == 0 and "1 inputs" in output, output)
        status, output = run(options.replay, str(root / "trap"))
        check("a trap is found", trapped(status, output), output)
        status, output = run(options.replay, str(root / "near"))
        check("an input one changed bit away is found", trapped(status, output), output)
        status, output = run(options.replay, str(root / "empty"))
        check("a corpus without inputs fails", status == 1, output)
        status, output = run(options.replay, str(root / "missing"))
        check("a missing corpus fails", status == 1, output)
        if options.address_sanitizer:
            status, output = run(options.replay, str(root / "overflow"))
            check("a read behind the input is found",
                  status != 0 and "heap-buffer-overflow" in output, output)
        if options.fuzzer:
            status, output = run(options.fuzzer, "-runs=2000000", "-seed=1", "-max_len=8",
                                 f"-artifact_prefix={folder}/")
            check("the fuzzer finds a bug from nothing",
                  status != 0 and list(root.glob("crash-*")), output)
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
