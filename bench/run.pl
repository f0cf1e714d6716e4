#!/usr/bin/perl
# The figures of the system, each beside its floor in the same run. Needs
# `make all bench` and real Redis (and Kafka with --kafka).
#
#     perl bench/run.pl [--clients 10000] [--kafka]
#
# CPU is user and system time of nginx, logic and job together; the broker's
# is not counted. Absolute times depend on the machine: compare the ratios.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::Proc;
use Goim::Test;
use Goim::Test qw(build_dir);

$| = 1;
my ($clients, $kafka) = (10000, 0);
GetOptions('clients=i' => \$clients, 'kafka' => \$kafka) or exit 2;

my $dir = build_dir() . '/bench';
die "bench: make bench first\n" if !-x "$dir/load";

my %new = (workers => 2, nginx => { connections => $clients + 2000,
    goim => { zone => 'goim 64m' } });
my $c = Goim::Cluster->new(bus => $kafka ? 'kafka' : 'redis', %new);

sub pids {
    return join ',', $c->node->workers, $c->logic->pid, $c->job->pid;
}

sub load {
    my ($name, @args) = @_;
    my $out = `$dir/load --port $c->{nodes}[0]{port} --api $c->{logics}[0]{http_port} --pids @{[pids()]} @args`;
    print "$name: $out";
    return { $out =~ /(\w+) ([\d.]+)/g };
}

sub floor_of {
    my ($n, $count) = @_;
    my ($port, $control) = (free_port(), free_port());
    my $pid = fork // die;
    exec "$dir/floor", $port, $control, 50 + 34 if !$pid;
    select undef, undef, undef, 0.3;
    my $out = `$dir/load --port $port --floor $control --clients $n --count $count --pids $pid`;
    print "floor, $n sockets, one at a time: $out";
    waitpid $pid, 0;
    return { $out =~ /(\w+) ([\d.]+)/g };
}

# memory that is the workers' alone, in KB
sub memory {
    my $kb = 0;
    for my $pid ($c->node->workers) {
        my $text = slurp("/proc/$pid/smaps_rollup");
        $kb += $1 while $text =~ /^Private_(?:Clean|Dirty):\s+(\d+)/mg;
    }
    return $kb;
}

# KB of worker memory a connection that does nothing
sub idle {
    my ($n) = @_;
    my $before = memory();
    pipe my $read, my $write or die;
    my $pid = open my $out, '-|';
    if (!$pid) {
        close $write;
        open STDIN, '<&', $read or die;
        exec "$dir/load", '--port', $c->{nodes}[0]{port}, '--clients', $n,
            '--idle';
    }
    close $read;
    <$out>;
    printf "idle WebSocket: %.2f KB of worker memory each, %d of them\n",
        (memory() - $before) / $n, $n;
    close $write;
    close $out;
}

idle($clients);
my $cpu = load("$clients sockets, one at a time",
    "--clients $clients --count 100");
my $floor = floor_of($clients, 100);
printf "ratio to the floor: %.2f\n", $cpu->{cpu_us} / $floor->{cpu_us};

load('2,000 sockets, 400 a second', '--clients 2000 --count 2000 --rate 400');
load("$clients sockets, 40 a second",
    "--clients $clients --count 200 --rate 40");
load('one socket, one at a time', '--clients 1 --count 2000');
load('10 sockets, 64 posters',
    '--clients 10 --count 100000 --posters 64');

$c->node->configure(goim => { zone => 'goim 64m', room_linger => '500ms' });
$c->node->reload;
load("$clients sockets, 40 a second, a linger of 500 ms",
    "--clients $clients --count 200 --rate 40");

pass('measured');
done_testing;
