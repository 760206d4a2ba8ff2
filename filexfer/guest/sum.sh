# The checksum of the first SIZE bytes of a file.
#
# usage: PATH SIZE
#   PATH  printf %b escaped
# Trailer: "ok NOW sha256=HEX|- cksum=CRC-BYTES|-", with the size that the file has now; "short NOW"
# if it is smaller than SIZE; or "missing".
unescape path "$1"
wanted=$2

sum_of_all() {
    sha256_of "$path" "$size"
    [ "$sha256" = - ] && cksum_of "$path"
}

sum_of_first() {
    if [ -n "$sha256_tool" ]; then
        sha256=$(first_bytes "$path" "$wanted" | $sha256_tool)
        sha256=${sha256%% *}
        sha256=${sha256:--}
    elif [ "$cksum" != - ]; then
        cksum=$(first_bytes "$path" "$wanted" | cksum)
        cksum=${cksum%% *}-${cksum##* }
    fi
}

absolute
[ -r "$path" ] || {
    trailer missing
    exit 0
}
stat_of "$path"
[ "$size" -lt "$wanted" ] && {
    trailer "short $size"
    exit 0
}
sha256=- cksum=-
if [ "$size" -eq "$wanted" ]; then
    sum_of_all
    stat_of "$path"
else
    find_sha256 "$wanted"
    [ -z "$sha256_tool" ] && command -v cksum >&2 && cksum=
fi
# It may also have grown meanwhile.
[ "$size" -gt "$wanted" ] && sum_of_first
trailer "ok $size sha256=$sha256 cksum=$cksum"
