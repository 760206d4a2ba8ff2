# Speaks to the agents of a node's VMs for a client on stdin and stdout. The way into a VM's agent
# is the socket DIR/VMID.qga, which QEMU lets one client use at a time: others wait, Proxmox VE's
# own calls among them, for 3 s. So a connection is kept while there is work, for $hold seconds at
# most, and $linger seconds longer than that work, since an agent that nobody is connected to
# sleeps for 0.1 s at a time.
#
# Request: "ID VMID MILLISECONDS BYTES\n", then BYTES bytes: agent commands, one a line. Answer: "ID
# ok BYTES\n" with the agent's answers, one a line; or "ID none BYTES\n" or "ID unknown BYTES\n" with
# a reason, "none" if the agent was certainly not given any command. With several commands the first
# one's result stands for @HANDLE@ in the others; after an error only the last one follows.
#
# What another client left unread comes first on a new connection: 0xFF and guest-sync-delimited
# tell where the own answers begin.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use Fcntl;
use Socket;
use Time::HiRes qw(time);

my ($hold, $linger, $patience, $retry) = (1, 0.05, 5, 0.02);
my $dir = $ENV{PVE_QGA_RELAY_DIR} // '/var/run/qemu-server';
my $answer_max = 64 << 20;
my $output_max = 8 << 20;
my ($in, $out, $sync, %vms) = ('', "pve-qga-relay 1\n", $$ << 20);

sub answer {
    my ($job, $what, $text) = @_;
    $out .= "$job->{id} $what " . length($text) . "\n$text";
}

# Why a VM's socket cannot be opened.
sub reason {
    my ($id, $error) = @_;
    if (-d '/etc/pve/qemu-server' && !-e "/etc/pve/qemu-server/$id.conf") {
        my ($other) = glob("/etc/pve/nodes/*/qemu-server/$id.conf");
        return "Configuration file 'qemu-server/$id.conf' does not exist"
            . ($other && $other =~ m{nodes/([^/]+)/} ? " (the VM is on node $1)" : '');
    }
    return "VM $id is not running" if !-e "$dir/$id.pid";
    return 'No QEMU guest agent configured' if !-e "$dir/$id.qga";
    return "unable to open monitor socket of VM $id: $error";
}

sub hang_up {
    my ($vm) = @_;
    close($vm->{sock}) if $vm->{sock};
    delete @$vm{qw(sock phase due)};
}

