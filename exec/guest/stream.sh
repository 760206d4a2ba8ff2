# Runs a command as stream N, once however often this script is started with the same S and N.
#
# usage: S N RETRY FLAGS DONE LIMIT PERIOD [ITEM VALUE]...
#   PERIOD seconds; without a turn for five to six of them the command is ended and all is removed
#   The others are job.sh's; FLAGS must have an s. Stdin can come in pieces (f) or is /dev/null.
# Trailer: a job_state or why the command was not run; after "end" also o= and e=, what is left of the
# outputs (see hand_over), and full=1 if some of it was lost.
S=$1 N=$2 F=$1/$2 retry=$3 flags=$4 acked=$5 limit=$6 period=$7
shift 7

# Segments that may wait; see PQ_DUPLEX_SEGMENTS.
most=32

# Tells how far stream $1 is: $2 is 1 at its end.
publish() {
    serial=$((serial + 1))
    echo "$serial $k $2 $growing $sizes$serial" >"$F.$1.n.$((serial % 2))" || true >"$F.full"
    wake
}

# While nobody reads there, what is written to a FIFO is gone once its writer has closed it, so that
# wake-ups do not pile up.
await_room() {
    [ -e "$F.$1.$((k - most))" ] || return
    exec 7<>"$F.$1.q"
    while [ -e "$F.$1.$((k - most))" ]; do
        read -r ignored <&7
    done
    exec 7>&-
}

# Large segments cost less, but are told late; they are for who has others to read.
choose_size() {
    growing=0
    last_turn
    case $1 in
    o) [ $((k - known_o)) -lt 2 ] || growing=1 ;;
    e) [ $((k - known_e)) -lt 2 ] || growing=1 ;;
    esac
}

# One segment: what is there, or if it grows, eight times that. Not in the
# foreground, where a signal would have to wait for it; so not on descriptor 0 either.
cut_segment() {
    reads=1
    [ "$growing" = 0 ] || reads=8
    LC_ALL=C dd bs=65536 count=$reads <&8 >"$F.$1.$k" 2>"$F.$1.d" &
    dd=$!
    wait $dd || return
    dd= blocks= size=
    while read -r word kind ignored; do
        case $kind in
        records) blocks=${blocks:-$word} ;;
        bytes) size=$word ;;
        esac
    done <"$F.$1.d"
    # busybox' dd may tell only blocks.
    case $blocks/$size in
    0+0/) size=0 ;;
    *[0-9]/) size=$(wc -c <"$F.$1.$k") size=$((size)) ;;
    esac
}

# What still holds the output open is not waited for; what it has written counts.
stop_spool() {
    [ -z "$dd" ] || kill $dd
    [ -z "$dd" ] || wait $dd
    size=$(wc -c <"$F.$stream.$k")
    size=$((size)) growing=0
    [ "$size" = 0 ] || k=$((k + 1)) sizes="$sizes$size "
    publish "$stream" 1
    exit
}

# Cuts what comes on descriptor 8 into segments of stream $1, while not too many wait.
spool() {
    exec >/dev/null 3<&- 4>&- 5>&- 6>&- 9>&-
    dd= sizes= k=0 growing=0 serial=0
    stream=$1
    trap stop_spool TERM
    while :; do
        await_room "$1"
        cut_segment "$1" || size=
        case $size in
        0) break ;;
        '' | *[!0-9]*)
            true >"$F.full"
            break
            ;;
        esac
        k=$((k + 1)) sizes="$sizes$size "
        [ $k -le $most ] || sizes=${sizes#* }
        choose_size "$1"
        publish "$1" 0
    done
    growing=0
    publish "$1" 1
}

# Says "s" when it can be killed without leaving something behind, and "t" in a while.
timer() {
    sleep=
    trap '[ -z "$sleep" ] || kill $sleep; exit' TERM
    sleep "$period" &
    sleep=$!
    echo s >&7
    wait $sleep
    sleep=
    echo t >&7
}

# Sets $word to what happened: "x" when told to end, "t" when the time is over.
await_word() {
    timer &
    timer=$! started= word=
    until [ -n "$started" ] && [ -n "$word" ]; do
        read -r said <&7
        case $said in
        s) started=yes ;;
        x) word=x ;;
        t) word=${word:-t} ;;
        esac
    done
}

# Ends a command that nobody talks to any more.
abandon() {
    read -r pid <"$F.p"
    for signal in TERM KILL; do
        [ ! -e "$F.s" ] || break
        kill -s $signal -- "-$pid" || kill -s $signal "$pid"
        sleep 2
    done
}

end_spools() {
    for stream in o e; do
        segments $stream 0
        [ "$ended" = 1 ] || kill "$1"
        shift
    done
}

# Waits until the stream is told to end, or nobody has asked about it for a while.
warden() {
    exec >/dev/null 3<&- 4>&- 5>&- 6>&- 9>&-
    seen=- missed=0
    while [ $missed -lt 5 ]; do
        await_word
        if [ "$word" = x ]; then
            kill $timer
            end_spools "$spool_o" "$spool_e"
            return
        fi
        [ -e "$F.c" ] || return
        last_turn
        missed=$((missed + 1))
        [ "$latest" = "$seen" ] || missed=0
        seen=$latest
    done
    abandon
    end_spools "$spool_o" "$spool_e"
    wake
    while kill -0 $$; do
        sleep 1
    done
    rm -rf "$F".*
    rmdir "$S"
}

# Each output by a FIFO whose reading end is open before anyone writes, and whose writing end only the
# command holds: on 9 and 6.
start_spools() {
    exec 7<>"$F.O" 8<"$F.O" 9>"$F.O" 7>&-
    spool o &
    spool_o=$!
    exec 7<>"$F.E" 8<"$F.E" 6>"$F.E" 7>&-
    spool e &
    spool_e=$!
    exec 8<&-
}

# bash' wait returns early now and then.
await_process() {
    while is_child "$1"; do
        wait "$1"
    done
}

# What no turn has had yet goes back at once, if it is little.
hand_back() {
    cd "$S" || return
    last_turn
    segments o "$known_o"
    hand_over o 5 "$limit"
    out=$listing left=$((want - inline))
    segments e "$known_e"
    hand_over e 4 "$limit"
    left=$((left + want - inline))
    # Who took nothing with its turns has segments to read.
    [ $left -gt 0 ] || [ "$told" = 0 ] || echo x >&7
    handed="o=$out e=$listing"
}

exec 3<&0 5>&1 </dev/null
agent_lc_all=$LC_ALL LC_ALL=C
read_items "$@"
claim
find_tools
command -v "$executable" >&2 || refuse noexec
login_environment
cd "${directory:-$HOME}" || refuse nocwd
mkfifo "$F.O" "$F.E" "$F.o.q" "$F.e.q" "$F.r.0" "$F.r.1" "$F.d" || refuse nofifo
echo >"$F.y" || refuse full
prepare_stdin "$@"
start_spools
exec 7<>"$F.d"
# Before the command: bash forgets what has ended when it starts something.
warden &
run "$@" &
pid=$!
exec 3<&- 6>&- 9>&-
echo $pid >"$F.p"
await
end_feeder
full=
echo "$code $signal" >"$F.s" || true >"$F.full"
wake
await_process "$spool_o"
await_process "$spool_e"
[ ! -e "$F.full" ] || full=' full=1'
hand_back
facts=
case $flags in
*p*) tell_tools ;;
esac
trailer "end $code $signal $handed$full$facts"
forget_acked
exit 0
