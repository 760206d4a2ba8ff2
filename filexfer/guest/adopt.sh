# Takes over what an interrupted put has staged, if its beginning is that of the file.
#
# usage: DIR OLD NEW BLOCKS SHA256
#   OLD, NEW  names in DIR; OLD becomes NEW, of which the first BLOCKS (of 4096 bytes) are kept
#   SHA256    of these
# Whoever succeeds in renaming also cuts the rest off; another delivery of the call must not, since
# pieces may have been written behind by then. Pieces of the interrupted put that are still on their
# way may come behind, too: they have the bytes that belong there. Trailer: "ok", or "no", and then NEW
# is of no use.
staged=$1/$3 blocks=$4 wanted=$5

mv "$1/$2" "$staged" && dd if=/dev/null of="$staged" bs=4096 seek="$blocks"
find_sha256 $((blocks * 4096))
if [ -f "$staged" ] && [ -n "$sha256_tool" ]; then
    sha256=$(first_bytes "$staged" $((blocks * 4096)) | $sha256_tool)
    [ "${sha256%% *}" = "$wanted" ] && {
        trailer ok
        exit 0
    }
fi
trailer no
