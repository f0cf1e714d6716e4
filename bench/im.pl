#!/usr/bin/perl
# Messages between people: what one costs each process, microseconds of CPU, user
# and system, from operation 4 until it is stored, answered, and with all devices
# of all members, which follow their inboxes; and what is missed, read again.
#
#     perl bench/im.pl [--postgresql] [--kafka] [--count 8000] [--pairs 64]
#         [--group 100] [--senders 16] [--missed 10000] [--rounds 5] [--rate R]
#         [--only pairs|group]
#
# Pairs: two devices of each user, one of which sends. Then a group of so many,
# one device each, some of which send (of each a node has one message under way); then one user who missed so many messages of 50 conversations.
# p99 is from when a message was sent until the last device had it: first with 4
# of each sender under way, then at half of the rate that this came to (--rate:
# at that).

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use IPC::Open2 qw(open2);
use JSON::PP ();
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
my %opt = (count => 8000, pairs => 64, senders => 16, group => 100, missed => 10000,
    rounds => 5, rate => 0, only => '');
GetOptions(\%opt, 'postgresql', 'kafka', 'count=i', 'pairs=i', 'group=i', 'senders=i',
    'missed=i', 'rounds=i', 'rate=i', 'only=s') or exit 2;

my $json = JSON::PP->new->canonical;
my $window = 4;                     # messages of a sender without an answer
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

sub in_child {
    my ($work) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my $ok = eval { $work->(); 1 };
    warn $@ if !$ok;
    POSIX::_exit($ok ? 0 : 1);
}

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

# what rounds of it cost, messages of each of the processes; then half as many a
# second. devices: [group, whom its first one sends to, mid, n] of each.
sub measure {
    my ($what, $n, $each, @devices) = @_;
    my $pid = open2(my $out, my $in, build_dir() . '/bench/im', $c->node->{port});
    my (%us, @rate, @full, @half, @batch);
    my $batches = sub { $c->job->metrics->{goim_job_im_batches_total} };
    my $ask = sub {
        print $in "@_\n" or die "bench: $!\n";
        $in->flush;
        my $line = <$out> // die "bench: not all came\n";
        return $line =~ /([\d.]+)/g;
    };

    printf $in "%d %s %s\n", @$_[0, 1], $json->encode({
        token => Goim::Sender::token(mid => $$_[2], key => "$$_[2]-$$_[3]",
            accepts => [], im => {}), recover => { 'im://inbox' => {} } })
        for @devices;
    $ask->('');                     # ready

    for my $round (0 .. $opt{rounds}) {
        my $count = $round ? $n : int($n / 10);     # the first one warms up
        my %before = map { $_ => cpu($_) } @names;
        my $mine = Goim::Proc::cpu($pid);
        my $of = $batches->();
        my ($seconds, undef, $p50, undef, $p99)
            = $ask->($count, $window);
        next if !$round;
        push @rate, $count / $seconds;
        push @full, $p99;
        push @batch, $count / (($batches->() - $of) || 1);
        push @{ $us{$_} }, (cpu($_) - $before{$_}) * 1e6 / $count for @names;
        push @{ $us{load} }, (Goim::Proc::cpu($pid) - $mine) * 1e6 / $count;
    }

    printf "%s: %d messages a second, %d deliveries; us a message: %s, "
        . "all %.0f (load %.0f); %.0f a batch, p99 %.1f ms\n", $what, median(@rate),
        median(@rate) * $each,
        join(' ', map { sprintf '%s %.0f', $_, median(@{ $us{$_} }) } @names),
        sum(map { median(@{ $us{$_} }) } @names), median(@{ $us{load} }),
        median(@batch), median(@full);

    for my $rate ($opt{rate} || int(median(@rate) / 2)) {
        for (1 .. $opt{rounds}) {
            my (undef, undef, $p50, undef, $p99) = $ask->($n, 0, $rate);
            push @half, [$p50, $p99];
        }
        printf "  %d a second: p50 %.1f ms, p99 %.1f ms\n", $rate,
            median(map { $$_[0] } @half), median(map { $$_[1] } @half);
    }

    close $in;
    waitpid $pid, 0;
}

# ---- pairs -------------------------------------------------------------------

$opt{only} eq 'group' or measure("pairs, 2 x 2 devices", $opt{count}, 4, map { my $a = 2 * $_ + 1;
    my $b = $a + 1;
    my $group = $_ - 1;
    [$group, $b, $a, 0], [$group, '-', $a, 1], [$group, '-', $b, 0],
    [$group, '-', $b, 1] }
    1 .. $opt{pairs});

# ---- a group -----------------------------------------------------------------

my @members = map { 1000 + $_ } 1 .. $opt{group};
die "bench: no group\n" if $c->api->post('/goim/im/group/create',
    [mid => $members[0], id => 'bench', map { (mids => $_) }
    @members[1 .. $#members]], '')->{code};

$opt{only} eq 'pairs' or measure("group of $opt{group}, all online", int($opt{count} / 10), $opt{group},
    map { [0, $_ < $opt{senders} ? "g$members[0].bench" : '-', $members[$_], 0] }
    0 .. $#members);

exit 0 if $opt{only};

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
