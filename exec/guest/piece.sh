# Takes piece K of a job's streamed stdin, or of the text of a long command.
#
# usage: S N WHAT K TOTAL [p TEXT | P TEXT | b TEXT]...
#   WHAT   i: stdin; x: command text, put together when the last piece is there
#   TOTAL  how many pieces there are, or - while that is open; a call may bring no bytes
# Any order, any repetition. Trailer: a job_state, "full", "gone" or "none"; then used=N.
S=$1 N=$2 F=$1/$2 what=$3 index=$4 total=$5
shift 5

take() {
    took_all "$F.w" && mv -f "$F.$what.$index.$$" "$F.$what.$index" && return
    rm -f "$F.$what.$index.$$" "$F.w"
    trailer full
    exit 0
}

join_text() {
    k=0 parts=
    while [ $k -lt "$total" ]; do
        parts="$parts $N.x.$k"
        k=$((k + 1))
    done
    (cd "$S" && cat $parts >"$N.x.all") && mv -f "$F.x.all" "$F.x" && return
    trailer full
    exit 0
}

need_decoder $# "$1"
# Only a command's text comes before its launcher. A piece of stdin must not make the directory:
# after a reboot the launcher, sent again, would not see that it has lost its claim.
[ -d "$S" ] || { [ "$what" = x ] && mkdir "$S"; } || [ -d "$S" ] || {
    trailer gone
    exit 0
}
# Empty while the feeder writes it: better taken twice than not at all.
used=0
read -r used <"$F.n"
[ $# -gt 0 ] && [ "$index" -ge "${used:-0}" ] && [ ! -f "$F.$what.$index" ] && {
    eval "$write_items" >"$F.$what.$index.$$"
    take
}
if [ "$total" != - ]; then
    case $what in
    i) echo "$total" >"$F.i.end" ;;
    x) join_text ;;
    esac
fi
# Opened for both, so that it never waits for the feeder.
[ -p "$F.q" ] && echo 1<>"$F.q"
read -r used <"$F.n"
job_state "$F"
trailer "$state used=$used"
