# How a WebSocket connection begins and ends for clients that go by the letter:
# a whole status line; and after the node's close frame the client's is awaited
# before the connection ends, so that nobody takes a refusal for a lost line.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::Test;
use Goim::WS;

my $c = Goim::Cluster->new(workers => 1, nginx => { ssl => 1,
    goim => { zone => 'goim 16m', queue_size => '200k', max_per_addr => 20 } });
my $node = $c->node;
my %port = (ws => $node->{port}, wss => $node->{wss_port});

# ---- the beginning -----------------------------------------------------------

for my $kind (sort keys %port) {
    for my $path ('/sub', '/echo') {
        my $ws = Goim::WS->new(port => $port{$kind}, ssl => $kind eq 'wss',
            path => $path);
        like($ws->response, qr{\AHTTP/1\.1 101 Switching Protocols\r\n},
            "$kind: $path: the status line");
        $ws->close;
    }
}

# ---- the end -----------------------------------------------------------------

# without an answer of its own
sub code {
    my ($ws) = @_;
    my $end = Time::HiRes::time() + 10 * Goim::Test::slow();

    until (defined $ws->{code}) {
        $ws->pump;
        last if defined $ws->{code} || $ws->socket->eof;
        $ws->socket->wait_read($end) or last;
    }
    return $ws->{code};
}

sub ends {
    my ($ws, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds;
    $ws->socket->wait_read($end) or return 0 until $ws->socket->eof;
    return 1;
}

for my $kind (sort keys %port) {
    my $client = sub { Goim::Client->new(port => $port{$kind},
        transport => $kind, @_) };
    my %case = (
        'auth refused' => sub {
            my $it = $client->(auth => 0);
            $it->send(7, '{"mid":"x"');
            return $it;
        },
        'replaced' => sub {
            my $it = $client->(key => "twice $kind");
            $client->(key => "twice $kind");
            return $it;
        },
        'malformed' => sub {
            my $it = $client->(key => "wrong $kind");
            $it->transport->send_frame(binary => 'x', mask => 0);
            return $it;
        });

    for my $name (sort keys %case) {
        my $ws = $case{$name}->()->transport;
        my $code = code($ws);
        ok($code && $code >= 1002 && $code <= 1008, "$kind: $name: a code");
        ok(!ends($ws, 0.7), 'and no end, until the client has answered');
        $ws->send_close($code);
        ok(ends($ws, 4), 'then the end comes at once');
    }

    my $ws = $client->(key => "b $kind")->transport;
    $ws->send_close(1000);
    is(code($ws), 1000, "$kind: who began is answered");
    ok(ends($ws, 4), 'and that is the end');

    $ws = $client->(auth => 0);
    $ws->send(7, 'no token');
    $ws = $ws->transport;
    code($ws);
    ok(ends($ws, 20 * Goim::Test::slow()), "$kind: nobody is waited for longer");
}

# ---- a close frame behind a write that TLS refused ---------------------------

my ($life, $n);

sub append {
    my $stream = 'goim:node:comet-1';

    if (!defined $life) {
        my $first = $c->client(accepts => [1000]);
        $c->api->all(1000, 'first');
        $first->push(10) or die "no message\n";
        my %info = @{ $c->redis->cmd('XINFO', 'STREAM', $stream) };
        ($life, $n) = $info{'last-generated-id'} =~ /(\d+)-(\d+)/;
    }
    $c->redis->cmd('XADD', $stream, "$life-" . ++$n, 'd',
        proto_encode('Delivery', { records => [@_] }));
}

for my $kind (sort keys %port) {
    my $slow = Goim::Client->new(port => $port{$kind}, transport => $kind,
        key => "slow $kind", accepts => [1000], rcvbuf => 65536);
    my $before = $node->status->{counters}{slow_closed};

    # many small ones, so that a record of TLS holds several
    for (1 .. 2000) {
        append(map { { kind => 'KEYS', operation => 1000,
            keys => ["slow $kind"], body => 'x' x (200 + rand 200) } }
            1 .. 1 + rand 20);
        last if $_ % 20 == 0
            && $node->status->{counters}{slow_closed} > $before;
    }
    is($node->status->{counters}{slow_closed}, $before + 1,
        "$kind: one that does not read is closed");
    is($slow->closed(20), 1008, 'with a close frame, when it reads at last');
}

# ---- too many of one address -------------------------------------------------

my @many = map { Goim::WS->new(port => $node->{port}, any => 1,
    local => '127.0.0.7') } 1 .. 22;
is_deeply([map { $_->status } @many], [(101) x 20, 503, 503],
    'too many of one address are refused before the 101');
$many[0]->close;
eventually { Goim::WS->new(port => $node->{port}, any => 1,
    local => '127.0.0.7')->status == 101 } 10, 'until one has gone';

done_testing;
