#!/usr/bin/env python3
"""Checks the guest scripts: each shell we meet in guests parses them, as they are and as they are
embedded, they are ASCII, and shellcheck (where it is installed) has nothing to say."""
import shutil
import subprocess
import sys

import tree

SHELLS = (("dash", "-n"), ("bash", "--posix", "-n"), ("busybox", "ash", "-n"))

# Scripts are put together from several files and variables set in front of them, so shellcheck
# cannot know which variables are set or used (SC2034, SC2154); `a= b=` is meant (SC1007).
SHELLCHECK = ("shellcheck", "-s", "sh", "-S", "warning", "-e", "SC1007,SC2034,SC2154", "-f", "gcc",
              "-")


def embedded(script):
    """The script as cmake/embed_scripts.cmake makes it: no comment lines, no indentation."""
    lines = (line.lstrip(" \t") for line in script.decode("latin-1").split("\n"))
    text = "".join(line + "\n" for line in lines if line and not line.startswith("#"))
    return text.encode("latin-1")


def complaint(argv, script):
    """What a checker says about the script; None if nothing."""
    done = subprocess.run(argv, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, check=False)
    if done.returncode == 0:
        return None
    output = done.stdout.decode("utf-8", "replace").strip()
    return output or f"exit status {done.returncode}"


def check_script(path, script, shells, shellcheck):
    for number, line in enumerate(script.split(b"\n"), 1):
        if not line.isascii():
            yield f"{path}:{number}: is not ASCII"
        if b"\r" in line:
            yield f"{path}:{number}: has a carriage return"
    for form, text in (("", script), (" (as embedded)", embedded(script))):
        for shell in shells:
            said = complaint(shell, text)
            if said:
                yield f"{path}:1: {' '.join(shell)}{form}: {said}"
    said = complaint(SHELLCHECK, script) if shellcheck else None
    if said:
        yield "\n".join(path + line.removeprefix("-") for line in said.splitlines())


def check(root):
    shells = [shell for shell in SHELLS if shutil.which(shell[0])]
    shellcheck = shutil.which("shellcheck") is not None
    for missing in set(SHELLS) - set(shells):
        print(f"{missing[0]} is not installed: not checked with it", file=sys.stderr)
    if not shellcheck:
        print("shellcheck is not installed: not checked with it", file=sys.stderr)
    problems = []
    for source in tree.guest_scripts(root):
        path = source.relative_to(root).as_posix()
        problems.extend(check_script(path, source.read_bytes(), shells, shellcheck))
    return problems


def main():
    if not tree.guest_scripts(tree.ROOT):
        print("no guest scripts found")
        return 1
    if not any(shutil.which(shell[0]) for shell in SHELLS):
        print("none of the shells is installed")
        return tree.SKIPPED
    return tree.finish(check(tree.ROOT))


if __name__ == "__main__":
    sys.exit(main())
