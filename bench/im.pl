#!/usr/bin/perl
# Messages between people: what one costs each process, microseconds of CPU, user
# and system, from operation 4 until it is stored, answered, and with all devices
# of all members, which follow their inboxes; and what is missed, read again.
#
#     perl bench/im.pl [--postgresql] [--kafka] [--count 8000] [--pairs 8]
#         [--group 100] [--missed 10000] [--rounds 5]
#
# Pairs: each has a process with two devices of each of its users, one of which
# sends. Then a group of so many, one device each, in one process; then one user
# who missed so many messages of 50 conversations.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use IO::Select ();
use Goim::Cluster;
use Goim::Postgres;
use Goim::Proc;
use Goim::Sender;
use Goim::Test;
use List::Util qw(sum);
use POSIX ();
use Time::HiRes qw(time);

$| = 1;
alarm 0;                            # it may take as long as it takes
my %opt = (count => 8000, pairs => 8, group => 100, missed => 10000,
    rounds => 5);
GetOptions(\%opt, 'postgresql', 'kafka', 'count=i', 'pairs=i', 'group=i',
    'missed=i', 'rounds=i') or exit 2;

my $window = 32;                    # messages of a sender without an answer
my $pg = $opt{postgresql} ? Goim::Postgres->new : undef;
my %im = (im => { db => $pg ? $pg->url : 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
    workers => 1, nginx => { goim => { zone => 'goim 64m' } },
    logic => { Goim::Sender::logic(logic => { threads => 1 }, %im) },
    job => { conf => { %im } });
my %pid = (nginx => [($c->node->workers)[0]], logic => [$c->logic->pid],
    job => [$c->job->pid], redis => [$c->redis->pid],
    $opt{kafka} ? (kafka => [$c->kafka->pid]) : ());
my @names = ((grep { $pid{$_} } qw(nginx logic job redis kafka)),
    $pg ? 'postgres' : ());

# its backends come and go with connections
sub cpu {
    my ($name) = @_;
    my @pids = $name eq 'postgres'
        ? ($pg->pid, Goim::Proc::children($pg->pid))
        : @{ $pid{$name} };
    return sum(map { Goim::Proc::cpu($_) } @pids);
}

sub device {
    my ($mid, $n, %at) = @_;
    return enters($c, mid => $mid, key => "$mid-$n", room => '', accepts => [],
        im => {}, recover => { 'im://inbox' => \%at });
}

# the first of the devices sends so many to $to; it is over when all have all
sub sends {
    my ($to, $n, $run, @devices) = @_;
    my %items = map { $_ => 0 } 0 .. $#devices;
    my ($sent, $had) = (0, 0);
    my $s = IO::Select->new(map { $_->fileno } @devices);
    my %at = map { $devices[$_]->fileno => $_ } 0 .. $#devices;
    my $body = 'x' x 50;

    while ($had < $n || grep { $_ < $n } values %items) {
        $devices[0]->send(4, qq({"to":"$to","id":"$run.$sent"}\n$body)), $sent++
            while $sent < $n && $sent - $had < $window;
        for my $i (map { $at{$_} } $s->can_read(30)) {
            for my $e ($devices[$i]->arrived) {
                my ($what, $p) = @$e;
                $items{$i}++ if $what eq 'pushes' && $p->{op} == 20;
                next if $what ne 'replies';
                $p->{body} =~ /^\{"code":0,/ or die "refused: $p->{body}\n";
                $had++;
            }
            die "a device was closed\n" if $devices[$i]{t}->socket->eof;
        }
    }
}

sub in_child {
    my ($work) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my $ok = eval { $work->(); 1 };
    warn $@ if !$ok;
    POSIX::_exit($ok ? 0 : 1);
}

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

# what rounds of it cost: messages of each of the processes
sub measure {
    my ($what, $n, $devices, @works) = @_;
    my (%us, @rate);
    for my $round (0 .. $opt{rounds}) {
        my $each = int($n / @works / ($round ? 1 : 10)) || 1;
        my %before = map { $_ => cpu($_) } @names;
        my $start = time;
        my @pids = map { my $work = $_;
            in_child(sub { $work->($round, $each) }) } @works;
        for (@pids) {
            waitpid $_, 0;
            die "bench: not all came\n" if $?;
        }
        next if !$round;            # the first one warms up
        push @rate, $each * @works / (time - $start);
        push @{ $us{$_} }, (cpu($_) - $before{$_}) * 1e6 / $each / @works
            for @names;
    }
    printf "%s: %d messages a second, %d deliveries; us a message: %s, "
        . "all %.0f\n", $what, median(@rate), median(@rate) * $devices,
        join(' ', map { sprintf '%s %.0f', $_, median(@{ $us{$_} }) } @names),
        sum(map { median(@{ $us{$_} }) } @names);
}

# ---- pairs -------------------------------------------------------------------

measure("pairs, 2 x 2 devices", $opt{count}, 4, map { my $a = 2 * $_ + 1;
    my $b = $a + 1;
    sub {
        my ($round, $n) = @_;
        sends($b, $n, $round, map { device($a, $_), device($b, $_) } 0, 1);
    } } 1 .. $opt{pairs});

# ---- a group -----------------------------------------------------------------

my @members = map { 1000 + $_ } 1 .. $opt{group};
die "bench: no group\n" if $c->api->post('/goim/im/group/create',
    [mid => $members[0], id => 'bench', map { (mids => $_) }
    @members[1 .. $#members]], '')->{code};

measure("group of $opt{group}, all online", $opt{count} / 10, $opt{group}, sub {
    my ($round, $n) = @_;
    sends("g$members[0].bench", $n, "g$round", map { device($_, 0) } @members);
});

# ---- what was missed ---------------------------------------------------------

my $late = 900_000;
my $at = do {
    my ($d, $p) = device($late, 0);
    $p = $d->position until $p && $p->{'im://inbox'};
    { epoch => $p->{'im://inbox'}{epoch}, seq => 0 };
};
my @pids = map { my $k = $_; in_child(sub {
    my $n = $opt{missed} / 50;
    for my $conv (grep { $_ % 10 == $k } 1 .. 50) {
        my $d = enters($c, mid => $late + $conv, im => {}, room => '');
        my ($sent, $had) = (0, 0);
        while ($had < $n) {
            $d->send(4, qq({"to":"$late","id":"$sent"}\n) . 'x' x 50), $sent++
                while $sent < $n && $sent - $had < $window;
            $d->reply(30)->{body} =~ /^\{"code":0,/ or die "refused\n";
            $had++;
        }
    }
}) } 0 .. 9;
waitpid $_, 0 for @pids;

my (@first, @all);
for my $round (1 .. $opt{rounds}) {
    my $start = time;
    my $d = device($late, $round, %$at);
    my $n = 0;
    while ($n < $opt{missed}) {
        my $p = $d->push(30) or die "bench: $n came\n";
        next if $p->{op} != 20;
        push @first, (time - $start) * 1e3 if $n == 0;
        $n++;
    }
    push @all, (time - $start) * 1e3;
}
printf "%d missed in 50 conversations: the first after %.0f ms, all after %.0f "
    . "ms, of the login\n", $opt{missed}, median(@first), median(@all);

pass('measured');
done_testing;
