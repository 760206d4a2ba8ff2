# Says what a file is, and hands back a small one whole.
#
# usage: DIR NAME PATH LIMIT LINK
#   PATH   printf %b escaped
#   LIMIT  up to this size the content comes on stdout
#   LINK   1: make DIR/NAME a link to a larger file, for agents that take only ASCII paths
# Trailer: "ok SIZE MODE whole=0|1 sha256=HEX|- cksum=CRC-BYTES|-" or "missing", "isdir", "denied",
# "tmp".
unescape path "$3"
limit=$4

absolute
if [ -d "$path" ]; then
    trailer isdir
elif [ ! -e "$path" ]; then
    trailer missing
elif [ ! -r "$path" ]; then
    trailer denied
else
    stat_of "$path"
    whole=0 sha256=- cksum=-
    if [ "$size" -le "$limit" ] && [ ! -p "$path" ]; then
        dd if="$path" bs=4096 count=$((limit / 4096 + 1)) && whole=1
        # A file of the kernel says it is empty and reads differently each time.
        if [ "$size" -gt 0 ]; then
            sha256_of "$path"
            [ "$sha256" = - ] && cksum_of "$path"
        fi
    elif [ "$5" = 1 ]; then
        [ -d "$1" ] || mkdir "$1" || [ -d "$1" ] || {
            trailer tmp
            exit 0
        }
        ln -sf "$path" "$1/$2"
    fi
    trailer "ok $size $mode whole=$whole sha256=$sha256 cksum=$cksum"
fi
