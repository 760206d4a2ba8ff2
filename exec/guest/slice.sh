# Cuts slices out of a file for agents that can read files only from their beginning.
#
# usage: S N PATH FIRST COUNT BLOCKS
#   Slice K (FIRST <= K < FIRST+COUNT) has BLOCKS blocks of 4096 bytes from block K*BLOCKS and goes
#   to N.r.K; PATH is printf %b escaped.
# Trailer: "ok" or "full" or "noread".
S=$1 F=$1/$2 first=$4 count=$5 blocks=$6
unescape path "$3"

k=$first
[ -r "$path" ] || {
    trailer noread
    exit 0
}
[ "$first" -ge "$count" ] && rm -f "$F.r.$((first - count))"
while [ $k -lt $((first + count)) ]; do
    dd if="$path" of="$F.r.$k" bs=4096 skip=$((k * blocks)) count="$blocks" || {
        trailer full
        exit 0
    }
    k=$((k + 1))
done
trailer ok
