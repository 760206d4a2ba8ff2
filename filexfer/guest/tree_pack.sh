# Packs a directory as DIR/NAME.tar.
#
# usage: DIR NAME PACK PATH
#   PACK  0: only say what PATH is
#   PATH  printf %b escaped
# May be repeated.
# Trailer: "ok", with what tar had to remark on stdout; "dir" without PACK; "file" for what is no
# directory; "missing", "denied", "notool", "tmp", "full", "stop" if it was given up, or "tar STATUS"
# with what tar said on stdout.
work=$1/$2
unescape path "$4"

refuse() {
    trailer "$1"
    exit 0
}

place .
[ -e "$path" ] || refuse missing
[ -d "$path" ] || refuse file
[ "$3" = 1 ] || refuse dir
[ -r "$path" ] && [ -x "$path" ] || refuse denied
command -v tar >&2 || refuse notool
[ -d "$1" ] || mkdir "$1" || [ -d "$1" ] || refuse tmp
claim
[ -e "$work.d" ] && finish stop

# Names are bytes. What GNU tar calls 1 is a file that changed while it was read.
remarks=0 full=
case $(tar --version 2>&1) in
*GNU*)
    remarks=1
    set -- --format=posix --numeric-owner \
        --pax-option=delete=atime,delete=ctime,hdrcharset:=BINARY
    ;;
*bsdtar*) set -- --format=pax ;;
*) set -- ;;
esac
run_tar "$@" -c -f "$work.part" -C "$path/" .
if [ $tar_status -gt $remarks ] || [ -e "$work.d" ]; then
    # What tar says of a full disk is on that disk.
    dd if=/dev/zero of="$work.f" bs=65536 count=1 || full=1
    rm -f "$work.part" "$work.f"
    [ "$full" = 1 ] && finish full
    tar_failed
fi
mv "$work.part" "$work.tar" || finish tmp
finish ok
