# Gives a terminal another size, which tells whatever runs in its foreground.
#
# usage: TTY ROWS COLUMNS
# Any repetition. Trailer: ok or failed.
stty rows "$2" cols "$3" <"$1" && trailer ok || trailer failed
