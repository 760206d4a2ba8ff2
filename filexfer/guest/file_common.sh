# Put behind exec's common.sh in front of the scripts that move files.

# Makes $path absolute: a relative one starts at the home directory, as with scp.
absolute() {
    case $path in
    /*) return ;;
    esac
    home=$HOME
    case $home in
    '' | /)
        own_id=$(id -u)
        while IFS=: read -r name password id group gecos dir login; do
            [ "$id" = "$own_id" ] && home=$dir && break
        done </etc/passwd
        ;;
    esac
    path=${home:-/root}/$path
}

python_sha256() {
    python3 -c 'import hashlib,sys
h=hashlib.sha256()
for b in iter(lambda:sys.stdin.buffer.read(65536),b""):h.update(b)
print(h.hexdigest())'
}

# Sets $sha256_tool to what prints the SHA-256 of its stdin, $1 bytes if known, or to nothing. openssl
# uses the processor's own instructions, which with more than 16 MiB is worth its start.
find_sha256() {
    sha256_tool=
    if [ "${1:-0}" -gt 16777216 ] && command -v openssl >&2 && openssl dgst -sha256 </dev/null >&2; then
        sha256_tool='openssl dgst -sha256 -r'
    elif command -v sha256sum >&2; then
        sha256_tool=sha256sum
    elif command -v sha256 >&2; then
        sha256_tool='sha256 -q'
    elif command -v openssl >&2; then
        sha256_tool='openssl dgst -sha256 -r'
    elif command -v python3 >&2; then
        sha256_tool=python_sha256
    fi
}

# Sets $sha256 to that of file $1, of $2 bytes if known, or to - where the guest has no tool for it.
sha256_of() {
    find_sha256 "$2"
    sha256=
    [ -n "$sha256_tool" ] && sha256=$($sha256_tool <"$1")
    sha256=${sha256%% *}
    sha256=${sha256:--}
}

# The first $2 bytes of file $1. head -c and small blocks are slow in a slow guest.
first_bytes() {
    {
        [ "$2" -lt 65536 ] || dd bs=65536 count=$(($2 / 65536))
        [ $(($2 % 65536)) -eq 0 ] || dd bs=$(($2 % 65536)) count=1
    } <"$1"
}

# Sets $cksum to "CRC-BYTES" of file $1, or to - without cksum(1).
cksum_of() {
    cksum=-
    command -v cksum >&2 && cksum=$(cksum <"$1") && cksum=${cksum%% *}-${cksum##* }
}

# Mode in octal and size of file $1 in $mode and $size, through whichever stat(1) there is.
stat_of() {
    set -- "$1" "$(stat -L -c '%a %s' "$1" || stat -L -f '%Lp %z' "$1")"
    mode=${2% *} size=${2#* }
    [ -n "$mode" ] && return
    mode=- size=$(wc -c <"$1")
    size=$((size))
}
