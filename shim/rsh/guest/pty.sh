# Runs a line on a terminal of its own, which stdin and stdout are tied to.
#
# Variables set in front of it: line; settings, words for stty; relay, pty_relay.py's text.
# What it says on stderr is for the one who started it: "pq1 tty PATH" when the terminal is there,
# "pq1 end CODE" when the line has ended, "pq1 none" if the guest has nothing to make a terminal with; all
# else is a complaint of what makes it.
#
# script(1) runs what it is given with $SHELL; Python adds to a C locale.
PVE_QGA_LINE=$line PVE_QGA_SETTINGS=$settings PVE_QGA_SHELL=$SHELL SHELL=/bin/sh PYTHONCOERCECLOCALE=0
export PVE_QGA_LINE PVE_QGA_SETTINGS PVE_QGA_SHELL SHELL PYTHONCOERCECLOCALE
exec 3>&2
# Modes that an old or small stty does not know must not keep the size from it. Keys that end the line are
# not for the shell that tells how it ended.
inside='
    line=$PVE_QGA_LINE settings=$PVE_QGA_SETTINGS SHELL=$PVE_QGA_SHELL
    unset PVE_QGA_LINE PVE_QGA_SETTINGS PVE_QGA_SHELL PYTHONCOERCECLOCALE
    [ -n "$SHELL" ] || unset SHELL
    trap : INT QUIT
    set -f
    stty sane $settings 2>/dev/null || stty sane ${settings#* } 2>/dev/null
    echo "pq1 tty $(tty)" >&3
    /bin/sh -c "$line" 3>&-
    echo "pq1 end $?" >&3'
for python in python3 /usr/libexec/platform-python python python2; do
    command -v $python >/dev/null 2>&1 && exec $python -c "$relay" "$inside"
done
# Second, because before util-linux 2.40 it stops for good when much is typed to what writes much.
if command -v script >/dev/null 2>&1; then
    exec script -q -c "$inside" /dev/null
fi
echo 'pq1 none' >&3
exit 255
