# ASAN: no (it is about waiting)
#
# Who goes on for ever without ever ending: a head, a packet, a message in a
# thousand fragments, the first call of a node, each a byte at a time. What has
# to come by a time has to be whole by then, and is cut off if it is not; and
# what is announced too long is refused before it comes.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Packet qw(pack_packet);
use Goim::RPC;
use Goim::Test;
use Goim::WS;

my $s = 2 * slow();
my $c = Goim::Cluster->new(nginx => { tcp => 1,
    http => "client_header_timeout ${s}s;",
    goim => { handshake_timeout => "${s}s" } },
    logic => { conf => { session => { heartbeat => "${s}s",
        heartbeat_max => 1, ttl => '10m' } } });
my $node = $c->node;
my $bystander = $c->client(mid => 99, accepts => [1000]);

my $auth = pack_packet(7, '{"mid":1,"accepts":[1000]}', seq => 1);
my $head = "GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
my $packet = pack_packet(4, 'x' x 4000, seq => 2);

sub raw { return Goim::Socket->new(port => $_[0]) }

# one that has logged in, and its socket
sub in {
    my ($transport) = @_;
    my $client = $c->client(mid => 1, transport => $transport);
    return $client->transport->socket;
}

# a masked frame
sub fragment {
    my ($op, $fin, $data) = @_;
    return Goim::WS::frame($op, $data, fin => $fin);
}

# name, socket, what comes first, what comes for ever
my @attacks = (
    ['a head', raw($node->{port}), $head, "X: y\r\n"],
    ['a head without a line\'s end', raw($node->{port}), "GET /", 'x'],
    ['an auth packet over TCP', raw($node->{tcp_port}),
        pack_packet(7, '', seq => 1, length => 4000), ' '],
    ['an auth packet in fragments', raw($node->{port}), "$head\r\n"
        . fragment(2, 0, pack_packet(7, '', seq => 1, length => 4000)),
        fragment(0, 0, ' ')],
    ['an auth packet in empty fragments', raw($node->{port}), "$head\r\n"
        . fragment(2, 0, ''), fragment(0, 0, '')],
    ['pings before the auth packet', raw($node->{port}), "$head\r\n",
        fragment(9, 1, 'x')],
    ['a packet over TCP', in('tcp'), substr($packet, 0, 16), 'x'],
    ['a packet in fragments', in('ws'), fragment(2, 0, substr $packet, 0, 16),
        fragment(0, 0, 'x')],
    ['a message of empty fragments', in('ws'), fragment(2, 0, ''),
        fragment(0, 0, '')],
    ['pings in place of heartbeats', in('ws'), '', fragment(9, 1, 'x')],
    ['the length of a call', raw($c->logic->{rpc_port}), "\0\0", ''],
    ['a call', raw($c->logic->{rpc_port}), pack('N', 1000), 'x'],
);

# Logic's own bound for a first call; the others have the times from above, and
# who does not answer a close frame 5 s more.
my %bound = map { $_ => 12 * slow() } 'the length of a call', 'a call';

my $start = time;
my @open = @attacks;
my %ended;
$_->[1]->write($_->[2]) for @open;

while (@open && time - $start < 14 * slow()) {
    for my $a (@open) {
        my ($name, $sock, undef, $more) = @$a;
        eval { $sock->write($more) if length $more; 1 } or $sock->{eof} = 1;
        $sock->fill;
        $sock->{buf} = '';
        $ended{$name} = time - $start if $sock->eof;
    }
    @open = grep { !$_->[1]->eof } @open;
    $bystander->heartbeat;
    sleep 0.05;
}

for (@attacks) {
    my ($name) = @$_;
    my $at = $ended{$name} // 999;
    cmp_ok $at, '<', $bound{$name} || $s + 8 * slow(), "$name: is cut off";
    cmp_ok $at, '>=', ($name =~ /call/ ? 9 : $s) - 0.5, "$name: in its time";
}

is $c->api->all(1000, 'still here')->{code}, 0, 'accepted';
is $bystander->push->{body}, 'still here', 'who says what he should is served';

# ---- too long ----------------------------------------------------------------

sub memory {
    my ($pid) = @_;
    return slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die;
}

my ($worker) = $node->workers;
my $before = memory($worker);

for (['a packet of 2 GB over TCP', 'tcp_port', pack 'NnnNN', 0x7fffffff, 16,
        1, 7, 1],
    ['a packet of a negative length', 'tcp_port', pack 'NnnNN', 0xffffffff,
        16, 1, 7, 1],
    ['a packet shorter than its head', 'tcp_port', pack 'NnnNN', 15, 16, 1, 7,
        1],
    ['a frame of 2^63 - 1 bytes', 'port', "$head\r\n"
        . pack('CCNNN', 0x82, 0xff, 0x7fffffff, 0xffffffff, 0)],
    ['a frame of 2^63 bytes', 'port', "$head\r\n"
        . pack('CCNNN', 0x82, 0xff, 0x80000000, 0, 0)],
    ['a frame of a gigabyte', 'port', "$head\r\n"
        . pack('CCNNN', 0x82, 0xff, 0, 1 << 30, 0)],
    ['a head of a megabyte', 'port', $head . 'X: ' . 'x' x (1 << 20)])
{
    my ($name, $port, $data) = @$_;
    my @all = map { raw($node->{$port}) } 1 .. 20;
    eval { $_->write($data) } for @all;
    my $end = time + $s - 0.5;
    for my $sock (@all) {
        1 while !$sock->eof && $sock->wait_read($end);
    }
    is scalar(grep { !$_->eof && $_->{buf} !~ /\x88.(?:\x03\xf1|\x03\xea)/s }
        @all), 0, "$name: refused before it comes";
}
cmp_ok memory($worker) - $before, '<', 20_000, 'and nothing was kept for it';

my $rpc = raw($c->logic->{rpc_port});
$rpc->write(pack('N', 0xffffffff) . 'x' x 100);
ok $rpc->wait_read(time + 5 * slow()) && $rpc->eof,
    'a call of 4 GB: refused before it comes';

done_testing;
