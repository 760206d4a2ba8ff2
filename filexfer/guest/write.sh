# Writes a piece of a staged file.
#
# usage: DIR NAME BLOCK [p TEXT | P TEXT | b TEXT | z TEXT]...
#   The bytes go to DIR/NAME from block BLOCK (of 4096 bytes) on. Any order, any repetition. What no
#   piece brings is zeros.
# Trailer: "ok", "tmp" or "full".
dir=$1 staged=$1/$2 block=$3
shift 3

need_decoder $# "$1"
[ -d "$dir" ] || mkdir "$dir" || [ -d "$dir" ] || {
    trailer tmp
    exit 0
}
{
    # Moves the file's offset, which those that write share.
    [ "$block" = 0 ] || dd bs=4096 seek="$block" count=0 conv=notrunc
    eval "$write_items"
} 1<>"$staged" || unwritten=1
# A failure to decode shows in the checksum at the end.
if took_all "$staged.w"; then
    trailer ok
else
    trailer full
fi
