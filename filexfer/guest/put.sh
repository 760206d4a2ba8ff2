# Puts a file into its place.
#
# usage: STAGED PATH NAME MODE NEW_MODE SHA256 CKSUM OWN RETRY
#            [p TEXT | P TEXT | b TEXT | z TEXT]...
#   STAGED   the content: a file that is complete, or with items a new one that they make; its name
#            is unpredictable
#   PATH     destination, printf %b escaped; NAME is appended if it is a directory, - forbids that
#   MODE     octal, or - for the existing file's or NEW_MODE
#   SHA256   of the content; CKSUM is "CRC-BYTES" as cksum(1) has them
#   OWN      d: the directory of STAGED goes with it; -: it stays
#   RETRY    - at the first try, else seconds since that
# May be repeated, also while it runs. A delivery takes the content from STAGED, or from where an
# earlier one has brought it: STAGED.PID.part beside PATH. The rename that shows the file is inside
# that directory, thus inside one file system. When there is no content left, the file in its place
# is looked at.
# Trailer: "ok MODE CHECKED" with CHECKED 1 if the SHA-256 agreed, 0 if size and cksum did; else
# "full", "tmp", "sum", "isdir", "noparent" or "denied".
staged=$1 name=$1 wanted=$4 new_mode=$5 wanted_sha256=$6 wanted_cksum=$7 own=$8 retry=$9
unescape path "$2"
unescape base "$3"
shift 9

give_up() {
    rm -f "$staged" "$staged.w" "$part"
    [ "$own" = d ] && rm -rf "${name%/*}"
    trailer "$1"
    exit 0
}

finish() {
    [ -e "$part" ] && rm -f "$part"
    # What deliveries left that were killed. One that goes on finds that all is done.
    [ "$retry" = - ] || rm -f "$name".* "$parts".*.part
    [ "$own" = d ] && rm -rf "${name%/*}"
    trailer "ok $1 $checked"
    exit 0
}

# Whether file $1 is the content.
check() {
    [ -e "$1" ] || return
    checked=1
    sha256_of "$1" "${wanted_cksum#*-}"
    [ "$sha256" != - ] && {
        [ "$sha256" = "$wanted_sha256" ]
        return
    }
    checked=0
    cksum_of "$1"
    [ "$cksum" = - ] && cksum=${wanted_cksum%-*}-$(($(wc -c <"$1")))
    [ "$cksum" = "$wanted_cksum" ]
}

# Sets $found to where the content is. Deliveries take it from STAGED to a part, and any part from
# there to PATH, so it is looked for in this order.
find_content() {
    found=$staged
    check "$staged" && return
    if [ -e "$staged" ]; then
        echo >"$staged.w" || give_up full
        give_up sum
    fi
    for found in "$parts".*.part; do
        check "$found" && return
    done
    check "$path" || give_up sum
    stat_of "$path"
    finish "$mode"
}

set_owner_and_mode() {
    owner=
    if [ -e "$path" ]; then
        [ "$wanted" = - ] && stat_of "$path" && wanted=$mode
        owner=$(stat -c %u:%g "$path" || stat -f %u:%g "$path")
    fi
    [ "$wanted" = - ] && wanted=$new_mode
    [ -n "$owner" ] && [ "$owner" != 0:0 ] && chown "$owner" "$1"
    chmod "$wanted" "$1"
}

case $1 in
[bz]) need_decoder $# "$1" ;;
*) need_decoder $# P ;;
esac
part=
absolute
if [ -d "$path" ]; then
    [ "$base" = - ] && give_up isdir
    path=${path%/}/$base
    [ -d "$path" ] && give_up isdir
fi
[ -h "$path" ] && path=$(readlink -f "$path"; echo .) && path=${path%??}
directory=${path%/*}/
[ -d "$directory" ] || give_up noparent
parts=$directory${name##*/}
part=$parts.$$.part
if [ $# -gt 0 ]; then
    staged=$name.$$
    true >"$staged" || give_up tmp
    eval "$write_items" >"$staged"
    [ -z "$unwritten" ] || give_up full
fi

while :; do
    find_content
    if [ "$found" = "$staged" ]; then
        mv -f "$staged" "$part" || {
            [ -e "$staged" ] || continue
            [ -w "$directory" ] || give_up denied
            give_up full
        }
        found=$part
    fi
    set_owner_and_mode "$found"
    mv -f "$found" "$path" && finish "$wanted"
    [ -e "$found" ] && give_up denied
done
