#!/usr/bin/env python3
"""Checks the symbols of the static libraries: what they export begins with pq_, and they call
nothing that ends the process or writes to stdout.

names.py [--nm PROGRAM] LIBRARY...
"""
import argparse
import re
import subprocess
import sys

import tree

# _exit() is for forked children and not here. The stack protector and the sanitizers call their
# own functions.
FORBIDDEN = {"abort", "exit", "quick_exit", "printf", "vprintf", "puts", "putchar", "stdout",
             "perror", "__printf_chk", "__vprintf_chk", "__assert_fail", "err", "errx", "verr",
             "error"}

# The log's default sink.
STDERR_USERS = {"log.c.o"}

# Instrumentation for coverage and sanitizers adds symbols of its own.
INSTRUMENTATION = re.compile(r"__(asan|ubsan|gcov|llvm|sancov|start___|stop___|odr_asan|sanitizer)"
                             r"|_(asan|ubsan)|mangled")


def check_symbols(library, lines):
    """`lines` as `nm -g -P -A` prints them: FILE[MEMBER]: SYMBOL TYPE ..."""
    for line in lines:
        match = re.match(r"(?P<where>.*?): (?P<name>\S+) (?P<kind>\S)", line)
        if match is None:
            continue
        name, kind = match["name"], match["kind"]
        member = re.search(r"\[(.*?)\]", match["where"]) or ("", "?")
        where = f"{library}({member[1]})"
        if kind in "Uwv":
            name = name.partition("@")[0]
            if name in FORBIDDEN or (name == "stderr" and member[1] not in STDERR_USERS):
                yield f"{where}: uses {name}"
        elif not name.startswith("pq_") and not INSTRUMENTATION.match(name):
            yield f"{where}: exports {name}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("libraries", nargs="*")
    options = parser.parse_args()
    if not options.libraries:
        print("no libraries given")
        return tree.SKIPPED
    problems = []
    for library in options.libraries:
        done = subprocess.run([options.nm, "-g", "-P", "-A", library], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0 or not done.stdout:
            problems.append(f"{library}: {options.nm} says {done.stderr.strip() or 'nothing'}")
        name = library.rpartition("/")[2]
        problems.extend(check_symbols(name, done.stdout.splitlines()))
    return tree.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
