# What the scripts that start a command share; put between common.sh and each of them.
#
# They have the session's directory in $S, the job's number in $N, the beginning of its files' names
# in $F, and their arguments RETRY and FLAGS (see job.sh) in $retry and $flags.

# Returns in the one launcher that runs the command. Others tell how the job is, and by again=1 that they
# have found a claim.
claim() {
    if [ "$retry" != - ] && [ ! -e "$F.c" ]; then
        uptime=
        IFS=' .' read -r uptime ignored </proc/uptime
        [ -n "$uptime" ] && [ "$uptime" -gt "$retry" ] || {
            trailer restarted
            exit 0
        }
    fi
    [ -d "$S" ] || mkdir "$S" || [ -d "$S" ] || {
        trailer nodir
        exit 0
    }
    set -C
    # Not ':', a special builtin: its failed redirection would end the shell.
    if ! true >"$F.c"; then
        set +C
        if [ -e "$F.c" ]; then
            job_state "$F"
            trailer "$state again=1"
        else
            trailer nodir
        fi
        exit 0
    fi
    set +C
    echo $$ >"$F.c" || refuse full
}

# A shell starts '&' jobs with SIGINT and SIGQUIT ignored, for good. bash can undo that; for others
# env(1) does, where it knows how.
find_tools() {
    setsid=
    command -v setsid >&2 && setsid=setsid
    env=
    if [ -z "$BASH_VERSION" ]; then
        case $flags in
        *p*) env --default-signal=INT,QUIT true && flags=${flags}d ;;
        esac
        case $flags in
        *d*) env='env --default-signal=INT,QUIT' ;;
        esac
    fi
    # By the agent's PATH, where the command has another.
    [ -n "$own_path" ] || return
    setsid=${setsid:+$(command -v setsid)}
    env=${env:+$(command -v env) --default-signal=INT,QUIT}
}

read_items() {
    command= executable=/bin/sh directory= items= own_path=
    while [ $# -gt 1 ]; do
        case $1 in
        c)
            unescape value "$2"
            command=$command$value
            ;;
        X) command=". '$F.x'" ;;
        x) unescape executable "$2" ;;
        w) unescape directory "$2" ;;
        e)
            case $2 in
            PATH=*) own_path=yes ;;
            esac
            ;;
        b)
            [ "$items" = b ] || need_decoder $# b
            items=b
            ;;
        p | P)
            [ -n "$items" ] || need_decoder $# P
            items=${items:-p}
            ;;
        esac
        shift 2
    done
}

own_uid() {
    uid=
    while read -r key uid rest; do
        [ "$key" = Uid: ] && return
    done </proc/self/status
    uid=$(id -u)
}

# What a login would have set. An agent started by init has no HOME, or "/".
login_environment() {
    own_uid
    home= user= shell=
    while IFS=: read -r name password id group gecos dir login; do
        if [ "$id" = "$uid" ]; then
            home=$dir user=$name shell=$login
            break
        fi
    done </etc/passwd
    case $HOME in
    '' | /) HOME=${home:-/root} ;;
    esac
    [ -d "$HOME" ] || HOME=/
    USER=${user:-root} LOGNAME=${user:-root} SHELL=${shell:-/bin/sh}
    PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
    export HOME USER LOGNAME SHELL PATH
}

# Exports an escaped NAME=VALUE. Only in arguments: any variable may be the one that is exported, or has
# been before.
set_variable() {
    case $1 in
    *\\*)
        set -- "$(printf '%b.' "$1")"
        set -- "${1%.}"
        ;;
    esac
    # shellcheck disable=SC2163
    export "$1"
}

# Pieces in a line of escapes need no process, so they are not removed one by one either.
forget_lines() {
    files=$N.k.$used k=1
    while [ $k -lt 64 ]; do
        files="$files $N.k.$((used - k))"
        k=$((k + 1))
    done
    # shellcheck disable=SC2086 # a list of words
    (cd "$S" && rm -f $files)
}

feed() {
    exec 3<&- 4>&- 5>&- >"$F.f" 6<>"$F.q"
    used=0
    while :; do
        if [ -f "$F.i.$used" ]; then
            cat "$F.i.$used" || exit
            rm -f "$F.i.$used"
        elif IFS= read -r text <"$F.k.$used"; then
            printf %b "$text" || exit
            [ $((used % 64)) != 63 ] || forget_lines
        elif read -r total <"$F.i.end" && [ "$used" -ge "$total" ]; then
            exit
        else
            read -r ignored <&6 || exit
            continue
        fi
        used=$((used + 1))
        echo $used >"$F.n"
    done
}

prepare_stdin() {
    feeder=
    case $flags in
    *f*)
        mkfifo "$F.f" "$F.q" || refuse nofifo
        input=$F.f
        feed &
        feeder=$!
        ;;
    *)
        input=/dev/null
        if [ -n "$items" ]; then
            eval "$write_items" >"$F.in"
            took_all "$F.w" || refuse full
            input=$F.in
        fi
        ;;
    esac
}

