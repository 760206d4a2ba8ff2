# Gives up a tree and removes what there is of it.
#
# usage: DIR NAME [TREE PATH]
#   As for tree_unpack.sh; without TREE and PATH as for tree_pack.sh
# Trailer: "stop"; "ok" when the tree was in its place before, "part" when a part of it is.
work=$1/$2 hidden_name=$2
unescape tree "$3"
unescape path "$4"

read_boot
# What it gives up may start later than this, and must find the decision.
if [ -d "$1" ] || mkdir "$1" || [ -d "$1" ]; then
    decide stop
    run=1 waited=0
    while [ -e "$work.c$((run + 1))" ]; do
        run=$((run + 1))
    done
    while [ ! -s "$work.s" ] && [ -s "$work.c$run" ] && goes_on "$work.c$run"; do
        tar=
        read -r tar <"$work.t" && kill "$tar"
        sleep 0.1 || sleep 1
    done
fi
said=stop
[ "$decision" = go ] && said=part
read -r said <"$work.s"
if [ -n "$path" ]; then
    place "$tree"
    rm -rf "${path%/*}/${hidden_name:?}" "${path%/}/${hidden_name:?}"
fi
rm -f "$work.tar" "$work.part"
case $said in
ok | part) trailer "$said" ;;
*) trailer stop ;;
esac
