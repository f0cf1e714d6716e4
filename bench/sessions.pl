#!/usr/bin/perl
# The memory of a worker for a session that does nothing, and what one that
# recovers takes more, in a room with history. Needs `make all bench`.
#
#     perl bench/sessions.pl [--clients 4000] [--rounds 3]

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::Test;
use Goim::Test qw(build_dir);

$| = 1;
alarm 3600;
my %opt = (clients => 4000, rounds => 3);
GetOptions(\%opt, 'clients=i', 'rounds=i') or exit 2;

my $load = build_dir() . '/bench/load';
die "bench: make bench first\n" if !-x $load;

my $c = Goim::Cluster->new(nginx => { connections => $opt{clients} + 1000,
    goim => { zone => 'goim 64m' } },
    job => { conf => { history => { live => '300 10m' } } });
wait_for {
    $c->api->get('/goim/room/position', type => 'live', room => 1)->{data}
} 20, 'logic knows that the room has a history';

# bytes that are the worker's alone
sub memory {
    my ($pid) = $c->node->workers;
    my $kb = 0;
    my $text = slurp("/proc/$pid/smaps_rollup");
    $kb += $1 while $text =~ /^Private_(?:Clean|Dirty):\s+(\d+)/mg;
    return $kb * 1024;
}

# of each, with a worker that has had none before
sub each_takes {
    my (@options) = @_;
    $c->node->reload;
    wait_for { !$c->node->draining } 60, 'the worker of before has gone';
    $c->node->wait_registered(30);
    my $before = memory();
    pipe my $read, my $write or die;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        close $write;
        open STDIN, '<&', $read or die;
        exec $load, '--port', $c->{nodes}[0]{port}, '--clients',
            $opt{clients}, '--idle', @options;
    }
    close $read;
    <$out>;
    select undef, undef, undef, 1;
    my $bytes = (memory() - $before) / $opt{clients};
    close $write;
    close $out;
    wait_for { $c->node->status->{sessions} == 0 } 60, 'they have gone';
    return $bytes;
}

for (1 .. $opt{rounds}) {
    my ($plain, $recovers) = (each_takes(), each_takes('--recover'));
    printf "%d sessions: %.0f bytes each; that recover: %.0f, %.0f more\n",
        $opt{clients}, $plain, $recovers, $recovers - $plain;
}

pass('measured');
done_testing;
