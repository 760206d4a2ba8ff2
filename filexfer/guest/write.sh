# Writes a piece of a staged file.
#
# usage: DIR NAME BLOCK [p TEXT | P TEXT | b TEXT]...
#   The bytes go to DIR/NAME from block BLOCK (of 4096 bytes) on. Any order, any repetition.
# Trailer: "ok", "tmp" or "full".
dir=$1 staged=$1/$2 block=$3
shift 3

need_decoder "$@"
[ -d "$dir" ] || mkdir "$dir" || [ -d "$dir" ] || {
    trailer tmp
    exit 0
}
# dd tells a failed write; the decoder's failure shows in the checksum at the end.
if write_items "$@" | dd of="$staged" obs=4096 seek="$block" conv=notrunc; then
    trailer ok
else
    trailer full
fi
