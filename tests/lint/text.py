#!/usr/bin/env python3
"""Checks how files are written: UTF-8, no trailing white space, a final newline, no tabs or more
than 100 columns in C, fewer than 700 lines, ASCII in guest scripts, clang-format.

PQ_CLANG_FORMAT names another clang-format; versions differ in details, so nothing is checked with
one that is older than 14."""
import os
import re
import shutil
import subprocess
import sys

import tree

SUFFIXES = (".c", ".h", ".def", ".py", ".sh", ".cmake", "CMakeLists.txt", ".json", ".md", ".yml",
            ".yaml", ".toml", ".cfg", ".in", ".1", ".5", ".clang-format", ".editorconfig")
LINES_MAX = 700
COLUMNS_MAX = 100

# Inputs of tests, which are what they are.
DATA = ("tests/fuzz/corpus/",)

# Made from the tables of options.
GENERATED = ("contrib/man/pve-qga-run.1",)


def check_lines(path, text):
    lines = text.split("\n")
    if lines[-1] != "":
        yield f"{path}:{len(lines)}: no newline at the end"
    elif len(lines) > 1 and lines[-2] == "":
        yield f"{path}:{len(lines) - 1}: empty line at the end"
    if len(lines) > LINES_MAX and path not in GENERATED:
        yield f"{path}:{LINES_MAX}: has {len(lines)} lines; split it"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip() and not (path.endswith(".md") and line.endswith("  ")):
            yield f"{path}:{number}: trailing white space"
        if path.endswith((".c", ".h")):
            if "\t" in line:
                yield f"{path}:{number}: tab"
            if len(line) > COLUMNS_MAX:
                yield f"{path}:{number}: {len(line)} columns"


def check_file(path, content):
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield f"{path}:{content.count(bytes([10]), 0, error.start) + 1}: not UTF-8"
        return
    if re.match(r"(exec|filexfer)/guest/", path) and not text.isascii():
        yield f"{path}:1: guest scripts are ASCII"
    yield from check_lines(path, text)


def clang_format():
    """The program, or None with the reason printed."""
    program = os.environ.get("PQ_CLANG_FORMAT", "clang-format")
    if shutil.which(program) is None:
        print(f"{program} is not installed: C is not checked with it", file=sys.stderr)
        return None
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"version (\d+)", version.stdout)
    if number is None or int(number.group(1)) < 14:
        print(f"{program} is too old: C is not checked with it", file=sys.stderr)
        return None
    return program


def check_format(root, program, sources):
    """One line for each place where clang-format would write something else."""
    if not sources:
        return []
    done = subprocess.run([program, "--dry-run", "-Werror", *map(str, sources)], cwd=root,
                          capture_output=True, text=True, errors="replace", check=False)
    places = [line.replace(f"{root}/", "") for line in done.stderr.splitlines()
              if re.search(r":\d+:\d+: (error|warning):", line)]
    if done.returncode != 0 and not places:
        places = [f"{program}: {done.stderr.strip()}"]
    return places


def check(root):
    problems = []
    for source in tree.files(root, SUFFIXES):
        path = source.relative_to(root).as_posix()
        if not path.startswith(DATA):
            problems.extend(check_file(path, source.read_bytes()))
    program = clang_format()
    if program:
        problems.extend(check_format(root, program, tree.files(root, (".c", ".h"))))
    return problems


if __name__ == "__main__":
    sys.exit(tree.finish(check(tree.ROOT)))
