"""The source tree, for the lint tests: which files it has and how problems are reported."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Exit status that CTest shows as "skipped".
SKIPPED = 77

# Folders that hold no source: version control, builds, caches.
NOT_SOURCE = ("build", ".", "__pycache__")


def files(root, suffixes, folders=(".",)):
    """Files below the folders of `root` whose name ends in one of the suffixes, sorted."""
    found = set()
    pending = [root / folder for folder in folders]
    while pending:
        folder = pending.pop()
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            if path.is_dir():
                if not path.name.startswith(NOT_SOURCE):
                    pending.append(path)
            elif path.name.endswith(tuple(suffixes)):
                found.add(path)
    return sorted(found)


def guest_scripts(root):
    return files(root, (".sh",), ("exec/guest", "filexfer/guest", "shim/rsh/guest"))


def read(path):
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def without_comments(text):
    """C text with comments replaced by spaces, so that positions and lines stay."""
    out, at = [], 0
    while at < len(text):
        if text.startswith("/*", at):
            end = text.find("*/", at + 2)
            end = len(text) if end < 0 else end + 2
        elif text.startswith("//", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
        elif text[at] in "\"'":
            end = at + 1
            while end < len(text) and text[end] not in (text[at], "\n"):
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, len(text))
            out.append(text[at:end])
            at = end
            continue
        else:
            out.append(text[at])
            at += 1
            continue
        out.append("".join(c if c == "\n" else " " for c in text[at:end]))
        at = end
    return "".join(out)


def finish(problems):
    """Prints the problems; the exit status for them."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem(s)", file=sys.stderr)
    return 1 if problems else 0
