# Says what a file is, and hands back a small one whole, of others the beginning.
#
# usage: DIR NAME PATH WHOLE SUM HEAD FLAGS OLD
#   PATH   printf %b escaped
#   WHOLE  up to this size the content comes on stdout; more than that comes if there is more
#   SUM    up to this size its checksum comes as well
#   HEAD   from this size on the first 4096 bytes come on stdout
#   FLAGS  l: make DIR/NAME a link to a file that does not come whole, for agents that take only
#          ASCII paths; c: make DIR/NAME a copy of it, whose size is known; - for none
#   OLD    names of transfers that are over, e.g. "3 4", or -: their files go
# Trailer: "ok SIZE MODE whole=0|1 sum=sha256|cksum|- sha256=HEX|- cksum=CRC-BYTES|-", where `sum`
# is what this guest can compute; or "missing", "isdir", "fifo", "socket", "device", "denied",
# "tmp", "full".
unescape path "$3"
dir=$1 file=$1/$2 whole_size=$4 sum_size=$5 head_size=$6 flags=$7 old=$8

give_up() {
    trailer "$1"
    exit 0
}

make_directory() {
    [ -d "$dir" ] || mkdir "$dir" || [ -d "$dir" ] || give_up tmp
}

# A file of the kernel says that it is empty, or one page, whatever is in it.
copy_file() {
    make_directory
    cat "$path" >"$file" || {
        # Was it the reading that failed?
        echo >>"$file" && rm -f "$file" && give_up denied
        rm -f "$file"
        give_up full
    }
    size=$(wc -c <"$file")
    size=$((size)) path=$file
}

find_sum() {
    sum=-
    find_sha256
    if [ -n "$sha256_tool" ]; then
        sum=sha256
    elif command -v cksum >&2; then
        sum='cksum'
    fi
}

if [ "$old" != - ]; then
    gone=
    for name in $old; do
        gone="$gone $name $name.*"
    done
    cd "$dir" && rm -f $gone
    cd /
fi
absolute
[ -d "$path" ] && give_up isdir
[ -e "$path" ] || give_up missing
[ -p "$path" ] && give_up fifo
[ -S "$path" ] && give_up socket
[ -f "$path" ] || give_up device
[ -r "$path" ] || give_up denied
stat_of "$path"
case $flags in
*c*) copy_file ;;
esac
whole=0 sha256=- cksum=-
if [ "$size" -eq 0 ] && command -v head >&2; then
    # Its reads may be short, which dd would count as whole blocks.
    head -c $((whole_size + 1)) "$path" && whole=1
elif [ "$size" -le "$whole_size" ]; then
    dd if="$path" bs=4096 count=$((whole_size / 4096 + 1)) && whole=1
else
    case $flags in
    *l*)
        make_directory
        ln -sf "$path" "$file"
        ;;
    esac
    [ "$size" -ge "$head_size" ] && dd if="$path" bs=4096 count=1
fi
find_sum
# A file of the kernel reads differently each time.
case $size:$path in
0:* | *:/proc/* | *:/sys/*) ;;
*)
    if [ "$size" -le "$sum_size" ]; then
        [ $sum = sha256 ] && sha256_of "$path"
        [ $sum = cksum ] && cksum_of "$path"
    fi
    ;;
esac
trailer "ok $size $mode whole=$whole sum=$sum sha256=$sha256 cksum=$cksum"
