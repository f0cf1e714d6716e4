# What waits for a client: slow is who does not take what was offered, and
# what is kept for such a one is what it counts.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::Test;

my ($small, $small_tls) = (free_port(), free_port());
my $c = Goim::Cluster->new(workers => 1, nginx => { ssl => 1, tcp => 1,
    server => "listen 127.0.0.1:$small sndbuf=4k;\n"
        . "listen 127.0.0.1:$small_tls ssl sndbuf=4k;",
    goim => { zone => 'goim 64m', queue_size => '1m' } });
my ($node, $api, $redis) = ($c->node, $c->api, $c->redis);
my ($worker) = $node->workers;

sub count { return $node->status->{counters}{ $_[0] } }

sub numbers { return map { substr($_->{body}, 0, 6) + 0 } @{ $_[0]{pushes} } }

# ---- more than queue_size at once, for clients that read ----

{
    my ($n, $size) = (75, 20_000);
    my %client = map { $_ => $c->client(transport => $_, room => 'live://1',
        accepts => [1000]) } qw(ws wss tcp);
    my @in = values %client;

    hit STOP => $worker;
    $api->room(1000, 'live', '1', sprintf('%06d', $_) . 'x' x ($size - 6))
        for 1 .. $n;
    wait_for {
        my ($last) = @{ $redis->cmd('XREVRANGE', 'goim:node:comet-1', '+', '-',
            'COUNT', 1) };
        $last && index($last->[1][1], sprintf('%06d', $n) . 'xxx') >= 0;
    } 20, 'all is in the node\'s stream';
    hit CONT => $worker;

    Goim::Client->pump_all(\@in, 20,
        sub { !grep { @{ $_->{pushes} } < $n } @in });
    is_deeply([numbers($client{$_})], [1 .. $n], "$_: all arrives, in order")
        for sort keys %client;
    is(count('slow_closed'), 0, 'who reads is not slow');
    $_->close for @in;
}

# ---- small messages beside large ones, for clients that do not read ----

# without the shared zone
sub rss { return slurp("/proc/$worker/status") =~ /RssAnon:\s+(\d+)/ ? $1 : die }

{
    my ($n, $rounds) = (10, 40);
    my $fast = $c->client(room => 'live://2', accepts => [1000]);
    my @slow = map { Goim::Client->new(port => $small, key => "slow$_",
        accepts => [1000], rcvbuf => 4096) } 1 .. $n;
    my $life = $redis->cmd('HGET', 'goim:life', 'n');
    my $big = 'x' x 250_000;

    sub entry {
        my ($key, $body, $room) = @_;
        return proto_encode('Delivery', { records => [
            { kind => 'KEYS', operation => 1000, keys => [$key], body => $body },
            { kind => 'ROOM', operation => 1000, room => 'live://2',
                body => $room }] });
    }

    # as much as goes through at all
    $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd',
        entry('slow1', '000000', $big));
    $fast->push(10);
    my $before = rss();

    for my $round (1 .. $rounds) {
        for my $i (1 .. $n) {
            $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd',
                entry("slow$i", sprintf('%06d', $round) . 'y' x 2000, $big));
            $fast->push(10);
        }
    }

    my $grew = rss() - $before;
    note "grew by $grew KB for $n x $rounds x 2 KB";
    cmp_ok($grew, '<', 16 * 1024, 'they hold what they count') if !asan();
    is(count('lapped'), 0, 'nobody fell behind');

    Goim::Client->pump_all(\@slow, 20,
        sub { !grep { @{ $_->{pushes} } < $rounds } @slow });
    my @got = numbers($slow[0]);
    is(shift @got, 0, 'the first');
    is_deeply(\@got, [1 .. $rounds], 'all of it comes when they read');
    is_deeply([numbers($slow[$_])], [1 .. $rounds], 'in order')
        for 1 .. $n - 1;
    $_->drop for @slow, $fast;
}

# ---- at the bound, who does not read is closed, and told so ----

for my $case (['ws', $small, 60, 40_000], ['ws', $small, 1200, 1000],
    ['wss', $small_tls, 60, 40_000], ['wss', $small_tls, 1200, 1000])
{
    my ($kind, $port, $n, $size) = @$case;
    my $before = count('slow_closed');
    my $slow = Goim::Client->new(port => $port, transport => $kind,
        key => 'slow', accepts => [1000], rcvbuf => 4096);

    # a little is read now and then, so that writes end anywhere
    for my $i (1 .. $n) {
        $api->keys(1000, ['slow'], 'z' x $size);
        $slow->transport->socket->fill if $i % 20 == 0 && $i < $n / 2;
    }
    eventually { count('slow_closed') == $before + 1 } 10,
        "$kind, $n x $size: who does not read is closed";
    is($slow->closed(20), 1008, 'and told so');
}

done_testing;
