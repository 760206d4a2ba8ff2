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
#   N.w   tells whether the disk takes more
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

# Sets $ticks to a clock that counts 10 ms, or to nothing where there is none.
now() {
    ticks=
    IFS=' .' read -r seconds hundredths ignored </proc/uptime && ticks=$((seconds * 100 + 1$hundredths - 100))
}

# Items are pairs of arguments with bytes in them: "p TEXT" or "P TEXT" (printf %b), "b TEXT"
# (base64), "z TEXT" (base64 of gzip). Those of base64 come last, all of one kind; "z" are one text,
# at most 16 of them: qm takes 14 in a call.
#
# need_decoder COUNT KIND is called with the number of arguments and the kind of the items. It
# ends the script with "nodecoder" or "nounpacker" where the guest lacks a tool, before anything is
# done (a sender that knows this uses P instead of p, so the first of many pieces tells, whatever it is
# made of), and sets $write_items. `eval "$write_items"` takes the items from the arguments of the one
# who evaluates it and writes their bytes to stdout; it sets $unwritten if that fails. busybox' base64
# does not tell a failed write: whoever has no checksum asks took_all afterwards.
#
# In a slow guest a shell takes 0.1 s to pass the arguments of a full call to a function, or to printf
# them, but a here-document costs next to nothing. (bash may put it into a file in /tmp.)
need_decoder() {
    decode='cat' unpack=
    [ "$1" -gt 1 ] && [ "$2" != P ] && find_decoder "$2"
    write_items='
        unwritten=
        while [ $# -gt 1 ]; do
            case $1 in
            p | P)
                printf %b "$2" || unwritten=1
                shift 2
                ;;
            b | z)
                '"$decode"' <<END '"$unpack"' || unwritten=1
$2$4$6$8${10}${12}${14}${16}${18}${20}${22}${24}${26}${28}${30}${32}
END
                if [ $# -gt 32 ]; then shift 32; else shift $#; fi
                ;;
            *) shift 2 ;;
            esac
        done'
}

# False if the items could not be written, or the disk of file $1 is full, which takes nothing more.
took_all() {
    [ -z "$unwritten" ] && echo >"$1"
}

find_decoder() {
    if command -v base64 >&2; then
        decode='base64 -d'
    elif command -v openssl >&2; then
        decode='openssl base64 -d -A'
    elif command -v python3 >&2; then
        decode='python3 -m base64 -d'
    elif command -v perl >&2; then
        decode="perl -MMIME::Base64 -0777 -ne 'print decode_base64(\$_)'"
    else
        trailer nodecoder
        exit 0
    fi
    [ "$1" = z ] || return 0
    if command -v gzip >&2; then
        unpack='| gzip -dc'
    elif command -v gunzip >&2; then
        unpack='| gunzip'
    elif command -v python3 >&2; then
        unpack='| python3 -m gzip -d'
    else
        trailer nounpacker
        exit 0
    fi
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
