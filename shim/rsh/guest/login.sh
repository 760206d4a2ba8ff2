# Starts a command, a login shell or the SFTP server as a user of the guest, as an SSH server does.
#
# Variables set in front of it: user ('' is the agent's own), kind (command, shell, sftp), command,
# and shell, which is the user's own if empty. The command that it becomes has the user's home for
# directory; of the environment it keeps what a login does not set.
refuse() {
    echo "pve-qga-rsh: $1" >&2
    exit 255
}

# Sets $entry to the user's line of passwd, which may come from a directory service.
find_user() {
    entry=$(getent passwd "$user" 2>/dev/null)
    [ -n "$entry" ] && return
    while read -r line; do
        case $line in
        "$user":*)
            entry=$line
            return
            ;;
        esac
    done </etc/passwd
    refuse "the guest has no user '$user'"
}

# "NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL" in $entry. Not by IFS: an empty field would be lost.
take_user() {
    user=${entry%%:*}
    rest=${entry#*:*:}
    uid=${rest%%:*}
    rest=${rest#*:}
    gid=${rest%%:*}
    rest=${rest#*:*:}
    home=${rest%%:*}
    login=${rest#*:}
    [ -n "$shell" ] || shell=${login:-/bin/sh}
}

find_sftp() {
    for server in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec /usr/libexec/ssh \
        /usr/lib /usr/local/libexec /run/current-system/sw/libexec; do
        [ -x "$server/sftp-server" ] && command="exec $server/sftp-server" && return
    done
    refuse 'the guest has no sftp-server; OpenSSH brings it, sometimes as a package openssh-sftp-server'
}

# What the user runs: SHELL KIND COMMAND, with the environment of a login.
start='
    if [ -n "$5" ]; then
        HOME=$4 USER=$5 LOGNAME=$5 SHELL=$1 PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
        export HOME USER LOGNAME SHELL PATH
        unset MAIL XDG_RUNTIME_DIR
        cd "$HOME" 2>/dev/null || cd /
    fi
    [ "$2" = shell ] && exec "$1" -l
    exec "$1" -c "$3"'

# setpriv(1) of util-linux becomes the program, so signals and exit status are exact. runuser and
# su, except busybox, stay in front of it.
become() {
    # Programs such as tmux open their terminal by its name.
    [ ! -t 0 ] || chown "$uid" "$(tty)"
    set -- "$shell" "$kind" "$command" "$home" "$user"
    if setpriv --reuid="$uid" --regid="$gid" --init-groups true 2>/dev/null; then
        exec setpriv --reuid="$uid" --regid="$gid" --init-groups /bin/sh -c "$start" sh "$@"
    elif command -v runuser >/dev/null 2>&1; then
        exec runuser -u "$user" -- /bin/sh -c "$start" sh "$@"
    elif command -v su >/dev/null 2>&1; then
        exec su -s /bin/sh -c "$start" -- "$user" sh "$@"
    fi
    refuse "the guest has no setpriv, runuser or su to become the user '$user'"
}

[ "$kind" = sftp ] && find_sftp
if [ -n "$user" ]; then
    find_user
    take_user
    [ "$uid" = "$(id -u)" ] || become
    user=
fi
set -- "${shell:-${SHELL:-/bin/sh}}" "$kind" "$command" "$home" "$user"
eval "$start"
