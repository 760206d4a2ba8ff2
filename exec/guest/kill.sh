# Signals a job's process group, or its command alone where there was no setsid.
#
# usage: S N SIGNAL
# Trailer: job_state.
F=$1/$2

read -r pid <"$F.p" && job_state "$F" && case $state in
running*) kill -s "$3" -- "-$pid" || kill -s "$3" "$pid" ;;
esac
job_state "$F"
trailer "$state"
