# Packs a section of a file, to be read in its place.
#
# usage: DIR NAME PATH SECTION SKIP COUNT LEVEL OLD
#   PATH         printf %b escaped
#   SECTION      its number; the packed bytes go to DIR/NAME.z.SECTION.RUN, where RUN is unique, so
#                that this script, when it is delivered twice, does not disturb itself
#   SKIP, COUNT  what to pack, in blocks of 65536 bytes
#   LEVEL        gzip's
#   OLD          numbers of sections that were read and go, e.g. "3 4", or -
# Trailer: "ok BYTES RUN TICKS", with the time gzip took in 10 ms, or - where that is not known; or
# "nogzip", "tmp", "full", "missing".
dir=$1 file=$1/$2.z section=$4 skip=$5 count=$6 level=$7 old=$8
unescape path "$3"

give_up() {
    trailer "$1"
    exit 0
}

command -v gzip >&2 || give_up nogzip
absolute
[ -r "$path" ] || give_up missing
[ -d "$dir" ] || mkdir "$dir" || [ -d "$dir" ] || give_up tmp
if [ "$old" != - ]; then
    gone=
    for number in $old; do
        gone="$gone ${file##*/}.$number.*"
    done
    cd "$dir" && rm -f $gone
    cd /
fi
packed=$file.$section.$$
now
begun=$ticks
dd if="$path" bs=65536 skip="$skip" count="$count" | gzip -c "-$level" >"$packed" || {
    rm -f "$packed"
    give_up full
}
now
[ -n "$ticks" ] && ticks=$((ticks - begun))
size=$(wc -c <"$packed")
trailer "ok $((size)) $$ ${ticks:--}"
