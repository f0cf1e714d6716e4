#!/usr/bin/perl
# How long it takes after each fault until everybody has everything: clients that
# recover, on two nodes of two workers with two logics and two jobs, under
# pushes. Needs `make all bench`.
#
#     perl bench/faults.pl [--kafka] [--clients 600] [--rate 100]
#         [--faults kill_job,reload]
#
# A line each: how long it lasted, until it was ended; then until all are there
# and have what is pushed as soon as it is, for three seconds on end; how many
# came back, and how many times one was told of a loss. Holes are what Redis lost
# that had been accepted.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Time::HiRes qw(time);
use Goim::Faults;
use Goim::Follow;
use Goim::Cluster;
use Goim::Redis;
use Goim::Test;

$| = 1;
alarm 3600;
my %opt = (clients => 600, rate => 100, rooms => 30, faults => '');
GetOptions(\%opt, 'kafka', 'clients=i', 'rate=i', 'rooms=i', 'faults=s')
    or exit 2;
allow_log(qr/exited on signal 9|\[alert\] .*(open socket|waitpid|kill\()/);

my %registry = (registry => { ttl => '6s', renew => '2s' });
my $redis = Goim::Redis->new;
my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
    redis => $redis, nodes => 2, workers => 2, logics => 2, jobs => 2,
    nginx => { daemon => 1, connections => $opt{clients} + 1000,
        main => 'worker_shutdown_timeout 5s;' },
    logic => { conf => { %registry } },
    job => { conf => { %registry, history => { live => '2000 10m' } } });
my $faults = Goim::Faults->new(logics => $c->{logics}, jobs => $c->{jobs},
    redis => $redis, kafka => $c->{kafka});
my @names = Goim::Faults->new(%$faults, nodes => $c->{nodes})->names;
my $f = Goim::Follow->new(cluster => $c, clients => $opt{clients},
    rooms => $opt{rooms}, base => 1000);

# seconds until everybody has everything, and goes on having it
sub level {
    my $began = time;
    my $late = $began;
    while (time - $late < 3) {
        my $asked = time;
        $f->ready(120);
        $f->level(120);
        $late = time if time - $asked > 0.3;
        $f->watch(0.1);
    }
    return $late - $began;
}

# what happens to a node happens to the one that has more clients
sub busier {
    my ($one, $two) = map { $_->status->{sessions} } @{ $c->{nodes} };
    return $c->node($one < $two);
}

$f->ready(60);
printf "%-14s %8s %8s %6s %6s\n", qw(fault lasted level back told);

for my $name ($opt{faults} ? split(/,/, $opt{faults}) : @names) {
    $f->quiet;
    $f->push($opt{rate});
    level();
    $f->report;
    $faults->{nodes} = [busier()];
    my $began = time;
    $faults->run(0.1, $name);
    my $lasted = time - $began;
    my $level = level();
    my $r = $f->report;
    printf "%-14s %6.1f s %6.1f s %6d %6d%s\n", $name, $lasted, $level,
        $r->{logins}, $r->{told}, join '', map { ", $r->{$_} $_" }
        grep { $r->{$_} } qw(holes repeats wrong);
}

$f->stop;
pass('measured');
done_testing;
