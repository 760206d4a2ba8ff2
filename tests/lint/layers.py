#!/usr/bin/env python3
"""Checks #include lines against CONTRIBUTING.md: which layer may use which, and which file may
include the headers of which outside library."""
import re
import sys

import tree

# A folder may include its own headers and those of lower levels. Folders of one level do not know
# each other. transport/agent.h stands between the backends and the loop.
LEVELS = {
    "transport/base": 0,
    "transport/cluster": 1,
    "transport/loop": 1,
    "transport/agent.h": 2,
    "transport/pve": 3,
    "transport/ssh": 3,
    "transport/proto": 3,
    "transport/config": 3,
    "exec": 4,
    "filexfer": 5,
    "shim": 6,
}

# Outside library: its headers, and the files (regular expressions) that may include them.
OUTSIDE = {
    "cJSON": (r"cjson/.*", [r"transport/base/json\.c"]),
    "libcrypto": (r"openssl/.*", [r"transport/base/digest\.c"]),
    "libcurl": (r"curl/.*", [r"transport/loop/.*"]),
    "zlib": (r"zlib\.h", [r"transport/pve/http_body\.c", r"filexfer/gzip\.c"]),
    "libarchive": (r"archive(_entry)?\.h", [r"filexfer/archive\.c"]),
    "inih": (r"ini\.h", [r"transport/config/.*"]),
    "libssh2": (r"libssh2.*\.h", [r"transport/ssh/.*"]),
}

# What C17, POSIX and Linux bring.
SYSTEM = re.compile(
    r"(assert|ctype|dirent|endian|errno|fcntl|fnmatch|ftw|getopt|glob|grp|inttypes|langinfo|libgen|"
    r"limits|locale|math|netdb|poll|pthread|pty|pwd|regex|sched|search|setjmp|signal|spawn|stdalign|"
    r"stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|sysexits|"
    r"syslog|termios|time|uchar|unistd|utime|wchar|wctype|wordexp)\.h|"
    r"(arpa|linux|net|netinet|sys)/\w+\.h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def layer_of(path):
    """The layer of a path relative to the root, or None."""
    for layer in sorted(LEVELS, key=len, reverse=True):
        if path == layer or path.startswith(layer + "/"):
            return layer
    return None


def check_quoted(root, path, name):
    layer = layer_of(path)
    folder = path.rpartition("/")[0]
    if ".." in name.split("/"):
        return f'includes "{name}": name it from the root'
    if "/" not in name:
        # A generated header, which is the folder's own.
        if not (root / folder / name).exists():
            return None
        return f'includes "{name}": name it from the root ("{folder}/{name}")'
    other = layer_of(name)
    if other is None:
        return f'includes "{name}", which is in no layer'
    if not (root / name).exists():
        return f'includes "{name}", which does not exist'
    if other != layer and LEVELS[other] >= LEVELS[layer]:
        return f'includes "{name}": {layer} may not use {other}'
    return None


def check_angled(path, name):
    for library, (headers, users) in OUTSIDE.items():
        if re.fullmatch(headers, name):
            if any(re.fullmatch(user, path) for user in users):
                return None
            return f"includes <{name}>: {library} is not for this file"
    if SYSTEM.fullmatch(name):
        return None
    return f"includes <{name}>, a library that CONTRIBUTING.md does not list"


def check(root):
    problems = []
    for source in tree.files(root, (".c", ".h", ".def"), ("transport", "exec", "filexfer", "shim")):
        path = source.relative_to(root).as_posix()
        if layer_of(path) is None:
            problems.append(f"{path}:1: is in no layer")
            continue
        text = tree.read(source)
        for match in INCLUDE.finditer(tree.without_comments(text)):
            quote, name = match.groups()
            problem = (check_quoted(root, path, name) if quote == '"'
                       else check_angled(path, name))
            if problem:
                line = text.count("\n", 0, match.start(1)) + 1
                problems.append(f"{path}:{line}: {problem}")
    return problems


if __name__ == "__main__":
    sys.exit(tree.finish(check(tree.ROOT)))
