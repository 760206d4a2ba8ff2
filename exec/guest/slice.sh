# Cuts slices out of a file for agents that can read files only from their beginning.
#
# usage: DIR N PATH FIRST COUNT BLOCKS BASE
#   Slice K (FIRST <= K < FIRST+COUNT) has BLOCKS blocks of 4096 bytes from block BASE+K*BLOCKS and
#   goes to DIR/N.r.K; the slices before FIRST were read and go. PATH is printf %b escaped.
# Trailer: "ok" or "full" or "noread".
F=$1/$2 first=$4 count=$5 blocks=$6 base=$7
unescape path "$3"

[ -r "$path" ] || {
    trailer noread
    exit 0
}
[ -d "$1" ] || mkdir "$1"
k=$first old=
while [ "$k" -gt 0 ] && [ "$k" -gt $((first - count)) ]; do
    k=$((k - 1))
    old="$old $2.r.$k"
done
[ -n "$old" ] && (cd "$1" && rm -f $old)
k=$first
while [ "$k" -lt $((first + count)) ]; do
    dd if="$path" of="$F.r.$k" bs=4096 skip=$((base + k * blocks)) count="$blocks" || {
        trailer full
        exit 0
    }
    k=$((k + 1))
done
trailer ok
