# What the scripts that hand back output share; put behind common.sh. Little output needs no process.
SMALL=2048 # Reading a byte takes a system call; this many take about as long as dd.
newline='
'

# Adds what descriptor 8 has to $text. False if that becomes larger than $SMALL. A shell loses NULs, so the
# text may be too short.
take_text() {
    while IFS= read -r line <&8; do
        text=$text$line$newline
        [ ${#text} -le $SMALL ] || return
    done
    text=$text$line
}

# False when nobody reads descriptor $1.
hand_back_text() {
    trap '' PIPE
    printf %s "$text" >&"$1"
    written=$?
    trap - PIPE
    return $written
}
