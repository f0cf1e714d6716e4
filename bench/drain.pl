#!/usr/bin/perl
# A reload under pushes with many clients that recover, one node of two workers:
# whether anybody misses anything, and how evenly they log in anew. Needs
# `make all bench`.
#
#     perl bench/drain.pl [--clients 10000] [--drain 20] [--rate 50] [--kafka]

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use List::Util qw(max);
use Goim::Cluster;
use Goim::Follow;
use Goim::Test;

$| = 1;
my %opt = (clients => 10000, drain => 20, rate => 50, rooms => 100);
GetOptions(\%opt, 'clients=i', 'drain=i', 'rate=i', 'rooms=i', 'kafka')
    or exit 2;

my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
    workers => 2, nginx => { connections => $opt{clients} + 2000,
        main => 'worker_shutdown_timeout ' . ($opt{drain} + 30) . 's;',
        goim => { zone => 'goim 64m', drain => "$opt{drain}s" } },
    job => { conf => { history => { live => '300 10m' } } });

my $f = Goim::Follow->new(cluster => $c, clients => $opt{clients},
    rooms => $opt{rooms}, arrive => 1500);
printf "%d clients in %d rooms after %.1f s\n", @opt{qw(clients rooms)},
    $f->ready(120);
$f->push($opt{rate});
$f->watch(5);
printf "pushes: level within %.3f s\n", $f->level(30);
$f->report;

my $reads = $c->node->status->{counters}{history_reads};
$c->node->reload;
$f->watch(1) while $c->node->draining;
my $left = $f->level(60);
$f->push(0);
$f->level(30);
my $r = $f->report;
my @logins = @{ $r->{logins_a_second} };

printf "a reload, drain %d s: %s logins, %s told, %s lost without a word, "
    . "holes %s, repeats %s, wrong %s; %s pushes, %s delivered of %d\n",
    $opt{drain}, @$r{qw(logins told)}, $r->{lost} - $r->{again},
    @$r{qw(holes repeats wrong pushed delivered)},
    $r->{pushed} * $opt{clients} / $opt{rooms};
printf "logins a second: mean %.0f, most %d: %s\n",
    $opt{clients} / $opt{drain}, max(@logins), "@logins";
printf "%d Reads of their histories; level %.3f s later\n",
    $c->node->status->{counters}{history_reads} - $reads, $left;

pass('measured');
done_testing;