# Whether the command is the path of a program, which the kernel starts: no shell is needed for it.
is_program() {
    case $executable$command in
    /bin/sh/*[!A-Za-z0-9/._-]*) return 1 ;;
    /bin/sh/*) [ -f "$command" ] && [ -x "$command" ] && IFS= read -r head <"$command" || return ;;
    *) return 1 ;;
    esac
    case $head in
    '#!'* | ?ELF*) ;;
    *) return 1 ;;
    esac
}

# Becomes the command. Runs in a subshell, whose stdin is /dev/null.
run() {
    trap - INT QUIT CHLD
    case $flags in
    *i*) exec <&3 ;;
    *) exec <"$input" ;;
    esac
    case $flags in
    *n*) exec 2>&4 ;;
    *) exec >&9 2>&6 6>&- 7>&- 9>&- ;;
    esac
    exec 3<&- 4>&- 5>&-
    umask 022
    if [ -n "$agent_lc_all" ]; then
        LC_ALL=$agent_lc_all
    else
        unset LC_ALL
    fi
    # shellcheck disable=SC2086 # lists of words
    if is_program; then
        export PWD
        set -- "$@" - $setsid $env "$command"
    else
        set -- "$@" - $setsid $env "$executable" -c "$command"
    fi
    while [ "$1" != - ]; do
        [ "$1" != e ] || set_variable "$2"
        shift 2
    done
    shift
    exec "$@"
}

# How a command of bash's ended, from the text of its state. Its status cannot be relied on: `wait`
# returns early whenever a child of ours ends, and forgets what `jobs` has told.
status_of_state() {
    number=
    case $state in
    *Done\(*)
        number=${state#*Done(}
        code=${number%%)*}
        ;;
    *Exit\ [0-9]*)
        number=${state#*Exit }
        code=${number%% *}
        ;;
    *Done*) code=0 ;;
    *Hangup*) code=129 ;;
    *Interrupt*) code=130 ;;
    *Quit*) code=131 ;;
    *Illegal*) code=132 ;;
    *Trace*) code=133 ;;
    *Aborted*) code=134 ;;
    *Bus*) code=135 ;;
    *Floating*) code=136 ;;
    *Killed*) code=137 ;;
    *'signal 1'*) code=138 ;;
    *Segmentation*) code=139 ;;
    *'signal 2'*) code=140 ;;
    *Broken*) code=141 ;;
    *Alarm*) code=142 ;;
    *Terminated*) code=143 ;;
    *Stack*) code=144 ;;
    *CPU*) code=152 ;;
    *File*) code=153 ;;
    *Virtual*) code=154 ;;
    *Profiling*) code=155 ;;
    *I/O*) code=157 ;;
    *Power*) code=158 ;;
    *system*) code=159 ;;
    esac
}

# Waits for the command and tells death by signal from an exit status above 128, which $? cannot:
# `jobs` shows the state. bash forgets a job with `wait`, so there a trap looks first.
await() {
    bash= gone=
    case $flags in
    *n*) ;;
    *) bash=$BASH_VERSION ;;
    esac
    # A command that ended before the trap was set is seen by the first `jobs`.
    [ -n "$bash" ] && trap 'jobs -l >>"$F.j"' CHLD && jobs -l >>"$F.j"
    while :; do
        wait "$pid"
        code=$?
        [ -n "$bash" ] || jobs -l >>"$F.j"
        state=
        while read -r line; do
            case $line in
            *" $pid "*) state=$line ;;
            esac
        done <"$F.j"
        case $state in
        *Running* | *Stopped*)
            kill -0 "$pid" && continue
            # It has ended, and only its trap is still to come.
            [ -n "$bash" ] && [ -z "$gone" ] && gone=yes && jobs -l >>"$F.j" && continue
            state=
            ;;
        esac
        break
    done
    if [ -n "$bash" ]; then
        trap - CHLD
        status_of_state
    fi
    signal=0
    case $state in
    *Done* | *Exit* | '') ;;
    *) signal=$((code - 128)) ;;
    esac
}

tell_tools() {
    tools=
    for tool in base64 openssl python3 perl gzip sha256sum sha256 cksum setsid mkfifo script \
        fallocate stat su runuser sudo; do
        command -v $tool >&2 && tools=$tools,$tool
    done
    boot=-
    read -r boot </proc/sys/kernel/random/boot_id
    facts=" flags=$flags boot=$boot uid=$uid tools=$tools"
}

# The number of a child that has ended may be somebody else's by now.
is_child() {
    [ -e /proc/self/stat ] || return 0
    read -r line <"/proc/$1/stat" || return
    line=${line##*) }
    line=${line#* }
    [ "${line%% *}" = $$ ]
}

end_feeder() {
    [ -z "$feeder" ] || { is_child "$feeder" && kill "$feeder"; }
}

# Before anything runs: undo the claim and say why.
refuse() {
    rm -f "$F".*
    trailer "$1"
    exit 0
}

# Removes the files of ended jobs, when nobody waits any more.
forget_acked() {
    [ "$acked" != - ] || return 0
    files=
    for number in $acked; do
        files="$files $number.*"
    done
    # shellcheck disable=SC2086 # patterns
    cd "$S" && rm -f $files 4>&- 5>&- >&2 &
}
