# Unpacks a tree and puts it into its place.
#
# usage: DIR NAME TREE PATH
#   DIR/NAME.tar  the tree; NAME is also that of a hidden directory, unpredictable
#   TREE          its name in the directory PATH, or . if it is PATH. Both printf %b escaped.
# The tree is unpacked beside its place, or in it if there is a directory already. Then it is shown
# with one rename, or file by file, after a look at what cannot be. May be repeated.
# Trailer: "ok"; "stop" if it was given up; "gone" without NAME.tar; "full", "tmp"; and with an
# explanation on stdout "clash", "denied", "tar STATUS", or "part" when a part is in its place.
work=$1/$2 hidden_name=$2
unescape tree "$3"
unescape path "$4"

# Removes what was unpacked, then does the rest of its arguments.
give_up() {
    rm -rf "$hidden" "$work.tar"
    "$@"
}

unpack() {
    how=new hidden=${path%/*}/$hidden_name
    [ -d "$path" ] && how=merge hidden=${path%/}/$hidden_name
    [ -e "$work.d" ] && finish stop
    [ -e "$work.tar" ] || finish gone
    # A run that was cut off may have left it.
    rm -rf "$hidden"
    if ! mkdir "$hidden"; then
        explain "$hidden"
        give_up finish denied
    fi
    run_tar -x -p -f "$work.tar" -C "$hidden" || give_up tar_failed
    echo $how >"$work.x" || {
        rm -f "$work.tar"
        echo $how >"$work.x"
    }
    rm -f "$work.tar"
}

# Looks for what of directory $1 cannot be in directory $2.
clashes() {
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        name=${entry##*/}
        if [ -d "$entry" ] && [ ! -h "$entry" ]; then
            if [ -d "$2/$name" ]; then
                clashes "$entry" "$2/$name" && return
            elif [ -e "$2/$name" ] || [ -h "$2/$name" ]; then
                explain "$2/$name is no directory"
                return
            fi
        elif [ -e "$entry" ] || [ -h "$entry" ]; then
            if [ -d "$2/$name" ] && [ ! -h "$2/$name" ]; then
                explain "$2/$name is a directory"
                return
            fi
        fi
    done
    return 1
}

# Moves from directory $1 into $2, many with each mv, but for directories that $3 has, too.
move() {
    from=$1 to=$2 there=$3
    set --
    for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
        [ -e "$entry" ] || [ -h "$entry" ] || continue
        [ -d "$entry" ] && [ ! -h "$entry" ] && [ -d "$there/${entry##*/}" ] && continue
        set -- "$@" "$entry"
        [ $# -lt 200 ] && continue
        mv -f "$@" "$to/" 2>"$work.e" || return
        set --
    done
    [ $# -eq 0 ] || mv -f "$@" "$to/" 2>"$work.e"
}

same_device() {
    # shellcheck disable=SC2046 # two numbers
    set -- $(stat -L -c %d "$1" "$2" || stat -L -f %d "$1" "$2")
    [ $# -eq 2 ] && [ "$1" = "$2" ]
}

# A move to another file system copies and would show half a file; so there it goes by a hidden
# directory of that file system.
move_across() {
    mkdir -p "$2/$hidden_name" && move "$1" "$2/$hidden_name" "$2" &&
        move "$2/$hidden_name" "$2" "$2"
    moved=$?
    rm -rf "$2/${hidden_name:?}"
    return $moved
}

# Moves all of directory $1 into $2.
merge() {
    if [ "$1" = "$hidden" ] || same_device "$1" "$2"; then
        move "$1" "$2" "$2" || return
    else
        move_across "$1" "$2" || return
    fi
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -d "$entry" ] && [ ! -h "$entry" ]; then
            merge "$entry" "$2/${entry##*/}" || return
        fi
    done
}

show() {
    # It was shown by a run that was cut off after that.
    [ -e "$hidden" ] || return
    if [ "$how" = merge ]; then
        clashes "$hidden" "$path" && give_up finish clash
        decide go || give_up finish stop
        merge "$hidden" "$path" || give_up finish part
        rm -rf "$hidden"
        return
    fi
    decide go || give_up finish stop
    if [ -e "$path" ] || [ -h "$path" ]; then
        explain "$path has come into being meanwhile"
        give_up finish clash
    fi
    mv -f "$hidden" "$path" 2>"$work.e" || give_up finish denied
}

if [ ! -d "$1" ]; then
    trailer gone
    exit 0
fi
claim
place "$tree"
if read -r how <"$work.x"; then
    hidden=${path%/*}/$hidden_name
    [ "$how" = merge ] && hidden=${path%/}/$hidden_name
else
    unpack
fi
show
true >"$work.e"
finish ok
