# One turn of stream N: takes input, removes segments that were read, hands back new output.
#
# usage: S N TURN WAIT OUT ERR LIMIT K [P TEXT]
#   TURN   its number, one more than the last one's
#   WAIT   w: not before there is output, the command has ended, or a later turn came; a: not before
#          there is output or none can follow; -: at once; x: at once, and whatever still holds the
#          command's outputs open is not waited for any more
#   OUT, ERR  "FROM TO KNOWN AT" of an output: the segments FROM to TO (exclusive) were read and go;
#          those up to KNOWN were told, and AT bytes of the next one, as far as it had grown
#   LIMIT  bytes of each output to hand back
#   K      number of the piece of stdin that comes with it, a short TEXT of printf %b escapes, or -
# Any repetition. Trailer: a job_state; used=N, o= and e= (see hand_over), O= or E= the size of a
# segment that grows, full=1 if output was lost.
S=$1 N=$2 F=$1/$2 turn=$3 waits=$4 out=$5 err=$6 limit=$7 piece=$8
shift 8
LC_ALL=C

# A short piece needs no process on its way to the command.
take_piece() {
    used=0
    read -r used <"$F.n"
    [ "$piece" -ge "${used:-0}" ] || return
    # A second delivery must not cut off what is being read.
    set -C
    printf '%s\n' "$1" >"$F.k.$piece" || [ -s "$F.k.$piece" ] || {
        trailer full
        exit 0
    }
    set +C
}

# Removes segments $2 to $3 of stream $1.
forget() {
    stream=$1 k=$2 files=
    [ "$k" -lt "$3" ] || return
    while [ "$k" -lt "$3" ]; do
        files="$files $N.$stream.$k"
        k=$((k + 1))
    done
    # shellcheck disable=SC2086 # a list of words
    rm -f $files
    echo 1<>"$F.$stream.q"
}

# Whether stream $1 has something beyond what is known of it; $4 and $5 as told. Sets $grown.
look() {
    segments "$1" "$4"
    grown=
    if [ "$growing" = 1 ]; then
        polls=1
        [ -n "$sizes" ] || grown=$(wc -c <"$N.$1.$4")
        # busybox' wc may indent.
        [ -z "$grown" ] || grown=$((grown))
        [ "${grown:-0}" -gt "$5" ] || grown=
    fi
    [ -n "$sizes" ] || [ -n "$grown" ] || return
    news=1
}

look_at_all() {
    news= polls=
    # shellcheck disable=SC2086 # lists of words
    {
        look o $out
        over=$ended
        look e $err
    }
    [ "$over$ended" != 11 ] || [ "$waits" = w ] || news=1
    [ "$waits" != w ] || [ ! -e "$F.s" ] || news=1
}

await_news() {
    exec 7<>"$F.r.$((turn % 2))"
    looks=0
    wake # the turn before, which need not wait any more
    look_at_all
    while [ -z "$news" ]; do
        last_turn
        [ "$latest" -le "$turn" ] && [ -e "$F.y" ] && [ ! -e "$S/closed" ] || return
        if [ -n "$polls" ]; then
            looks=$((looks + 1))
            # What has not come for a second need not come in an instant.
            [ $looks -le 10 ] && sleep 0.1 || sleep 1
        else
            read -r ignored <&7
        fi
        look_at_all
    done
}

# The last thing that is made before the command starts.
[ -e "$F.y" ] && cd "$S" || {
    trailer none
    exit 0
}
if [ "$piece" != - ]; then
    take_piece "$2"
    [ -p "$F.q" ] && echo 1<>"$F.q"
fi
last_turn
# shellcheck disable=SC2086 # lists of words
{
    set -- $out $err
    if [ "$turn" -ge "$latest" ]; then
        echo "$turn $3 $7 $limit" >"$F.t.$((turn % 2))"
    else
        waits=- limit=0
    fi
    forget o "$1" "$2"
    forget e "$5" "$6"
}
job_state "$F"
case $state in
running* | end*) ;;
*) waits=- ;;
esac
case $waits in
x) echo x 1<>"$F.d" ;;
w | a) await_news ;;
esac
# shellcheck disable=SC2086 # lists of words
{
    look o $out
    hand_over o 1 "$limit"
    answer="o=$listing${grown:+ O=$grown}"
    look e $err
    hand_over e 4 "$limit"
    answer="$answer e=$listing${grown:+ E=$grown}"
}
[ ! -e "$F.full" ] || answer="$answer full=1"
used=0
read -r used <"$F.n"
job_state "$F"
trailer "$state used=${used:-0} $answer"
