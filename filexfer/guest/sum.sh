# The checksum of a file.
#
# usage: PATH
# Trailer: "ok SIZE MODE sha256=HEX|- cksum=CRC-BYTES|-" or "missing".
unescape path "$1"
absolute
if [ -r "$path" ]; then
    sha256_of "$path"
    cksum=-
    [ "$sha256" = - ] && cksum_of "$path"
    stat_of "$path"
    trailer "ok $size $mode sha256=$sha256 cksum=$cksum"
else
    trailer missing
fi
