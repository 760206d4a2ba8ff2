# Put behind file_common.sh in front of the scripts that move trees.
#
# Unpacking or packing a tree takes long, and the call that does it may be delivered again meanwhile
# or afterwards. What it is about has a name; beside DIR/NAME there are
#   NAME.cG   claim of the G-th run: "PID BOOT" of the script that does the work. The next one takes
#             over only when that is gone, as after a restart of the agent
#   NAME.t    pid of tar while it runs
#   NAME.d    decision, made with noclobber: "go" when the result is shown, "stop" by who gives up
#   NAME.e    what tar said, or why not
#   NAME.s    the answer, for all other deliveries
LC_ALL=C
# Old versions of busybox leave out links that lead out of the tree unless they are told not to.
EXTRACT_UNSAFE_SYMLINKS=1
export LC_ALL EXTRACT_UNSAFE_SYMLINKS

# Ends the script with an answer, behind the first lines of its explanation.
answer() {
    lines=0
    while [ $lines -lt 20 ] && IFS= read -r line; do
        printf '%.300s\n' "$line"
        lines=$((lines + 1))
    done <"$work.e"
    trailer "$1"
    exit 0
}

finish() {
    echo "$1" >"$work.s"
    answer "$1"
}

explain() {
    printf '%s\n' "$1" >"$work.e"
}

read_boot() {
    boot=
    read -r boot </proc/sys/kernel/random/boot_id
}

# Whether the run whose claim is file $1 still goes on. A claim is there a moment before what it
# says, or never says anything, if its shell was killed in that moment or the disk is full.
goes_on() {
    owner= owner_boot=
    read -r owner owner_boot <"$1"
    if [ -z "$owner" ]; then
        waited=$((waited + 1))
        [ $((waited % 3)) -ne 0 ]
        return
    fi
    [ "$owner_boot" = "$boot" ] && [ "$owner" != $$ ] && kill -0 "$owner"
}

# Returns in the one run that does the work; in others it waits for the answer of that.
claim() {
    run=1 waited=0
    read_boot
    while :; do
        read -r said <"$work.s" && answer "$said"
        set -C
        if echo "$$ $boot" >"$work.c$run"; then
            set +C
            return
        fi
        set +C
        if [ ! -e "$work.c$run" ] || [ $waited -gt 6 ]; then
            trailer tmp
            exit 0
        elif goes_on "$work.c$run"; then
            sleep 1
        else
            run=$((run + 1))
        fi
    done
}

# Whether $1, "go" or "stop", is the decision.
decide() {
    set -C
    echo "$1" >"$work.d"
    set +C
    decision=
    read -r decision <"$work.d"
    [ "$decision" = "$1" ]
}

# Runs tar, which can be stopped by its pid.
run_tar() {
    tar "$@" >&2 2>"$work.e" 4>&- &
    echo $! >"$work.t"
    wait $!
    tar_status=$?
    true >"$work.t"
    return $tar_status
}

# The answer for a tar that failed.
tar_failed() {
    [ -e "$work.d" ] && finish stop
    while IFS= read -r line; do
        case $line in
        *'No space left'* | *'Wrote only'* | *'short write'*) finish full ;;
        esac
    done <"$work.e"
    finish "tar $tar_status"
}

# Makes $path the tree's place: $1 is its name in the directory $path, or . if it is $path itself.
place() {
    absolute
    [ "$1" = . ] || path=${path%/}/$1
    while [ "$path" != / ] && [ "${path%/}" != "$path" ]; do
        path=${path%/}
    done
}
