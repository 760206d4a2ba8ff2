"""job.sh: a command runs once, and how it ends."""
import os
import signal
import subprocess

import pytest

from conftest import HIDES_TOOLS, base64_items, escape

SIGNALS = sorted(set(range(1, 32)) - {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN,
                                      signal.SIGTTOU, signal.SIGCHLD, signal.SIGCONT,
                                      signal.SIGURG, signal.SIGWINCH})


def test_output_and_status(guest):
    answer = guest.sh("printf out; printf err >&2; exit 3")
    assert answer.out == b"out" and answer.err == b"err"
    assert answer.words[:5] == ["end", "3", "0", "-", "-"]
    assert set(answer.named) == {"inline", "took"} and answer.named["inline"] == "1"
    assert answer.status == 0
    guest.must_be_idle()


def test_says_how_long_it_took(guest):
    quick = guest.sh("true")
    slow = guest.sh("sleep 0.3", number=2)
    assert 0 <= int(quick.named["took"]) < int(slow.named["took"])
    assert int(slow.named["took"]) % 10 == 0 and int(slow.named["took"]) >= 290


def test_directory_and_files_are_private(guest):
    guest.sh("umask; :")
    assert guest.dir.stat().st_mode & 0o7777 == 0o700
    for path in guest.dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_runs_once_under_many_deliveries(guest):
    calls = [guest.start_job("c", f"echo x >>{guest.ran}; printf out; sleep 0.3; exit 5")
             for _ in range(20)]
    answers = [call.answer() for call in calls]
    assert guest.times_run() == 1
    ended = [answer for answer in answers if answer.named.get("inline")]
    assert len(ended) == 1 and ended[0].words[:3] == ["end", "5", "0"]
    for answer in answers:
        assert answer.state in ("end", "running"), answer.words
        if answer.state == "running" and answer.fields != ["0"]:
            assert int(answer.fields[0]) > 1
    guest.must_be_idle()


def test_delivered_again_after_its_end(guest):
    first = guest.sh(f"echo x >>{guest.ran}; printf out; exit 5")
    again = guest.sh(f"echo x >>{guest.ran}; printf out; exit 5", retry=5)
    assert first.words[:3] == again.words[:3] == ["end", "5", "0"]
    assert again.out == b"" and "inline" not in again.named
    assert guest.times_run() == 1


@pytest.mark.parametrize("code", [0, 1, 2, 125, 126, 127, 128, 129, 130, 137, 143, 159, 192, 254,
                                  255])
def test_exit_status(guest, code):
    assert guest.sh(f"exit {code}").fields[:2] == [str(code), "0"]


def test_every_exit_status_above_128(guest):
    calls = []
    for code in range(129, 256):
        calls.append((code, guest.start_job("c", f"exit {code}", number=code)))
        if len(calls) == 16 or code == 255:
            for expected, call in calls:
                assert call.answer().fields[:2] == [str(expected), "0"]
            calls = []


@pytest.mark.parametrize("number", SIGNALS)
def test_death_by_signal(guest, number):
    ignored = number in (signal.SIGINT, signal.SIGQUIT) and guest.name == "ash"
    answer = guest.sh(f"ulimit -c 0; kill -{number} $$; exit 3", flags="p")
    # busybox' env(1) cannot undo that '&' ignores these.
    assert answer.fields[:2] == (["3", "0"] if ignored else [str(128 + number), str(number)])


def test_stopped_and_continued(guest):
    call = guest.start_job("c", f"echo x >>{guest.ran}; sleep 0.2; exit 7")
    guest.wait_for(lambda: guest.file("1.p").exists() and guest.file("1.p").read_text())
    pid = int(guest.file("1.p").read_text())
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)
    assert call.answer().fields[:2] == ["7", "0"]


@pytest.mark.parametrize("guest", ["dash", "bash"], indirect=True)
def test_signals_are_as_in_a_login(guest):
    """A shell starts '&' jobs with INT and QUIT ignored; a command must not see that."""
    answer = guest.sh("kill -INT $$; echo survived", flags="p")
    assert answer.fields[:2] == ["130", "2"] and answer.out == b""


def test_launcher_makes_no_noise(guest):
    answer = guest.sh("sleep 0.05 & wait; kill -9 $$")
    assert answer.out == b"" and answer.err == b""