# Ends the current job, and for what concerns the connection all others with it.
sub fail {
    my ($vm, $text, $all) = @_;
    my $sent = ($vm->{phase} // '') eq 'job';
    my $job = $sent ? delete $vm->{job} : shift @{$vm->{jobs}};
    hang_up($vm);
    answer($job, $sent ? 'unknown' : 'none', $text) if $job;
    return if !$all;
    answer($_, 'none', $text) for splice(@{$vm->{jobs}});
}

sub dial {
    my ($vm) = @_;
    $vm->{phase} = 'dial';
    $vm->{due} //= time() + $patience;
    socket(my $sock, PF_UNIX, SOCK_STREAM, 0) or return fail($vm, "no socket: $!", 1);
    fcntl($sock, F_SETFL, O_RDWR | O_NONBLOCK);
    if (connect($sock, pack_sockaddr_un("$dir/$vm->{id}.qga"))) {
        $sync++;
        @$vm{qw(sock phase in out sync)} = ($sock, 'sync', '',
            "\xff" . qq({"execute":"guest-sync-delimited","arguments":{"id":$sync}}\n), $sync);
    } elsif ($! == EAGAIN) {
        $vm->{again} = time() + $retry;
    } else {
        fail($vm, reason($vm->{id}, $!), 1);
    }
}

sub send_next {
    my ($vm) = @_;
    my $job = $vm->{job};
    my $line = shift @{$job->{lines}};
    $line =~ s/\@HANDLE\@/$job->{handle}/ if defined $job->{handle};
    $vm->{out} .= "$line\n";
}

# The connection is free: the next job, or the end of it.
sub next_job {
    my ($vm) = @_;
    if (@{$vm->{jobs}} && time() < $vm->{opened} + $hold) {
        $vm->{phase} = 'job';
        my $job = $vm->{job} = shift @{$vm->{jobs}};
        $vm->{due} = time() + $job->{seconds};
        send_next($vm);
    } elsif (@{$vm->{jobs}}) {
        hang_up($vm);
        dial($vm);
    } else {
        $vm->{phase} = 'idle';
        my $end = $vm->{opened} + $hold;
        $vm->{due} = time() + $linger;
        $vm->{due} = $end if $end < $vm->{due};
    }
}

# One line of the agent's.
sub take_line {
    my ($vm, $line) = @_;
    my $job = $vm->{job};
    $job->{answers} .= $line;
    my $lines = $job->{lines};
    my $failed = $line =~ /^\s*\{\s*"error"/;
    if (!defined $job->{handle}) {
        @$lines = () if $failed;
        $job->{handle} = $line =~ /"return":\s*(\d+)\s*\}/ ? $1 : '';
    } elsif ($failed && @$lines) {
        @$lines = ($lines->[-1]);
    }
    return send_next($vm) if @$lines;
    answer(delete $vm->{job}, 'ok', $job->{answers});
    next_job($vm);
}

sub take_input {
    my ($vm) = @_;
    my $seen = length($vm->{in});
    my $got = sysread($vm->{sock}, $vm->{in}, 1 << 18, $seen);
    return if !defined $got && ($! == EAGAIN || $! == EINTR);
    return fail($vm, "VM $vm->{id} qga command failed - the agent hung up", 0) if !$got;
    return fail($vm, "VM $vm->{id} qga command failed - its answer is too long", 0)
        if length($vm->{in}) > $answer_max;
    if ($vm->{phase} eq 'sync') {
        return if $vm->{in} !~ /\xff\s*\{"return":\s*$vm->{sync}\s*\}\s*\n/;
        @$vm{qw(in opened)} = ('', time());
        return next_job($vm);
    }
    my $end = index($vm->{in}, "\n", $seen);
    return if $end < 0;
    my $line = substr($vm->{in}, 0, $end + 1, '');
    take_line($vm, $line) if $vm->{phase} eq 'job';
}

sub flush_vm {
    my ($vm) = @_;
    my $sent = syswrite($vm->{sock}, $vm->{out}, 1 << 18);
    if (defined $sent) {
        substr($vm->{out}, 0, $sent, '');
    } elsif ($! != EAGAIN && $! != EINTR) {
        fail($vm, "VM $vm->{id} qga command failed - $!", 0);
    }
}

sub too_late {
    my ($vm) = @_;
    return hang_up($vm) if $vm->{phase} eq 'idle';
    return fail($vm, "VM $vm->{id} qga command failed - got timeout", 0) if $vm->{phase} eq 'job';
    fail($vm, 'QEMU guest agent is not running', 1);
}

sub take_requests {
    while ($in =~ /^(\d+) (\d+) (\d+) (\d+)\n/) {
        my ($id, $vmid, $ms, $bytes, $head) = ($1, $2, $3, $4, $+[0]);
        last if length($in) < $head + $bytes;
        my $text = substr($in, $head, $bytes);
        substr($in, 0, $head + $bytes, '');
        my $vm = $vms{$vmid} //= {id => $vmid, jobs => []};
        push @{$vm->{jobs}},
            {id => $id, seconds => $ms / 1000, lines => [split /\n/, $text], answers => ''};
        if (!$vm->{phase}) {
            dial($vm);
        } elsif ($vm->{phase} eq 'idle') {
            next_job($vm);
        }
    }
}

$SIG{PIPE} = 'IGNORE';
for my $handle (\*STDIN, \*STDOUT) {
    binmode($handle);
    fcntl($handle, F_SETFL, fcntl($handle, F_GETFL, 0) | O_NONBLOCK);
}
while (1) {
    my ($read, $write, $wait) = ('', '', 60);
    my $now = time();
    for my $vm (values %vms) {
        next if !$vm->{phase};
        my $due = $vm->{phase} eq 'dial' && $vm->{again} < $vm->{due} ? $vm->{again} : $vm->{due};
        $wait = $due - $now if $due - $now < $wait;
        next if !$vm->{sock};
        vec($read, fileno($vm->{sock}), 1) = 1 if length($out) < $output_max;
        vec($write, fileno($vm->{sock}), 1) = 1 if length($vm->{out});
    }
    vec($read, 0, 1) = 1;
    vec($write, 1, 1) = 1 if length($out);
    select($read, $write, undef, $wait < 0 ? 0 : $wait);
    if (vec($read, 0, 1)) {
        my $got = sysread(STDIN, $in, 1 << 18, length($in));
        exit 0 if defined $got ? !$got : $! != EAGAIN && $! != EINTR;
        take_requests();
    }
    if (vec($write, 1, 1)) {
        my $sent = syswrite(STDOUT, $out, 1 << 18);
        exit 0 if !defined $sent && $! != EAGAIN && $! != EINTR;
        substr($out, 0, $sent // 0, '');
    }
    $now = time();
    for my $vm (map { $vms{$_} } keys %vms) {
        next if !$vm->{phase};
        flush_vm($vm) if $vm->{sock} && length($vm->{out}) && vec($write, fileno($vm->{sock}), 1);
        take_input($vm) if $vm->{sock} && vec($read, fileno($vm->{sock}), 1);
        if ($vm->{phase} && $vm->{phase} eq 'dial' && $now >= $vm->{again}) {
            $now < $vm->{due} ? dial($vm) : too_late($vm);
        } elsif ($vm->{phase} && $now >= $vm->{due}) {
            too_late($vm);
        }
        dial($vm) if !$vm->{phase} && @{$vm->{jobs}};
        delete $vms{$vm->{id}} if !$vm->{phase};
    }
}
