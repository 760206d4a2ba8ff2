#!/bin/sh
# Steers the agent of a QEMU guest from the lab's own agent in it: agentctl restart|stop|list
# Processes of the agent are all those in sessions other than the kernel's and init's (0) and the lab's agent's.
read -r control < /run/control.pid

list() {
    for directory in /proc/[0-9]*; do
        read -r line 2>/dev/null < "$directory/stat" || continue
        set -- ${line##*) }
        if [ "$4" != 0 ] && [ "$4" != "$control" ]; then
            echo "$line"
        fi
    done
}

end_all() {
    while :; do
        pids=$(list | while read -r line; do
            case ${line##*) } in Z*) ;; *) echo "${line%% *}" ;; esac
        done)
        [ -n "$pids" ] || break
        kill -9 $pids 2>/dev/null
        usleep 20000
    done
}

case $1 in
list) list ;;
stop) : > /run/agent.off; end_all ;;
restart) : > /run/agent.off; end_all; rm -f /run/agent.pid /run/agent.off ;;
esac
