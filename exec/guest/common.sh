# Put in front of every guest script. POSIX sh; runs in dash, bash and busybox ash as root.
#
# Scripts are started by the guest agent, which captures what they print:
#   stdout  raw bytes (output of a job, a piece of a file), then a trailer: one line
#           "<LF>pq1 STATE FIELD...<LF>" that tells what happened
#   stderr  raw bytes only
# A script that ends without its trailer was killed or could not run.
#
# A job N of a session lives in files of the session's directory $S:
#   N.c   claim: made with noclobber by whoever runs the job, holds the launcher's pid
#   N.p   pid of the command, which leads its own session and process group
#   N.o N.e   what it wrote to stdout and stderr
#   N.s   how it ended: "CODE SIGNAL OUT_BYTES ERR_BYTES"; written last, in one write
#   N.i.K  piece K of a streamed stdin; N.i.end: how many there are; N.n: how many were used up
#   N.f N.q   FIFOs: the command's stdin; wake-ups for the feeder
#   N.x   text of a command too long for an argument; N.in: a stdin that came whole
#   N.j   what `jobs -l` said; N.r.K: slice K of a file that is being read
exec 4>&2 2>/dev/null
umask 077

trailer() {
    printf '\npq1 %s\n' "$*"
}

# Sets variable $1 to $2 with its printf %b escapes undone. Text without a backslash is as it is,
# so that the usual case needs no subshell. The dot keeps trailing newlines.
unescape() {
    case $2 in
    *\\*)
        unescaped=$(printf '%b.' "$2")
        eval "$1=\${unescaped%.}"
        ;;
    *) eval "$1=\$2" ;;
    esac
}

# stdin -> stdout, with whatever this guest has.
base64_decode() {
    if command -v base64 >&2; then
        # busybox' does not tell a failed write, cat does.
        base64 -d | cat
    elif command -v openssl >&2; then
        openssl base64 -d -A
    elif command -v python3 >&2; then
        python3 -c 'import base64,sys;sys.stdout.buffer.write(base64.b64decode(sys.stdin.read()))'
    elif command -v perl >&2; then
        perl -MMIME::Base64 -0777 -ne 'print decode_base64($_)'
    else
        return 1
    fi
}

# Ends the script with "nodecoder" where base64 cannot be decoded, before anything is done. A sender
# that knows this uses P instead of p; so the first of many pieces tells, whatever it is made of.
need_decoder() {
    [ $# -gt 1 ] && [ "$1" != P ] || return
    for tool in base64 openssl python3 perl; do
        command -v $tool >&2 && return
    done
    trailer nodecoder
    exit 0
}

# Writes the bytes of items "p TEXT" or "P TEXT" (printf %b) and "b TEXT" (base64) to stdout.
# Consecutive base64 items are one text.
write_items() {
    base64_text=
    while [ $# -gt 1 ]; do
        case $1 in
        p | P) printf '%b' "$2" || return 1 ;;
        b) base64_text=$base64_text$2 ;;
        esac
        [ "$1" = b ] && [ "$3" != b ] && {
            printf '%s' "$base64_text" | base64_decode || return 1
            base64_text=
        }
        shift 2
    done
    return 0
}

# The state of job file prefix $1 as trailer fields: "end ...", "running PID", "lost PID" when its
# launcher is gone without a result, or "none" when it was never claimed.
job_state() {
    if read -r ended <"$1.s"; then
        state="end $ended"
    elif [ ! -e "$1.c" ]; then
        state=none
    else
        launcher=
        read -r launcher <"$1.c"
        if [ -z "$launcher" ] || kill -0 "$launcher"; then
            state="running ${launcher:-0}"
        elif read -r ended <"$1.s"; then
            state="end $ended"
        else
            state="lost $launcher"
        fi
    fi
}
