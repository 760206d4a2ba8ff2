#!/bin/sh
# Brings up the network of a QEMU guest with a Debian root, as QEMU's user networking has it, and an SSH server.
# stdin: a line with the public key that root may log in with, then the server's private key.
# The lab's agent runs this, and the server stays in its session, so it is no process of the guest's agent.
set -eu
umask 077
mkdir -p /root/.ssh /run/sshd
read -r key
echo "$key" > /root/.ssh/authorized_keys
cat > /etc/ssh/host_key
cat > /etc/ssh/sshd_config <<END
HostKey /etc/ssh/host_key
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
Subsystem sftp /usr/lib/openssh/sftp-server
END
grep -q '^sshd:' /etc/passwd || echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >> /etc/passwd
for module in /lib/modules/network/*.ko; do
    insmod "$module"
done
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
/usr/sbin/sshd -D -e < /dev/null > /run/sshd.log 2>&1 &