def test_facts(guest):
    answer = guest.sh("true", flags="p")
    assert answer.named["flags"].startswith("p")
    assert answer.named["uid"] == str(os.getuid())
    tools = answer.named["tools"].split(",")
    assert "base64" in tools and "mkfifo" in tools
    assert "tools" not in guest.sh("true", number=2, flags="d").named


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 65538, 200000])
def test_inline_limit(guest, size):
    data = os.urandom(size)
    source = guest.folder / "source"
    source.write_bytes(data)
    answer = guest.sh(f"cat {source}; cat {source} >&2")
    told = "-" if size <= 65536 else str(size)
    assert answer.fields[2:] == [told, told]
    assert answer.out == data[:len(answer.out)] and answer.err == data[:len(answer.err)]
    assert len(answer.out) >= min(size, 65536) and len(answer.err) >= min(size, 65536)
    assert len(answer.out) <= 65537
    assert guest.file("1.o").read_bytes() == data
    assert guest.file("1.s").read_text().split() == ["0", "0", told, told]


@pytest.mark.parametrize("sizes", [(300000, 200000), (3, 2)])
def test_sizes_are_told_though_nobody_reads(guest, sizes):
    """The agent has died with the launcher's pipes: the next delivery must not say "all of it"."""
    # The pipes are closed before the command writes.
    call = guest.start_job("c", f"read x <{guest.fifo('go')}; " + "; ".join(
        f"printf %0{size}d 0 >&{number + 1}" for number, size in enumerate(sizes)))
    call.process.stdout.close()
    call.process.stderr.close()
    guest.fifo("go").write_text("\n")
    call.process.wait()
    guest.wait_for(lambda: guest.file("1.s").exists())
    again = guest.sh("true")
    assert again.words == ["end", "0", "0", *map(str, sizes), "again=1"]


