# Runs a command as job N, once however often this script is started with the same S and N.
#
# usage: S N RETRY FLAGS DONE LIMIT [ITEM VALUE]...
#   RETRY  - at the first try, else seconds since that: a guest that was up for less has lost the
#          claim with its memory file system, and the command must not run again
#   FLAGS  p: tell what tools there are; d: env(1) knows --default-signal; i: stdin of the agent's
#          child is the command's; f: feed stdin from pieces; n: no directory, no claim; s: stream.sh's
#   DONE   numbers of ended jobs whose files can go, e.g. "3 4", or -
#   LIMIT  bytes of each output stream to hand back at once
#   ITEM   c: command text; X: its text is in N.x; x: executable; w: directory; e: NAME=VALUE;
#          p, P, b: stdin bytes. Values of c, x, w, e, p, P are printf %b escaped.
S=$1 N=$2 F=$1/$2 retry=$3 flags=$4 acked=$5 limit=$6
shift 6

# Hands back up to $limit bytes of file $1 on descriptor $2; $3 is where the command wrote it. Sets
# $bytes to its size, or - when that was all of it. dd says nothing when nobody reads, as after a
# restart of the agent.
hand_back() {
    bytes=-
    [ -s "$1" ] || return
    position "$3"
    [ "${at:-0}" -gt 0 ] && [ "$at" -le $SMALL ] && hand_back_small "$1" "$2" && return
    case $(dd if="$1" bs=$((limit + 1)) count=1 2>&1 >&"$2") in
    0+*) ;;
    *) bytes=$(wc -c <"$1") ;;
    esac
}

# Without a process. False, and nothing is written, where a shell cannot hold the text. False as well when
# nobody reads.
hand_back_small() {
    text=
    { take_text && position 8; } 8<"$1" || return
    [ "${at:-0}" = ${#text} ] && [ "$at" -le "$limit" ] && hand_back_text "$2"
}

# Sets $at to the offset of descriptor $1, or to nothing where /proc does not tell.
position() {
    at=
    read -r ignored at <"/proc/self/fdinfo/$1"
}

exec 3<&0 5>&1 </dev/null
now
begun=$ticks
agent_lc_all=$LC_ALL LC_ALL=C
read_items "$@"
case $flags in
*n*) ;;
*) claim ;;
esac
find_tools
command -v "$executable" >&2 || refuse noexec
login_environment
cd "${directory:-$HOME}" || refuse nocwd
prepare_stdin "$@"
case $flags in
*n*) ;;
*)
    true >"$F.o" && true >"$F.e" || {
        [ -z "$feeder" ] || kill "$feeder"
        refuse full
    }
    exec 9>"$F.o" 6>"$F.e"
    ;;
esac
run "$@" &
pid=$!
exec 3<&-
echo $pid >"$F.p"
await
now
took=
[ -n "$ticks" ] && took=" took=$((ticks - begun))0"
end_feeder

out_bytes=- err_bytes=- full=
case $flags in
*n*) ;;
*)
    hand_back "$F.o" 5 9
    out_bytes=$bytes
    hand_back "$F.e" 4 6
    err_bytes=$bytes
    echo "$code $signal" $out_bytes $err_bytes >"$F.s" || full=' full=1'
    ;;
esac
facts=
case $flags in
*p*) tell_tools ;;
esac
trailer "end $code $signal" $out_bytes "$err_bytes inline=1$took$full$facts"
forget_acked
exit 0
