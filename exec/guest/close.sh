# Removes a session's two directories, and what sessions that died left behind more than a day ago.
#
# usage: S
# Trailer: "ok", or "left" when something could not be removed.
S=$1

# Those who watch over a stream.
for fifo in "$S"/*.d; do
    [ -p "$fifo" ] && echo x 1<>"$fifo"
done
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
