# Looks at a running job: its state and what it has written so far.
#
# usage: S N OUT_BLOCK ERR_BLOCK BLOCKS PUNCH
#   Hands back up to BLOCKS blocks of 4096 bytes of each stream from block OUT_BLOCK, ERR_BLOCK.
#   PUNCH  stdout bytes up to here were read and their disk space can go, or -
# Trailer: job_state, then used=N.
S=$1 F=$1/$2 out_block=$3 err_block=$4 blocks=$5 punch=$6

job_state "$F"
[ "$punch" = - ] || fallocate -p -o 0 -l "$punch" "$F.o"
[ -s "$F.o" ] && dd if="$F.o" bs=4096 skip="$out_block" count="$blocks"
[ -s "$F.e" ] && dd if="$F.e" bs=4096 skip="$err_block" count="$blocks" >&4
used=0
read -r used <"$F.n"
trailer "$state used=$used"
