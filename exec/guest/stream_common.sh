# What stream.sh and pump.sh share; put between text.sh and their texts.
#
# A stream is a job (see common.sh) whose outputs are not kept whole. Besides a job's files it has
#   N.O N.E   FIFOs: the command's stdout and stderr
#   N.o.K N.e.K    segment K of what came out of them, until we are told that it was read
#   N.o.n.0 N.o.n.1 N.e.n.0 N.e.n.1    the last two states of an output, the one with the larger
#             SERIAL is the last: "SERIAL COUNT ENDED GROWING SIZE... SERIAL": so many segments are
#             complete; 1 if none follows; 1 if the next one is written piece by piece; the sizes of the
#             last ones
#   N.o.d N.e.d    what dd said last
#   N.o.q N.e.q    FIFOs: wake-ups for who makes the segments
#   N.k.K     a small piece of stdin, in one line of printf %b escapes
#   N.t.0 N.t.1    the last two turns: "TURN KNOWN KNOWN LIMIT", see pump.sh
#   N.r.0 N.r.1    FIFOs at which turns wait, those with even and those with odd numbers
#   N.y       is there when turns can come
#   N.d       FIFO: "x" ends the stream's warden, and with it what still waits for output
#   N.full    the disk took no more: output was lost

# Tells whoever waits that there is something new: the last turn, the one before, which may be on its way
# out, and second deliveries of them. Where nobody waits this goes nowhere.
wake() {
    printf '\n\n\n' 1<>"$F.r.0"
    printf '\n\n\n' 1<>"$F.r.1"
}

# Sets $latest to the number of the latest turn, and $known_o, $known_e, $told to what came with it. Of the
# two the one that is being written may be empty.
last_turn() {
    latest=0 known_o=0 known_e=0 told=-
    read -r latest known_o known_e told <"$F.t.0"
    if read -r latest_1 known_o_1 known_e_1 told_1 <"$F.t.1" && [ "$latest_1" -gt "${latest:-0}" ]; then
        latest=$latest_1 known_o=$known_o_1 known_e=$known_e_1 told=$told_1
    fi
    latest=${latest:-0} known_o=${known_o:-0} known_e=${known_e:-0}
}

# Reads state $2 of stream $1; false if it is not there, or was changed meanwhile.
read_state() {
    serial= sizes=
    read -r serial count ended growing sizes <"$F.$1.n.$2" && [ "${sizes##* }" = "$serial" ]
}

# Sets $sizes to the sizes of the complete segments of stream $1 from number $2 on, $first to that, or to a
# later one for a turn that has long been overtaken, $ended to 1 if none follows them, and $growing to 1
# if the next one grows. Whoever writes a state that cannot be read now wakes us when it is there.
segments() {
    first=$2 serial_0= state_0=
    read_state "$1" 0 && serial_0=$serial && state_0="$serial $count $ended $growing $sizes"
    if ! read_state "$1" 1 || [ "$serial" -lt "${serial_0:-0}" ]; then
        # shellcheck disable=SC2086 # a list of words
        set -- "$1" "$2" ${state_0:-0 0 0 0 0}
        serial=$3 count=$4 ended=$5 growing=$6
        shift 6
        sizes=$*
    fi
    sizes=${sizes%"$serial"}
    want=$((count - first))
    # shellcheck disable=SC2086 # a list of words
    set -- $sizes
    while [ $# -gt 0 ] && [ $# -gt "$want" ]; do
        shift
    done
    [ $# -ge "$want" ] || first=$((count - $#))
    sizes=$*
}

# Hands back $files, of $bytes bytes, on descriptor $1. False, and nothing is written, where that takes a
# process.
hand_over_small() {
    [ "$bytes" -le $SMALL ] || return
    text=
    for file in $files; do
        take_text 8<"$file" || return
    done
    [ ${#text} = "$bytes" ] && hand_back_text "$1"
}

# Hands back as many of stream $1's segments just listed as fit into $3 bytes, on descriptor $2, and
# sets $listing to "FIRST/ENDED/INLINE/SIZE/SIZE...". Expects to be in $S.
hand_over() {
    files= inline=0 bytes=0 number=$first
    for size in $sizes; do
        [ $((bytes + size)) -le "$3" ] || break
        bytes=$((bytes + size)) files="$files $N.$1.$number"
        number=$((number + 1)) inline=$((inline + 1))
    done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$files" ] || hand_over_small "$2" || cat $files >&"$2"
    listing=$first/$ended/$inline
    for size in $sizes; do
        listing=$listing/$size
    done
}
