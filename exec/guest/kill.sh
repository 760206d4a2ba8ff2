# Signals a job's process group, or its command alone where there was no setsid.
#
# usage: S N SIGNAL
# Trailer: job_state; sent=1 if there was a command to signal.
F=$1/$2 sent=0

read -r pid <"$F.p" && job_state "$F" && case $state in
running*) { kill -s "$3" -- "-$pid" || kill -s "$3" "$pid"; } && sent=1 ;;
esac
job_state "$F"
trailer "$state sent=$sent"
