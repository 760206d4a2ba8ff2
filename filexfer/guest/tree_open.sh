# Before a tree is put: where it goes, and what tar there is to unpack it.
#
# usage: DIR NAME PATH
#   DIR   is made, for the files of the transfer
#   NAME  the tree's, for when PATH is a directory; . if it has none. Both printf %b escaped.
# Trailer: "ok FORMAT INTO": FORMAT pax or gnu, INTO 1 if the tree goes to PATH/NAME, 0 to PATH; else
# "notdir", "noparent", "notool", "tmp".
unescape name "$2"
unescape path "$3"

refuse() {
    trailer "$1"
    exit 0
}

into=0
place .
if [ -d "$path" ] && [ "$name" != . ]; then
    into=1
    place "$name"
fi
if [ ! -d "$path" ]; then
    if [ -e "$path" ] || [ -h "$path" ]; then
        refuse notdir
    fi
    [ -d "${path%/*}/" ] || refuse noparent
fi
command -v tar >&2 || refuse notool
[ -d "$1" ] || mkdir "$1" || [ -d "$1" ] || refuse tmp
case $(tar --version 2>&1) in
*GNU* | *bsdtar*) trailer ok pax $into ;;
*) trailer ok gnu $into ;;
esac
