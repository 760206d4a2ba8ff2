# Removes a session's directory, and what sessions that died left behind more than a day ago.
#
# usage: S
# Trailer: "ok", or "left" when something could not be removed.
S=$1

rm -rf "$S"
find "${S%/*}" -maxdepth 1 -type d -name '.pve-qga-run-*' -user "$(id -u)" -mtime +0 -exec rm -rf {} +
if [ -e "$S" ]; then
    trailer left
else
    trailer ok
fi
