# Removes what a transfer has staged.
#
# usage: DIR NAME
# Trailer: "ok".
rm -f "$1/$2" "$1/$2".*
trailer ok
