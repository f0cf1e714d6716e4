# A process the test started: start, signals, stop. Processes end with the
# test, by pid: descendants too (the test is the subreaper of what it
# started, so that an nginx that forked itself anew is found as well).

package Goim::Proc;

use strict;
use warnings;

use Config;
use POSIX qw(:sys_wait_h);
use Time::HiRes ();

my $prctl = $Config{archname} =~ /^aarch64/ ? 167 : 157;
my ($pdeathsig, $subreaper) = (1, 36);

my @all;            # Goim::Proc, in the order they were started
my %status;         # pid => wait status of what ended
my $owner = $$;

syscall($prctl, $subreaper, 1, 0, 0, 0);

# kill, of processes only: 0, what an unset field of a status becomes, would be
# the whole process group, the one that runs the tests
sub hit {
    my ($sig, @pids) = @_;
    for (@pids) {
        die "no process to send SIG$sig to: " . ($_ // 'undef') . "\n"
            if !defined || !/^[1-9]\d*\z/ || $_ == 1;
    }
    my $n = kill $sig, @pids;
    return $n if $sig ne 'STOP';

    # the signal is on its way yet
    for my $pid (@pids) {
        my $end = Time::HiRes::time() + 2;
        Time::HiRes::sleep(0.002)
            while !stands($pid) && Time::HiRes::time() < $end;
    }
    return $n;
}

# every thread of it is stopped, or gone
sub stands {
    my ($pid) = @_;
    for my $stat (glob "/proc/$pid/task/*/stat") {
        open my $fh, '<', $stat or next;
        my $line = <$fh> // '';
        return 0 if $line ne '' && $line !~ /\) [TtZX] /;
    }
    return 1;
}

# name, cmd => [...], dir; env => {...}, stop => 'TERM', log => file for
# stdout and stderr (dir/NAME.log)
sub new {
    my ($class, %arg) = @_;
    return bless { stop => 'TERM', env => {}, %arg }, $class;
}

sub start {
    my ($self) = @_;
    my $log = $self->{log} || "$self->{dir}/$self->{name}.log";

    die "$self->{name} is running\n" if $self->alive;

    open my $out, '>>', $log or die "$log: $!";

    # a signal to the child must not find the test's own handlers
    my $before = POSIX::SigSet->new;
    POSIX::sigprocmask(POSIX::SIG_BLOCK, POSIX::SigSet->new(POSIX::SIGINT,
        POSIX::SIGTERM, POSIX::SIGHUP), $before);
    my $pid = fork;
    my $error = $!;

    if (defined $pid && !$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        POSIX::sigprocmask(POSIX::SIG_SETMASK, $before);
        setpgrp;
        syscall($prctl, $pdeathsig, $self->{stop} eq 'KILL' ? 9 : 15, 0, 0, 0);
        POSIX::_exit(1) if getppid != $owner;

        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $out or POSIX::_exit(1);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
        chdir $self->{dir} if $self->{dir};
        $ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} };
        { exec { $self->{cmd}[0] } @{ $self->{cmd} } }
        print STDERR "[emerg] $self->{cmd}[0]: $!\n";
        POSIX::_exit(127);
    }

    POSIX::sigprocmask(POSIX::SIG_SETMASK, $before);
    die "fork: $error" if !defined $pid;

    delete $status{$pid};       # of an earlier process by that number
    $self->{pid} = $pid;
    push @all, $self if !grep { $_ == $self } @all;
    return $self;
}

sub pid { return $_[0]{pid} }

# seconds that a process was on a CPU, with all its threads that live
sub cpu {
    my ($pid) = @_;
    my $ns = 0;
    for (glob "/proc/$pid/task/*/schedstat") {
        open my $fh, '<', $_ or next;
        $ns += (split ' ', <$fh> // '0')[0];
    }
    return $ns / 1e9;
}

sub reap {
    local ($?, $!);
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        $status{$pid} = $?;
    }
}

sub alive {
    my ($self) = @_;
    return $self->{pid} ? running($self->{pid}) : 0;
}

# Whether any process still runs. A zombie of somebody else does not; one of
# ours will be reaped in a moment, and has its status only then.
sub running {
    my ($pid) = @_;
    reap();
    return 0 if exists $status{$pid};
    open my $fh, '<', "/proc/$pid/stat" or return 0;
    my $stat = <$fh>;
    my ($state, $parent) = defined $stat ? $stat =~ /.*\) (\S) (\d+)/ : ();
    return defined $state && ($state ne 'Z' || $parent == $$) ? 1 : 0;
}

# the wait status ($? of the process), undef while it runs
sub exit_status {
    my ($self) = @_;
    reap();
    return $self->{pid} ? $status{ $self->{pid} } : undef;
}

sub signal {
    my ($self, $sig) = @_;
    return $self->alive ? hit($sig, $self->{pid}) : 0;
}

# it stands when this returns
sub pause  { return $_[0]->signal('STOP') }
sub resume { return $_[0]->signal('CONT') }

# Wait until it ended; its wait status, undef when it still runs.
sub wait_exit {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time() + ($timeout || 10);

    while ($self->alive) {
        return undef if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.01);
    }
    return $self->exit_status;
}

# Stop in the gentle way, after $timeout by SIGKILL with all descendants; the
# wait status.
sub stop {
    my ($self, $timeout) = @_;
    return $self->exit_status if !$self->alive;

    my @family = ($self->{pid}, descendants($self->{pid}));
    hit('CONT', @family);
    hit($self->{stop}, $self->{pid});
    return $self->wait_exit(1) if $self->{stop} eq 'KILL';

    if (!defined $self->wait_exit($timeout || 20)) {
        my ($state) = eval { Goim::Test::slurp("/proc/$self->{pid}/status") }
            =~ /^State:\s+(.*)/m;
        warn "# $self->{name} $self->{pid} did not stop, state "
            . ($state || 'unknown') . ": killed\n";
        hit('KILL', $self->{pid}, descendants($self->{pid}), @family);
        $self->wait_exit(5);
    }
    return $self->exit_status;
}

sub kill9 {
    my ($self) = @_;
    return if !$self->alive;
    hit('KILL', $self->{pid});
    return $self->wait_exit(5);
}

# ---- families ----------------------------------------------------------------

# pid => ppid of all processes
sub table {
    my %parent;
    opendir my $dh, '/proc' or return {};
    for my $pid (grep { /^\d+$/ } readdir $dh) {
        open my $fh, '<', "/proc/$pid/stat" or next;
        my $stat = <$fh>;
        next if !defined $stat;
        $parent{$pid} = $1 if $stat =~ /\) (?!Z)\S (\d+)/;
    }
    return \%parent;
}

sub children {
    my ($pid) = @_;
    my $parent = table();
    return sort { $a <=> $b } grep { $parent->{$_} == $pid } keys %$parent;
}

sub descendants {
    my ($pid) = @_;
    my $parent = table();
    my (@found, @todo);

    @todo = ($pid);
    while (defined(my $p = shift @todo)) {
        my @kids = grep { $parent->{$_} == $p } keys %$parent;
        push @found, @kids;
        push @todo, @kids;
    }
    return @found;
}

# The last started is stopped first; nothing that descends from us remains.
sub stop_all {
    return if $$ != $owner;

    for my $p (reverse @all) {
        $p->stop;
    }
    @all = ();

    for my $sig (qw(TERM KILL)) {
        my $end = Time::HiRes::time() + 3;
        while (my @left = descendants($$)) {
            hit('CONT', @left);
            hit($sig, @left);
            Time::HiRes::sleep(0.02);
            reap();
            last if Time::HiRes::time() > $end;
        }
    }
}

1;
