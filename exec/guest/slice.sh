# Cuts slices out of a file for agents that can read files only from their beginning.
#
# usage: DIR N PATH FIRST COUNT BLOCKS BASE OLD KEEP
#   Slice K (FIRST <= K < FIRST+COUNT) has BLOCKS blocks of 4096 bytes from block
#   BASE+(K-FIRST)*BLOCKS on and goes to DIR/N.r.RUN.K; RUN is unique, so that this script, when it
#   is delivered twice, does not disturb itself. The slices OLD <= K < KEEP were read and go.
#   PATH is printf %b escaped.
# Trailer: "ok COUNT RUN": so many there was space for, the last one may be empty or short where the
# file ends; or "noread" or "tmp".
F=$1/$2 first=$4 count=$5 blocks=$6 base=$7 old=$8 keep=$9
unescape path "$3"

[ -r "$path" ] || {
    trailer noread
    exit 0
}
[ -d "$1" ] || mkdir "$1" || [ -d "$1" ] || {
    trailer tmp
    exit 0
}
gone=
while [ "$old" -lt "$keep" ]; do
    gone="$gone $2.r.*.$old"
    old=$((old + 1))
done
[ -n "$gone" ] && (cd "$1" && rm -f $gone)
k=0
while [ "$k" -lt "$count" ]; do
    slice=$F.r.$$.$((first + k))
    dd if="$path" of="$slice" bs=4096 skip=$((base + k * blocks)) count="$blocks" || {
        rm -f "$slice"
        break
    }
    k=$((k + 1))
    [ -s "$slice" ] || break
done
trailer "ok $k $$"
