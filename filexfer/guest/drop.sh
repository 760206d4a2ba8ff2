# Removes what a transfer has staged.
#
# usage: DIR NAME
#   NAME  - for the whole directory
# Trailer: "ok".
if [ "$2" = - ]; then
    rm -rf "$1"
else
    rm -f "$1/$2" "$1/$2".*
fi
trailer ok
