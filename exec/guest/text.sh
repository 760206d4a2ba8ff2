# What the scripts that hand back output share; put behind common.sh. Little output needs no process.
SMALL=2048 # Reading a byte takes a system call; this many take about as long as dd.
newline='
'

# Adds what file $1 holds to $text, and sets $at to how much that is, or to nothing where /proc does not
# tell. False if the text becomes larger than $SMALL. A shell loses NULs, so the text may be too short.
take_text() {
    {
        while IFS= read -r line <&8; do
            text=$text$line$newline
            [ ${#text} -le $SMALL ] || return
        done
        text=$text$line
        position 8
    } 8<"$1"
}

# False when nobody reads descriptor $1.
hand_back_text() {
    trap '' PIPE
    printf %s "$text" >&"$1"
    written=$?
    trap - PIPE
    return $written
}

# Sets $at to the offset of descriptor $1.
position() {
    at=
    read -r ignored at <"/proc/self/fdinfo/$1"
}
