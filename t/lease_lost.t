# A worker that read the node's stream, stood still, and goes on when another one
# has long had its role: what it has been told meanwhile it puts nowhere, or
# those records would come twice that carry no position to be known by.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::Proto qw(proto_encode);
use Goim::Test;

my $c = Goim::Cluster->new(workers => 3);
my ($node, $redis) = ($c->node, $c->redis);
my @clients = map { $c->client(mid => $_, accepts => [1000]) } 1 .. 12;
my $n = 0;

# as logic does with what is no push
sub append {
    my $life = $redis->cmd('HGET', 'goim:life', 'n');
    for (1 .. $_[0]) {
        $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd',
            proto_encode('Delivery', { records => [{ kind => 'ALL',
                operation => 1000, body => 'no ' . ++$n }] }));
    }
}

sub stand_still {
    my ($pid) = @_;
    hit STOP => $pid;
    wait_for { slurp("/proc/$pid/stat") =~ /\) T / } 10, 'it stands still';
}

# the node's page, by a worker that answers
sub status {
    my $st;
    wait_for {
        my $res = Goim::HTTP::get("http://127.0.0.1:$node->{port}/goim/status",
            timeout => 1, headers => { Connection => 'close' });
        $st = $res->{status} == 200 && $res->{json};
    } 20, 'the status page';
    return $st;
}

sub reader {
    my ($but) = @_;
    my $pid;
    wait_for { $pid = status()->{reader_pid}; $pid && $pid != $but } 20,
        'another one reads';
    return $pid;
}

append(5);

for my $round (1 .. 3) {
    my $old = reader(0);
    my $before = status()->{counters}{records};

    # its read waits in Redis and is answered while it stands still
    stand_still($old);
    append(5);
    reader($old);
    append(5);
    eventually { status()->{counters}{records} >= $before + 10 } 20,
        "round $round: the new one has read it all";
    hit CONT => $old;
    append(5);
    sleep 0.5;
}

my @want = map { "no $_" } 1 .. $n;
my @wrong;

Goim::Client->pump_all(\@clients, 20, sub {
    !grep { @{ $_->{pushes} } < @want } @clients;
});
sleep 0.3;
for my $client (@clients) {
    $client->pump;
    my @got = map { $_->{body} } @{ $client->{pushes} };
    push @wrong, "@got" if "@got" ne "@want";
}
is "@wrong", '', 'each came once, in order, to each';

my $counters = status()->{counters};
is $counters->{$_}, 0, "none $_" for qw(holes corrupt broken);

done_testing;
