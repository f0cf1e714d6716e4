#!/usr/bin/perl
# Many clients that come back at once, as their node was killed with kill -9 and
# started again, under pushes: how long until all are there and have everything,
# and what that cost. Needs `make all bench`, and `ulimit -n` above the clients.
#
#     perl bench/return.pl [--kafka] [--clients 18000] [--within 1000]
#         [--rate 50] [--rooms 100]
#
# --within: ms in which each comes back, at random; if it fails, twice of it
# later, and so on.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Time::HiRes qw(time);
use Goim::Cluster;
use Goim::Follow;
use Goim::Proc;
use Goim::Test;

$| = 1;
alarm 3600;
my %opt = (clients => 18000, within => 1000, rate => 50, rooms => 100);
GetOptions(\%opt, 'kafka', 'clients=i', 'within=i', 'rate=i', 'rooms=i')
    or exit 2;
allow_log(qr/exited on signal 9/);

my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
    workers => 2, nginx => { connections => $opt{clients} + 1000,
        goim => { zone => 'goim 64m' } },
    job => { conf => { history => { live => '300 10m' } } });
my $f = Goim::Follow->new(cluster => $c, clients => $opt{clients},
    rooms => $opt{rooms}, base => $opt{within}, arrive => 1500);
my %pid = (logic => $c->logic->pid, redis => $c->redis->pid,
    job => $c->job->pid);

printf "%d clients in %d rooms after %.1f s\n", @opt{qw(clients rooms)},
    $f->ready(180);
$f->push($opt{rate});
$f->watch(3);
$f->level(60);
$f->report;

my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } keys %pid;
my $node = $c->node;
my $began = time;
my @pids = ($node->pid, $node->workers);
hit 'KILL', @pids;
wait_for { !grep { Goim::Proc::running($_) } @pids } 20, 'its sockets are closed';
$node->start;
my $up = time - $began;
$f->ready(300);
my $there = time - $began;
$f->level(120);
my $level = time - $began;
$f->push(0);
$f->level(60);
my $r = $f->report;

printf "kill -9 of their node, which answers again after %.1f s: all are back "
    . "after %.1f s, and have everything after %.1f s\n", $up, $there, $level;
printf "%s logins, %s told, holes %s, repeats %s, wrong %s; %s pushes, %s "
    . "delivered of %d\n", @$r{qw(logins told holes repeats wrong pushed
    delivered)}, $r->{pushed} * $opt{clients} / $opt{rooms};
printf "logins a second: %s\n", join ' ', @{ $r->{logins_a_second} };
printf "%d Reads; CPU: %s\n", $node->status->{counters}{history_reads},
    join ', ', (map { sprintf '%s %.1f s', $_, Goim::Proc::cpu($pid{$_}) - $before{$_} }
        sort keys %pid), map { sprintf 'worker %.1f s', Goim::Proc::cpu($_) }
        $node->workers;

pass('measured');
done_testing;
