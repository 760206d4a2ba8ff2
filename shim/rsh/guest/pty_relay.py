# Runs a shell line on a terminal of its own, which stdin and stdout are tied to. For every Python from
# 2.6 on, also those that come with few modules.
#
# usage: LINE
import sys
del sys.path[0]
import errno, fcntl, os, select, signal, time

child, master = os.forkpty()
if child == 0:
    # Python ignores some of these, and a job in the background is started with the others ignored.
    for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ", "SIGINT", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
fcntl.fcntl(master, fcntl.F_SETFL, fcntl.fcntl(master, fcntl.F_GETFL) | os.O_NONBLOCK)

# None: nothing comes now. Empty: nothing will, since all who had the terminal open are gone.
def output():
    try:
        return os.read(master, 65536)
    except OSError as error:
        return None if error.args[0] == errno.EAGAIN else b""

def show(data):
    while data:
        data = data[os.write(1, data):]

pending, more, status, last = b"", True, None, 0
while True:
    wanted = [master] + ([0] if more and len(pending) < 65536 else [])
    try:
        readable, writable, ignored = select.select(wanted, [master] if pending else [], [], 0.5)
    except select.error as error:
        if error.args[0] != errno.EINTR:
            raise
        continue
    # What the line leaves to processes in the background is not waited for.
    if status is None:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status, last = code, time.time() + 0.5
    if master in readable:
        data = output()
        if data == b"":
            break
        show(data or b"")
    elif status is not None:
        break
    if status is not None and time.time() > last:
        break
    if 0 in readable:
        data = os.read(0, 65536)
        more = data != b""
        pending += data or b"\4"
    if master in writable:
        try:
            pending = pending[os.write(master, pending):]
        except OSError as error:
            if error.args[0] != errno.EAGAIN:
                pending, more = b"", False
if status is None:
    status = os.waitpid(child, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
