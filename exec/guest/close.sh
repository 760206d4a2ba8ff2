# Removes a session's two directories, and what sessions that died left behind more than a day ago.
#
# usage: S KEEP
#   KEEP   0, or seconds for which the claims of S stay, since a launcher may still come that late
# Trailer: "ok", or "left" when something could not be removed.
S=$1 keep=$2

# Sets $pid to that of job file prefix $F's command. A launcher that has just begun is about to write it.
find_command() {
    pid= tries=0
    until read -r pid <"$F.p"; do
        job_state "$F"
        case $state in
        running*) [ $tries -lt 30 ] || return ;;
        *) return 1 ;;
        esac
        tries=$((tries + 1))
        sleep 0.1 || sleep 1
    done
}

# Signals the commands of streams that still run, as those of clients that gave up.
end_commands() {
    for fifo in "$S"/*.d; do
        F=${fifo%.d}
        job_state "$F"
        case $state in
        running*) find_command && { kill -s "$1" -- "-$pid" || kill -s "$1" "$pid"; } && ran=yes ;;
        esac
    done
}

# Streams: those who wait, and those who watch over them.
if [ -d "$S" ]; then
    true >"$S/closed"
    for fifo in "$S"/*.r.?; do
        [ -p "$fifo" ] && printf '\n\n\n' 1<>"$fifo"
    done
    ran=
    end_commands TERM
    [ -z "$ran" ] || { sleep 1 && end_commands KILL; }
    for fifo in "$S"/*.d; do
        [ -p "$fifo" ] && echo x 1<>"$fifo"
    done
fi
all_but_claims() {
    for entry in "$S"/*; do
        case $entry in
        *.c) ;;
        *) set -- "$@" "$entry" ;;
        esac
    done
    rm -rf "$@"
}

if [ "$keep" != 0 ] && [ -d "$S" ]; then
    all_but_claims "$S.files"
    {
        exec >/dev/null 4>&-
        sleep "$keep"
        rm -rf "$S"
    } &
    trailer ok
    exit 0
fi
rm -rf "$S" "$S.files" || {
    # A script that was given up may still be writing there.
    sleep 1
    rm -rf "$S" "$S.files"
}
# Idle ones have directories that nothing has changed for long.
is_alive() {
    for claim in "$1"/*.c; do
        read -r launcher <"$claim" && kill -0 "$launcher" && return
    done
    return 1
}

find "${S%/*}" -maxdepth 1 -name '.pve-qga-run-*' -user "$(id -u)" -mtime +0 |
    while IFS= read -r old; do
        is_alive "$old" || rm -rf "$old"
    done
if [ -e "$S" ] || [ -e "$S.files" ]; then
    trailer left
else
    trailer ok
fi
