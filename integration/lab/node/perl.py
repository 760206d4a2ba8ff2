"""What Proxmox VE's command line tools take from Perl and from ``PVE::CLIHandler``: options, errors, start-up time.

Options are read as Getopt::Long does with PVE's settings: ``--name value``, ``-name value``, ``--name=value``, unique
beginnings of names, options between and after the positional arguments, and everything after ``--`` left alone.
Arguments are bytes that are decoded by the caller's locale, so that outside a UTF-8 locale every other byte is lost.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .lablink import LabLink

ENOENT_STATUS = 2
DIE_STATUS = 255


class Died(Exception):
    """A Perl program's ``die``: the text for standard error, and the exit status (255, or an errno by chance)."""

    def __init__(self, text: str, status: int = DIE_STATUS) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True)
class Command:
    """A subcommand's positional arguments and its options (name to type); ``rest`` collects what is left over."""

    name: str
    positional: tuple[str, ...]
    options: dict[str, str]
    rest: bool = False
    format_options: bool = False

    def usage(self) -> str:
        names = " ".join(f"<{name}>" for name in self.positional) + (" [<extra-args>]" if self.rest else "")
        tail = (" [OPTIONS]" if self.options else "") + (" [FORMAT_OPTIONS]" if self.format_options else "")
        return f"{self.name} {names}{tail}\n"


def bad_request(command: Command, text: str) -> Died:
    """A refusal of the arguments, with the usage after it."""
    return Died(f"400 {text}\n{command.usage()}")


def bad_parameters(command: Command, errors: dict[str, str]) -> Died:
    """A refusal that names the parameters."""
    return bad_request(
        command, "Parameter verification failed." + "".join(f"\n{k}: {v.rstrip()}" for k, v in errors.items())
    )


def parse(command: Command, argv: list[bytes]) -> dict[str, Any]:
    """Read a subcommand's arguments. Values are text, booleans True or False, the rest a list of texts."""
    given, left = _options(command, argv)
    if len(left) < len(command.positional):
        raise bad_request(command, "not enough arguments")
    named = dict(zip(command.positional, left, strict=False))
    params: dict[str, Any] = {name: decode_locale(value) for name, value in {**given, **named}.items()}
    left = left[len(command.positional) :]
    if left and not command.rest:
        raise bad_request(command, "too many arguments")
    for name, value in params.items():
        if command.options.get(name) == "boolean":
            params[name] = _boolean(command, value)
    if command.rest:
        params["extra-args"] = [decode_locale(value) for value in left]
    return params


def _options(command: Command, argv: list[bytes]) -> tuple[dict[str, bytes], list[bytes]]:
    """Split options from the rest."""
    found: dict[str, bytes] = {}
    left: list[bytes] = []
    words = list(argv)
    broken = False
    while words:
        word = words.pop(0)
        if word == b"--":
            left += words
            break
        match = re.fullmatch(rb"--?([^=-][^=]*)(?:=(.*))?", word, re.DOTALL)
        if not match:
            left.append(word)
            continue
        name, problem = _match_option(command, match[1].decode("latin-1"))
        if problem:
            sys.stderr.write(problem)
            broken = True
            continue
        if match[2] is not None:
            found[name] = match[2]
        elif command.options[name] == "boolean":
            found[name] = b"" if not words or _looks_like_option(words[0]) else words.pop(0)
        elif not words:
            sys.stderr.write(f"Option {name} requires an argument\n")
            broken = True
        else:
            found[name] = words.pop(0)
    if broken:
        raise bad_request(command, "unable to parse option")
    return found, left


def _looks_like_option(word: bytes) -> bool:
    return word.startswith(b"-") and word != b"-"


def _match_option(command: Command, given: str) -> tuple[str, str]:
    """The option that a name or the beginning of one means, or Getopt::Long's complaint."""
    lowered = given.lower()
    if lowered in command.options:
        return lowered, ""
    fitting = sorted(name for name in command.options if name.startswith(lowered))
    if len(fitting) == 1:
        return fitting[0], ""
    if fitting:
        return "", f"Option {given} is ambiguous ({', '.join(fitting)})\n"
    return "", f"Unknown option: {lowered}\n"


def _boolean(command: Command, value: str) -> bool:
    if value == "" or re.fullmatch("1|on|yes|true", value, re.IGNORECASE):
        return True
    if re.fullmatch("0|off|no|false", value, re.IGNORECASE):
        return False
    raise bad_request(command, "unable to parse boolean option")


def decode_locale(data: bytes) -> str:
    """Bytes to text by the locale of the environment; what does not fit becomes U+FFFD."""
    given = _given_environment()
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := given.get(name))), "C")
    codeset = locale.partition(".")[2].partition("@")[0].lower().replace("-", "")
    return data.decode("utf-8" if codeset == "utf8" else "ascii", "replace")


def _given_environment() -> dict[str, str]:
    """The environment as the caller left it: Python makes a UTF-8 locale of a missing one."""
    with open("/proc/self/environ", encoding="utf-8", errors="replace") as file:
        return dict(entry.partition("=")[::2] for entry in file.read().split("\0"))


def print_json(value: Any) -> bytes:
    """An object as ``to_json`` writes it with ``pretty``, ``canonical`` and ``utf8``."""
    text = json.dumps(value, ensure_ascii=False, indent=3, separators=(",", " : "), sort_keys=True)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _report(error: Died) -> None:
    """Write a message to standard error as ``die`` does: characters up to U+00FF as one byte each, or else UTF-8."""
    text = error.text
    if any(ord(char) > 0xFF for char in text):
        sys.stderr.buffer.write(b"Wide character in die at /usr/share/perl5/PVE/RESTHandler.pm line 1131.\n")
        sys.stderr.buffer.write(text.encode("utf-8", "surrogatepass"))
    else:
        sys.stderr.buffer.write(text.encode("latin-1"))
    sys.stderr.flush()


def warn(text: str) -> None:
    """Perl's ``warn``."""
    sys.stderr.write(text)
    sys.stderr.flush()


def run(node: str, body: Callable[[LabLink, list[bytes]], None]) -> int:
    """Run a tool for as long as Perl would take to load it, and more; returns the exit status."""
    born = time.monotonic() - _age_s()
    try:
        link = LabLink(node)
        time.sleep(max(0.0, born + link.begin() - time.monotonic()))
        body(link, [os.fsencode(word) for word in sys.argv[1:]])
    except Died as error:
        _report(error)
        return error.status
    return 0


def _age_s() -> float:
    """How long ago this process was started."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
