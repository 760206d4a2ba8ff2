# Removes a session's two directories, and what sessions that died left behind more than a day ago.
#
# usage: S
# Trailer: "ok", or "left" when something could not be removed.
S=$1

# Streams: those who wait, and those who watch over them.
if [ -d "$S" ]; then
    true >"$S/closed"
    for fifo in "$S"/*.r.?; do
        [ -p "$fifo" ] && printf '\n\n\n' 1<>"$fifo"
    done
    for fifo in "$S"/*.d; do
        [ -p "$fifo" ] && echo x 1<>"$fifo"
    done
fi
rm -rf "$S" "$S.files" || {
    # A script that was given up may still be writing there.
    sleep 1
    rm -rf "$S" "$S.files"
}
find "${S%/*}" -maxdepth 1 -name '.pve-qga-run-*' -user "$(id -u)" -mtime +0 \
    -exec rm -rf {} +
if [ -e "$S" ] || [ -e "$S.files" ]; then
    trailer left
else
    trailer ok
fi
