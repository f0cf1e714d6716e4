# LONG
#
# Clients are closed one after another when a worker leaves, or when the node is
# told to drain: each after what waits for it, and nobody new is let in.

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Socket;
use Goim::Test;

my $n = 40;
my $c = Goim::Cluster->new(nodes => 2, workers => 2, nginx => { tcp => 1 },
    logic => { conf => { registry => { ttl => '6s', renew => '2s' } } });
my ($node, $other) = map { $c->node($_) } 0, 1;
my $api = $c->api;

sub join_all {
    return map { $c->client(accepts => [1000], room => 'live://1',
        local => '127.0.0.' . (2 + $_), @_) } 1 .. $n;
}

sub drain {
    my ($value) = @_;
    return Goim::HTTP::post("http://127.0.0.1:$node->{port}/goim/status?drain"
        . (defined $value ? "=$value" : ''));
}

# when each was closed, in order
sub ends {
    my ($name, @clients) = @_;
    my %at;
    eventually {
        for my $i (grep { !$at{$_} } 0 .. $#clients) {
            my $code = $clients[$i]->closed(0) or next;
            $at{$i} = time;
            is($code, 1001, "$name: going away") if $code != 1001;
        }
        keys %at == @clients;
    } 30, "$name: all are closed, with 1001";
    return sort { $a <=> $b } values %at;
}

# Of $n that are closed over the time from $began, when $closed of them were
# before: not all at once, and the last one has had most of the time.
sub partly {
    my ($name, $closed) = @_;
    eventually {
        my $part = drained() - $closed;
        $part > $n / 10 && $part < $n * 9 / 10;
    } 10, "$name: some are closed, others are not yet";
}

sub lasts {
    my ($name, $seconds, $began, @at) = @_;
    cmp_ok($at[-1] - $began, '>', $seconds / 2, "$name: over the time");
}

sub nodes {
    my $res = $api->nodes_weighted;
    return $res->{data} ? join ' ', @{ $res->{data}{nodes} } : 'none';
}

# other directives of a node, and a reload
sub again {
    my ($node, $main, %goim) = @_;
    $node->{main} = $main;
    $node->{goim} = { node => "addrs=192.0.2.$node->{server_id}" =~
        s/comet-//r, queue_size => '8m', %goim };
    $node->configure;
    $node->reload;
}

sub drained { return $node->status->{counters}{drained} }

subtest 'what a POST may say' => sub {
    for ([maybe => '"drain" must be "on" or "off"'],
        ['', '"drain" must be "on" or "off"'],
        [undef, 'no argument "trace" or "drain"'])
    {
        my ($value, $error) = @$_;
        my $res = drain($value);
        is($res->{status}, 400, defined $value ? "'$value'" : 'nothing');
        is($res->{json}{error}, $error, 'and why');
    }
    is($node->status->{drain}, 0, 'nothing has begun');
};

subtest 'told to drain' => sub {
    again($_, '', drain => '6s') for $node, $other;
    eventually { nodes() =~ /192\.0\.2\.1/ && nodes() =~ /192\.0\.2\.2/ } 20,
        'clients are sent to both';
    my @clients = join_all();
    my @late = $c->client(accepts => [1000], room => 'late://1',
        transport => 'tcp');

    # what waits for somebody who does not read leaves before the close frame
    $api->room(1000, 'live', '1', $_ . 'x' x 50_000) for 1 .. 4;
    eventually { $node->status->{counters}{pushed} >= 4 * $n } 20,
        'messages wait';
    my ($began, $closed) = (time, drained());
    is_deeply(drain('on')->{json}, { drain => 'on' }, 'drains');
    partly('drain', $closed);
    is(drain('on')->{status}, 200, 'twice is no error');

    my $s = Goim::Socket->new(port => $node->{port});
    $s->write("GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    $s->wait_read(time + 10 * slow());
    $s->eof;
    like($s->{buf}, qr/^HTTP\/1\.1 503/, 'no new one is let in');
    my $tcp = Goim::Socket->new(port => $node->{tcp_port});
    ok($tcp->wait_read(time + 10 * slow()) && $tcp->eof, 'nor over TCP');

    my $st = $node->status;
    is($st->{drain} . $st->{offline}, 11, 'the page says so');
    eventually { nodes() eq '192.0.2.2' } 10, 'clients are sent elsewhere';

    lasts('drain', 6, $began, ends('drain', @clients));
    for my $i (0 .. $#clients) {
        $clients[$i]->pump;
        my @got = map { /^(\d)x/ } map { $_->{body} } @{ $clients[$i]{pushes} };
        is("@got", '1 2 3 4', "client $i has all") if "@got" ne '1 2 3 4';
    }
    is($late[0]->closed(10), 'eof', 'TCP is closed too');
    eventually { $node->status->{sessions} == 0 } 20, 'all have gone';
    is(drained(), $n + 1, 'as counted');
    ok($node->status->{registered}, 'the node stays registered');
    is(scalar(() = $node->error_log =~ /the node drains/g), 1, 'said once');

    # no way out is left half open
    is_deeply(drain('off')->{json}, { drain => 'off' }, 'takes clients again');
    my $client = $c->client(accepts => [1000]);
    eventually { nodes() =~ /192\.0\.2\.1/ } 10, 'clients are sent to it';
    $api->all(1000, 'again');
    is($client->push(10)->{body}, 'again', 'and served');
    is($client->close, 1000, 'goodbye');
};

subtest 'stopped in the middle' => sub {
    my @clients = join_all();
    my $before = drained();
    drain('on');
    eventually { drained() - $before >= 4 } 20, 'some are closed';
    drain('off');
    my @left = grep { !$_->closed(0.2) } @clients;
    cmp_ok(scalar @left, '>', 0, 'others are not');
    $api->room(1000, 'live', '1', 'still here');
    is((grep { my $p = $_->push(10); $p && $p->{body} eq 'still here' } @left)
        + 0, scalar @left, 'and go on receiving');
    $_->drop for @clients;
    eventually { $node->status->{sessions} == 0 } 20, 'all have gone';
};

subtest 'a reload' => sub {
    my @clients = join_all();
    my $before = drained();
    my $began = time;
    $node->reload;
    partly('reload', $before);
    my $new = $c->client(accepts => [1000]);
    lasts('reload', 6, $began, ends('reload', @clients));
    is(drained() - $before, $n, 'as counted');
    eventually { !$node->draining } 20, 'their workers leave';
    ok(!$node->status->{offline}, 'clients come all the while');
    $api->all(1000, 'new');
    is($new->push(10)->{body}, 'new', 'one of the new workers stays');
    $new->drop;
};

subtest 'the default' => sub {
    again($node, 'worker_shutdown_timeout 5s;');
    my @clients = join_all();
    my $before = drained();
    $node->reload;
    ends('default', @clients);
    cmp_ok(drained() - $before, '>', $n / 2,
        'one after another, before worker_shutdown_timeout is over');
    like($node->error_log, qr/closing \d+ connections over 3000 ms/,
        'which leaves two seconds');
};

subtest 'off' => sub {
    again($node, 'worker_shutdown_timeout 3s;', drain => 0);
    my @clients = join_all();
    my $before = drained();
    $node->reload;
    ends('off', @clients);
    is(drained(), $before, 'all when worker_shutdown_timeout is over');
};

subtest 'too long' => sub {
    again($other, 'worker_shutdown_timeout 10s;', drain => '10s');
    my ($status, $text) = $other->test_conf;
    is($status, 0, 'is no error');
    like($text, qr/"drain" in "goim" is not less than "worker_shutdown_/,
        'but is said');
};

done_testing;
