# Puts a file into its place.
#
# usage: STAGED PATH NAME MODE NEW_MODE SHA256 CKSUM [p TEXT | P TEXT | b TEXT]...
#   STAGED   the content: a file that is complete, or with items a new one that they make; its
#            unpredictable name is also that of the last step, STAGED.part beside the destination
#   PATH     destination, printf %b escaped; NAME is appended if it is a directory, - forbids that
#   MODE     octal, or - for the existing file's or NEW_MODE
#   SHA256   of the content; CKSUM is "CRC-BYTES" as cksum(1) has them
# May be repeated: when STAGED is gone and the file in its place has the checksum, it is done.
# Trailer: "ok MODE CHECKED" with CHECKED 1 if the SHA-256 agreed, 0 if size and cksum did; else
# "full", "tmp", "sum", "isdir", "noparent" or "denied".
staged=$1 wanted=$4 new_mode=$5 wanted_sha256=$6 wanted_cksum=$7
unescape path "$2"
unescape base "$3"
shift 7

give_up() {
    rm -f "$staged" "$part"
    trailer "$1"
    exit 0
}

# Whether file $1 is the content.
check() {
    [ -e "$1" ] || return
    checked=1
    sha256_of "$1"
    [ "$sha256" != - ] && {
        [ "$sha256" = "$wanted_sha256" ]
        return
    }
    checked=0
    cksum_of "$1"
    [ "$cksum" = - ] && cksum=${wanted_cksum%-*}-$(($(wc -c <"$1")))
    [ "$cksum" = "$wanted_cksum" ]
}

# Another delivery has taken the file away: its end is this one's too.
taken() {
    check "$path" || {
        sleep 1
        check "$path"
    } || {
        trailer sum
        exit 0
    }
    stat_of "$path"
    trailer "ok $mode $checked"
    exit 0
}

[ "$1" = b ] && need_decoder "$@"
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
# Deliveries that run at the same time each write a file of their own.
[ $# -gt 0 ] && staged=$staged.$$
# The rename that shows the file is inside one directory, thus inside one file system.
part=$directory${staged##*/}.part
if [ $# -gt 0 ]; then
    true >"$staged" || give_up tmp
    write_items "$@" >"$staged" || give_up full
elif [ ! -e "$staged" ]; then
    if [ -e "$part" ]; then
        staged=$part
    else
        check "$path" || give_up sum
        stat_of "$path"
        trailer "ok $mode $checked"
        exit 0
    fi
fi
check "$staged" || {
    [ -e "$staged" ] || taken
    give_up sum
}

owner=
if [ -e "$path" ]; then
    [ "$wanted" = - ] && stat_of "$path" && wanted=$mode
    owner=$(stat -c %u:%g "$path" || stat -f %u:%g "$path")
fi
[ "$wanted" = - ] && wanted=$new_mode
[ "$staged" = "$part" ] || mv -f "$staged" "$part" || {
    [ -e "$staged" ] || taken
    [ -w "$directory" ] || give_up denied
    give_up full
}
[ -n "$owner" ] && [ "$owner" != 0:0 ] && chown "$owner" "$part"
chmod "$wanted" "$part"
mv -f "$part" "$path" || {
    [ -e "$part" ] || taken
    give_up denied
}
trailer "ok $wanted $checked"