SMALL_OUTPUTS = {
    "all bytes but NUL": bytes(range(1, 256)), "NUL": b"a\0b\n", "NUL at the end": b"a\n\0", "newlines": b"\n\n\n",
    "no newline at the end": b"a\nb", "escapes": b"\\n \\ -n %s \\c\n", "blanks": b" \t a \n \t", "UTF-8": "ä漢".encode(),
    "long lines": b"x" * 1023 + b"\n" + b"y" * 1024, "one more": b"x" * 2049, "many lines": b"\n" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", SMALL_OUTPUTS)
def test_small_outputs(guest, name, locale):
    """Which are handed back without a process, as long as a shell can hold them."""
    source = guest.folder / "source"
    source.write_bytes(SMALL_OUTPUTS[name])
    answer = guest.sh(f"cat {source}; cat {source} >&2", LC_ALL=locale, LANG=locale)
    assert answer.out == answer.err == source.read_bytes()
    assert answer.fields == ["0", "0", "-", "-"]


@pytest.mark.parametrize("written", ["echo first; echo all >/dev/stdout", "head -c 5000 /dev/zero >>/dev/stdout",
                                     "echo first; head -c 5000 /dev/zero >>/dev/stdout"])
def test_output_that_was_opened_again(guest, written):
    """Then how far the launcher's own descriptor is says little."""
    answer = guest.sh(written)
    assert answer.out == guest.file("1.o").read_bytes() != b""
    assert answer.fields[2] == "-"


def test_program_without_a_shell(guest):
    """The name of a program alone is run as a shell would run it."""
    program = guest.folder / "program"
    program.write_text("echo $0 $#; exit 3\n")
    program.chmod(0o755)
    answer = guest.sh(str(program))
    assert (answer.out, answer.fields[0]) == (os.fsencode(f"{program} 0\n"), "3")
    program.chmod(0o644)
    assert guest.sh(str(program), number=2).fields[0] == "126"
    assert guest.sh(str(guest.folder / "none"), number=3).fields[0] == "127"
    assert guest.sh("/usr/bin/env", "w", "/usr", number=4).out.count(b"\nPWD=/usr\n") == 1


def test_background_child_does_not_hold_it(guest):
    answer = guest.sh("sleep 100 & printf out")
    assert answer.out == b"out"
    assert len(guest.processes()) == 1


def test_environment(guest):
    answer = guest.sh('printf "%s|%s|%s" "$A" "$ODD" "${EMPTY-unset}"',
                      "e", "A=x y", "e", escape("ODD='\"\\$(id)\n\u00e4"), "e", "EMPTY=")
    assert answer.out == "x y|'\"\\$(id)\n\u00e4|".encode()


def test_environment_of_any_name(guest):
    """Names that the launcher has for itself, too."""
    names = ("command env setsid executable value unescaped flags S N F PATH head input own_path".split())
    items = [word for name in names for word in ("e", escape(f"{name}=/bin:/usr/bin\\n"))]
    answer = guest.sh("printenv " + " ".join(names), *items)
    assert answer.fields[:2] == ["0", "0"]
    assert answer.out == b"/bin:/usr/bin\\n\n" * len(names)


def test_login_environment(guest):
    answer = guest.sh('printf "%s\n" "$HOME" "$USER" "$LOGNAME" "$SHELL" "$PWD"; umask')
    home, user, logname, shell, where, mask = answer.out.decode().split("\n")[:6]
    assert home == where and os.path.isdir(home)
    assert user == logname != "" and shell != "" and mask == "0022"


def test_locale_is_the_agents(guest):
    assert guest.sh('printf "%s" "${LC_ALL-unset}"').out == b"unset"
    assert guest.sh('printf "%s" "${LC_ALL-unset}"', number=2, LC_ALL="C.UTF-8").out == b"C.UTF-8"


def test_directory(guest):
    odd = guest.folder / "d \u00e4\n"
    odd.mkdir()
    answer = guest.sh('printf "%s." "$PWD"', "w", escape(str(odd)))
    assert answer.out == os.fsencode(f"{odd}.")


def test_path_changed_by_env(guest):
    """The launcher's own tools are found by the agent's PATH."""
    answer = guest.sh('printf "%s" "$PATH"', "e", "PATH=/no/such", flags="p")
    assert answer.fields[:2] == ["0", "0"] and answer.out == b"/no/such"


def test_executable(guest):
    answer = guest.sh('printf "%s" "${BASH_VERSION:+bash}"', "x", "/bin/bash")
    assert answer.out == b"bash"
    assert guest.sh("import sys; print(sys.argv)", "x", "python3", number=2).out == b"['-c']\n"


def test_no_executable(guest):
    assert guest.sh(f"echo x >>{guest.ran}", "x", "/no/such").state == "noexec"
    assert guest.times_run() == 0 and not guest.file("1.c").exists()


def test_no_directory_to_start_in(guest):
    assert guest.sh(f"echo x >>{guest.ran}", "w", "/no/such").state == "nocwd"
    assert guest.times_run() == 0 and not guest.file("1.c").exists()


def test_no_session_directory(guest):
    guest.dir = guest.folder / "missing" / "dir"
    assert guest.sh(f"echo x >>{guest.ran}").state == "nodir"
    assert guest.times_run() == 0


def test_plain(guest):
    guest.dir = guest.folder / "missing" / "dir"
    answer = guest.sh(f"echo x >>{guest.ran}; printf out; printf err >&2; exit 4", flags="n")
    assert answer.out == b"out" and answer.err == b"err"
    assert answer.fields == ["4", "0", "-", "-"]
    assert guest.times_run() == 1
    guest.must_be_idle()


def test_plain_death_by_signal(guest):
    """Where there is no place for what `jobs` says, only the status tells."""
    guest.dir = guest.folder / "missing" / "dir"
    assert guest.sh("kill -9 $$", flags="n").fields[0] == "137"


@pytest.mark.parametrize("code", [0, 3, 127, 145])
def test_exit_status_of_what_ends_at_once(guest, code):
    """Before the launcher waits for it, or after: bash forgets a status that was told."""
    calls = [guest.start_job("c", f"exit {code}", number=number) for number in range(30)]
    assert [call.answer().fields[:2] for call in calls] == [[str(code), "0"]] * 30


def test_plain_stdin(guest):
    guest.dir = guest.folder / "missing" / "dir"
    call = guest.start_job("c", "cat", flags="ni", stdin=b"in\0put")
    call.process.stdin.close()
    call.process.stdin = None
    assert call.answer().out == b"in\0put"


ALL_BYTES = bytes(range(256))


@pytest.mark.parametrize("items, expected", [
    ([], b""),
    (["p", escape(ALL_BYTES)], ALL_BYTES),
    (base64_items(ALL_BYTES, 30), ALL_BYTES),
    (["p", "a\\n", "p", "e", *base64_items(b"bcd")], b"a\nebcd"),
])
def test_stdin(guest, items, expected):
    assert guest.sh("cat", *items).out == expected


@pytest.mark.parametrize("hidden", [["base64"], ["base64", "openssl"],
                                    ["base64", "openssl", "python3"]])
@HIDES_TOOLS
def test_stdin_by_other_decoders(guest, hidden):
    guest.hide(*hidden)
    assert guest.sh("cat", *base64_items(ALL_BYTES)).out == ALL_BYTES


@HIDES_TOOLS
def test_stdin_that_nobody_can_decode(guest):
    guest.hide("base64", "openssl", "python3", "perl")
    assert guest.sh(f"echo x >>{guest.ran}; cat", *base64_items(ALL_BYTES)).state != "end"
    assert guest.times_run() == 0


@pytest.mark.parametrize("hidden", [["setsid"], ["stat", "sha256sum", "openssl"], ["env"],
                                    ["setsid", "env", "id", "python3", "perl", "head"]])
@HIDES_TOOLS
def test_fewer_tools(guest, hidden):
    guest.hide(*hidden)
    answer = guest.sh("printf out; exit 3", flags="p")
    assert answer.out == b"out" and answer.fields[:2] == ["3", "0"]
    assert not set(hidden) & set(answer.named["tools"].split(","))


@HIDES_TOOLS
def test_no_mkfifo(guest):
    guest.hide("mkfifo")
    assert guest.sh(f"echo x >>{guest.ran}", flags="f").state == "nofifo"
    assert guest.times_run() == 0 and not guest.file("1.c").exists()
    guest.must_be_idle()


def test_long_text_from_pieces(guest):
    text = f"echo x >>{guest.ran}; printf %s $0"
    assert guest.run("piece", guest.dir, 1, "x", 1, 2, "p", escape(text[10:])).state == "full", \
        "the first is missing"
    guest.run("piece", guest.dir, 1, "x", 0, "-", "p", escape(text[:10]))
    assert guest.run("piece", guest.dir, 1, "x", 1, 2, "p", escape(text[10:])).state == "none"
    answer = guest.job("X", "-")
    assert answer.fields[:2] == ["0", "0"], answer.err
    assert guest.times_run() == 1


def test_ended_jobs_are_removed(guest):
    for number in (1, 11, 2):
        guest.sh("true", number=number)
    guest.sh("true", number=3, done="1 2")
    guest.wait_for(lambda: not guest.file("1.s").exists() and not guest.file("2.s").exists())
    guest.must_be_idle()
    assert guest.file("11.s").exists() and guest.file("3.s").exists()
    assert not [path for path in guest.dir.iterdir() if path.name.startswith(("1.", "2."))]


def test_repetition_after_a_reboot(guest):
    """Without its claim in a guest that was up for less than the time since the first try."""
    assert guest.sh(f"echo x >>{guest.ran}", retry=10 ** 9).state == "restarted"
    assert guest.times_run() == 0 and not guest.dir.exists()


def test_repetition_without_a_reboot(guest):
    assert guest.sh(f"echo x >>{guest.ran}", retry=1).fields[:2] == ["0", "0"]
    assert guest.times_run() == 1


def test_killed_launcher_is_lost(guest):
    call = guest.start_job("c", f"echo x >>{guest.ran}; sleep 100")
    guest.wait_for(guest.times_run)
    call.process.kill()
    call.process.wait()
    answer = guest.sh("true")
    assert answer.words == ["lost", str(call.process.pid), "again=1"]
    assert guest.times_run() == 1


def test_full_disk_for_stdin(guest, small_disk):
    answer = guest.sh(f"echo x >>{guest.ran}", *base64_items(os.urandom(150000), 90000))
    assert answer.state == "full"
    assert guest.times_run() == 0
    assert not list(guest.dir.iterdir())


def test_full_disk_for_output(guest, small_disk):
    answer = guest.sh("head -c 200000 /dev/zero")
    assert answer.state == "end" and answer.named.get("full") == "1"
    assert len(answer.out) > 50000


def test_streamed_stdin(guest):
    call = guest.start_job("c", "cat; echo end", flags="f")
    guest.wait_for(lambda: guest.file("1.q").exists())
    for index in (2, 0, 1, 1, 0):
        guest.run("piece", guest.dir, 1, "i", index, "-", "p", f"piece{index} ")
    guest.run("piece", guest.dir, 1, "i", 0, 3)
    answer = call.answer()
    assert answer.out == b"piece0 piece1 piece2 end\n"
    guest.must_be_idle()


def test_nothing_is_left_running_by_a_command_that_does_not_read(guest):
    call = guest.start_job("c", "echo out", flags="f")
    guest.wait_for(lambda: guest.file("1.q").exists() or guest.file("1.s").exists())
    assert call.answer().out == b"out\n"
    guest.must_be_idle()


def test_runs_in_a_session_of_its_own(guest):
    answer = guest.sh("cut -d' ' -f 1,5,6 /proc/$$/stat")
    pid, group, session = answer.out.split()
    assert pid == group == session


def test_own_group_cannot_reach_the_agent(guest):
    """`kill 0` in a command ends the command, not the launcher."""
    answer = guest.sh("kill -KILL 0")
    assert answer.fields[:2] == ["137", "9"]


def test_scripts_parse(guest):
    for folder in ("exec", "filexfer"):
        for path in sorted((guest_root() / folder / "guest").glob("*.sh")):
            checked = subprocess.run([*guest.shell, "-n", path], capture_output=True, check=False)
            assert checked.returncode == 0 and not checked.stderr, path


def guest_root():
    from conftest import ROOT
    return ROOT
