#!/bin/sh
# The first process of a QEMU guest: mounts, loads the virtio-serial driver, keeps two agents running.
# One agent is the guest's own, on the port that Proxmox VE talks to. The other one, on a port of the
# lab's, is how the lab looks inside without touching the first.
# The last directory has what a Debian root lacks.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin:/usr/lib/lab
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for directory in /dev/shm /tmp /var/tmp /run; do
    mount -t tmpfs -o mode=1777,size=80% tmpfs $directory
done
hostname "$(cat /etc/hostname)"
for module in /lib/modules/*.ko; do
    insmod "$module"
done

# A real file system, without which the agent has nothing to freeze.
dd if=/dev/zero of=/run/disk.img bs=1M count=8 2>/dev/null
mke2fs -F /run/disk.img >/dev/null
mount -t ext2 -o loop /run/disk.img /disk

port() {
    while :; do
        for entry in /sys/class/virtio-ports/*; do
            if [ -e "$entry/name" ] && read -r name < "$entry/name" && [ "$name" = "$1" ]; then
                echo "/dev/${entry##*/}"
                return
            fi
        done
        sleep 0.05
    done
}

# Restarts the agent at once whenever it ends, as systemd does, unless it is to stay off.
supervise() {
    device=$(port "$2")
    while :; do
        if [ ! -e "/run/$1.off" ]; then
            # shellcheck disable=SC2016,SC2086 # expanded by the inner shell; a list of words
            setsid sh -c 'echo $$ > "$1"; device=$2; shift 2; exec env -i "$@" qemu-ga -m virtio-serial -p "$device" -t /run' \
                sh "/run/$1.pid" "$device" $3 < /dev/null > "/run/$1.log" 2>&1
        fi
        sleep 0.05
    done
}

read -r environment < /etc/agent-environment
supervise control lab.control "PATH=$PATH" &
supervise agent org.qemu.guest_agent.0 "$environment" &
while :; do
    wait
done
