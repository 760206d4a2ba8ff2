#!/usr/bin/env python3
"""Checks that every code in transport/base/error_codes.def is produced by some source and named by
some test: PQ_E_<NAME> in C, or its text (as "vm-stopped") in a string of a Python test. A text of
one word ("http") counts only in a line that speaks of a code or an error."""
import re
import sys

import tree

ROW = re.compile(r'^X\((\w+), "([a-z-]+)",', re.MULTILINE)
LIBRARY = ("transport", "exec", "filexfer", "shim")
TESTS = ("tests/unit", "tests/fuzz", "integration")

# These make errors up to look at how they are told.
NOT_TESTS = {"tests/unit/error_test.c", "tests/unit/log_test.c"}

# A code that is only compared with.
COMPARED = re.compile(r"(case|[=!]=)\s*PQ_E_\w+")


def words(root, folders, suffixes):
    """Everything that the files say outside C comments, as one text."""
    texts = []
    for path in tree.files(root, suffixes, folders):
        if path.relative_to(root).as_posix() in NOT_TESTS:
            continue
        text = tree.read(path)
        texts.append(tree.without_comments(text) if path.suffix in (".c", ".h") else text)
    return "\n".join(texts)


def check(root):
    table = root / "transport/base/error_codes.def"
    rows = ROW.findall(tree.read(table))
    path = table.relative_to(root).as_posix()
    if not rows:
        return [f"{path}:1: no codes found"]
    library = words(root, LIBRARY, (".c", ".h"))
    made = set(re.findall(r"\bPQ_E_(\w+)", COMPARED.sub("", library)))
    tests = words(root, TESTS, (".c", ".h", ".py"))
    tested = set(re.findall(r"\bPQ_E_(\w+)", tests))
    named = set(re.findall(r"[\"']([a-z]+-[a-z-]+)[\"']", tests))
    for line in re.findall(r"^.*\b(?:code|error).*$", tests, re.MULTILINE):
        named.update(re.findall(r"[\"']([a-z]+)[\"']", line))
    problems = []
    for name, text in rows:
        if name not in made:
            problems.append(f"{path}: PQ_E_{name}: no source produces it")
        if name not in tested and text not in named:
            problems.append(f"{path}: PQ_E_{name} (\"{text}\"): no test names it")
    for name in sorted(made - {name for name, _ in rows} - {"COUNT"}):
        problems.append(f"{path}: PQ_E_{name} is used but not in the table")
    return problems


if __name__ == "__main__":
    sys.exit(tree.finish(check(tree.ROOT)))
