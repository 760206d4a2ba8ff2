#!/usr/bin/env python3
"""Adds up JUnit reports: names what failed or was skipped, then prints ``N passed, N failed, N skipped``.

    summary.py REPORT.xml... [--failed STEP]...

A report that is missing, and each STEP, counts as one failure. The exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path


def outcome(case: tree.Element) -> str:
    """How a test case ended; CTest says so in an attribute, pytest in elements."""
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def cases(path: Path) -> list[tuple[str, str]]:
    """Names and outcomes of a report's cases."""
    try:
        root = tree.parse(path).getroot()
    except (OSError, tree.ParseError) as error:
        return [(f"{path.name}: no report: {error}", "failed")]
    found = []
    for case in root.iter("testcase"):
        group = case.get("classname") or ""
        name = case.get("name") or "?"
        found.append((f"{path.stem}: {name if group in ('', name) else f'{group}::{name}'}", outcome(case)))
    return found or [(f"{path.name}: no tests", "failed")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*", type=Path)
    parser.add_argument("--failed", action="append", default=[], metavar="STEP")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    everything = [case for report in arguments.reports for case in cases(report)]
    everything += [(step, "failed") for step in arguments.failed]
    for name, how in everything:
        counts[how] += 1
        if how != "passed":
            print(f"{how.upper()} {name}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
