# Where goim is wrong, second half: the protocol, the application behind logic,
# and what happens when something is missing. A test for each of its faults,
# named after what goim does; goim fails each.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP ();

use Goim::App;
use Goim::Cluster;
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Packet qw(pack_packet);
use Goim::Redis;
use Goim::Test;
use Goim::WS;

my @kinds = qw(ws tcp);

# The application knows these tokens, and for each who that is. Packets of
# clients it takes; but not operation 666.
my %who = (
    plain => { guest => JSON::PP::true() },
    any => { guest => JSON::PP::true(), rooms => ['*'] },
    member => { mid => 5, key => 'member', room_id => 'live://1',
        accepts => [1000], rooms => ['live://2', 'chat://*'] },
    guest => { guest => JSON::PP::true(), room_id => 'live://1' },
);
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return ($path =~ /operation=666/ ? 500 : 200, '') if $path =~ m{^/receive};
    return (403, '') if !$who{$body};
    return (200, JSON::PP::encode_json($who{$body}));
});
my $c = Goim::Cluster->new(nodes => 2, workers => 2, nginx => { tcp => 1 },
    logic => { conf => { auth => { mode => 'http',
        url => $app->url('/auth') }, receive => {
        url => $app->url('/receive') } } });
my $api = $c->api;

sub counter { return $c->node($_[1])->status->{counters}{$_[0]} }

# a client of the application's, with one of these tokens
sub client {
    my ($kind, $token, %arg) = @_;
    return $c->client(transport => $kind, token => $token, %arg);
}

# it is closed, on WebSocket with this code
sub is_closed {
    my ($client, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($client->closed, $client->{tcp} ? 'eof' : $code,
        "$name: closed");
}

# TCP has neither pings nor close frames
subtest 'a pong waits for the next flush; no close frame is ever sent' => sub {
    my $ws = client('ws', 'plain')->transport;

    for my $n (1 .. 5) {
        $ws->ping("ping $n");
        my $frame = $ws->recv_frame || {};
        is_deeply([@$frame{qw(opcode payload)}], [10, "ping $n"],
            'a pong comes while nothing else does');
    }
    is($ws->close(4321, 'bye'), 4321, 'a close frame is answered by one');

    my $stranger = client('ws', 'plain', auth => 0);
    $stranger->send(7, 'nobody');
    is($stranger->closed, 1008, 'the node sends them too');
    is($stranger->transport->reason, 'auth refused', 'with a reason');
    my $wrong = client('ws', 'plain');
    $wrong->transport->send_frame(3, '');
    is($wrong->closed, 1002, 'and with the code of what was wrong');
};

subtest 'unmasked frames accepted; a packet longer than its frame reads old'
    . ' memory' => sub
{
    my $secret = 'secret ' x 100;

    for my $auth (0, 1) {
        my $client = client('ws', 'plain', auth => $auth);
        $client->transport->send_frame(binary => pack_packet(4, 'x'),
            mask => 0);
        is($client->closed, 1002, "auth $auth: no mask");
        is_deeply($client->{replies}, [], "auth $auth: no answer");

        # operation 14 echoes its body: here, what was there before
        $client = client('ws', 'plain', auth => $auth);
        $client->send(14, $secret);
        $client->reply if $auth;
        $client->transport->send(pack_packet(14, 'short', length => 700));
        is($client->closed, 1002, "auth $auth: longer than its frame");
        is_deeply($client->{replies}, [], "auth $auth: no answer");
    }

    # there are no frames on TCP: the rest of the packet is waited for
    my $client = client('tcp', 'plain');
    is($client->call(14, $secret)->{body}, $secret, 'tcp: a body echoed');
    $client->transport->send(pack_packet(14, 'short', length => 26, seq => 9));
    is($client->reply(0.3), undef, 'tcp: no answer to half a packet');
    $client->transport->send('-long');
    is(($client->reply || {})->{body}, 'short-long', 'tcp: only to all of it');
    $client->close;
};

# on TCP there is no handshake
subtest 'handshake errors: silent close' => sub {
    my %good = (Host => 'x', Upgrade => 'websocket', Connection => 'Upgrade',
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version' => 13);

    for (
        ['no Upgrade', 400, Upgrade => undef],
        ['another Upgrade', 400, Upgrade => 'h2c'],
        ['no Connection', 400, Connection => undef],
        ['another Connection', 400, Connection => 'close'],
        ['no key', 400, 'Sec-WebSocket-Key' => undef],
        ['a short key', 400, 'Sec-WebSocket-Key' => 'c2hvcnQ='],
        ['a key that is none', 400, 'Sec-WebSocket-Key' => '?' x 24],
        ['HTTP/1.0', 400, protocol => 'HTTP/1.0'],
        ['a body', 400, 'Content-Length' => 5],
        ['no version', 426, 'Sec-WebSocket-Version' => undef],
        ['version 8', 426, 'Sec-WebSocket-Version' => 8],
        ['POST', 405, method => 'POST'],
        ['nothing wrong', 101],
    ) {
        my ($name, $status, %with) = @$_;
        my %header = (%good, %with);
        my ($method, $protocol) = delete @header{qw(method protocol)};
        my $request = join ' ', $method || 'GET', '/sub',
            $protocol || "HTTP/1.1\r\n";
        $request .= "\r\n" if $protocol;
        $request .= "$_: $header{$_}\r\n"
            for grep { defined $header{$_} } sort keys %header;

        my $ws = Goim::WS->new(port => $c->node->{port}, any => 1,
            request => "$request\r\n" . ($name eq 'a body' ? 'hello' : ''));
        is($ws->status, $status, "$name: $status");
        like($ws->response, qr/^Sec-WebSocket-Version: 13\r?$/mi,
            "$name: says the version") if $status == 426;
        like($ws->response, qr/^Allow: GET\r?$/mi, "$name: says the method")
            if $status == 405;
        like($ws->response, qr/^\Q$_\E\r?$/mi, "$name: $_")
            for $status == 101 ? ('Upgrade: websocket', 'Connection: upgrade',
            'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=') : ();
        $ws->drop;
    }
};

# Every node's stream holds them: a filter by rooms is a later matter. What a
# node without members does with them is the same either way.
subtest 'room messages go to every comet' => sub {
    my @in = (client('ws', 'member'), client('tcp', 'guest'));
    $in[1]->sub([1000]);
    my @out = map { client($_, 'any', node => 1) } @kinds;
    $_->sub([1000]) for @out;
    my %before = %{ $c->node(1)->status->{counters} };

    for my $n (1 .. 10) {
        is($api->room(1000, 'live', '1', "room $n")->{code}, 0, "room $n");
    }
    for my $client (@in) {
        is_deeply([map { $_->{body} } $client->pushes(10)],
            [map { "room $_" } 1 .. 10], 'members get them');
    }

    is($api->all(1000, 'all')->{code}, 0, 'to all');
    is(($_->push || {})->{body}, 'all', 'the node without members delivers'
        . ' what comes behind them, and none of them') for @out;
    my $now = $c->node(1)->status->{counters};
    is($now->{pushed} - $before{pushed}, 2, 'to its own only');
    is($now->{$_}, $before{$_}, "its place is kept: $_")
        for qw(holes missed duplicates epochs);
    $_->close for @in, @out;
};

subtest 'any client may enter any room and claim any mid' => sub {
    for my $kind (@kinds) {
        my $stranger = client($kind, 'plain', auth => 0);
        $stranger->send(7, '{"mid":5,"key":"member","room_id":"live://1"}');
        is_closed($stranger, 1008, "$kind: what a client says of itself");
        is_deeply($stranger->{replies}, [], "$kind: no answer");
        is($c->redis->cmd('EXISTS', 'mid_5'), 0, "$kind: and no user");
        my ($asked) = map { $_->{head} } ($app->seen)[-1];
        like($asked, qr/^X-Goim-Addr: 127\.0\.0\.1\r?$/m,
            "$kind: the application was asked, and told from where");

        # the application says who it is and where it may go
        my $member = client($kind, 'member',
            headers => [Cookie => 'session=x']);
        like(($app->seen)[-1]{head}, qr/^Cookie: session=x\r?$/m,
            "$kind: it sees the cookie") if $kind eq 'ws';
        is_deeply($c->redis->hgetall('mid_5'), { member => 'comet-1' },
            "$kind: the application's word");
        is($member->heartbeat, 1, "$kind: in its room");
        my $refused = counter('rooms_refused');
        for my $room ('live://3', 'live://22', 'live://', 'chat:/', 'chat',
            '*')
        {
            is($member->change_room($room)->{body}, 'live://1',
                "$kind: not into $room: it stays");
        }
        is(counter('rooms_refused'), $refused + 6, "$kind: counted");
        is($member->heartbeat, 1, "$kind: still in its room");
        for my $room ('live://2', 'chat://7', '', 'live://1', 'live://1') {
            is($member->change_room($room)->{body}, $room,
                "$kind: into '$room'");
        }
        $member->change_room('');
        is($member->change_room('live://3')->{body}, '',
            "$kind: from none into none");

        # nothing said: the room of the answer, and no other
        my $guest = client($kind, 'guest');
        is($guest->change_room('live://2')->{body}, 'live://1',
            "$kind: a guest stays");
        is($guest->change_room('')->{body}, '', "$kind: or leaves");
        is($guest->change_room('live://1')->{body}, 'live://1',
            "$kind: and comes back");
        my $plain = client($kind, 'plain');
        is($plain->change_room('live://1')->{body}, '',
            "$kind: none at all");
        my $any = client($kind, 'any');
        is($any->change_room('what://ever')->{body}, 'what://ever',
            "$kind: any");

        # what is pushed to the rooms of others does not reach them
        is($api->room(7, 'live', 3, 'x')->{code}, 0, "$kind: pushed");
        is($api->room(7, 'live', 1, 'y')->{code}, 0, "$kind: pushed");
        is(($guest->push || {})->{body}, 'y', "$kind: who is in it");
        $_->pump for $member, $plain, $any;
        is_deeply([map { @{ $_->{pushes} } } $member, $plain, $any], [],
            "$kind: nobody else");
        $_->close for $member, $guest, $plain, $any;
        eventually { !$c->redis->cmd('EXISTS', 'mid_5') } 20, "$kind: gone";
    }

    # goim's way is a setting
    my $logic = $c->logic;
    $logic->stop;
    $logic->configure({ auth => { mode => 'trust' } })->start;
    wait_for { $logic->metrics->{goim_logic_rpc_links} == 4 } 30, 'links';
    for my $kind (@kinds) {
        my $client = $c->client(transport => $kind, mid => 5,
            token => '{"mid":5,"key":"trusted","rooms":7}');
        is($c->redis->hgetall('mid_5')->{trusted}, 'comet-1',
            "$kind: trust: any user");
        is($client->change_room('live://3')->{body}, 'live://3',
            "$kind: trust: any room");
        $client->close;
        eventually { !$c->redis->cmd('EXISTS', 'mid_5') } 20, "$kind: gone";
    }
};

subtest 'Receive only logs' => sub {
    for my $kind (@kinds) {
        my $client = $c->client(transport => $kind, mid => 6, key => 'k 6',
            room => 'live://6');
        my @before = $app->seen;

        is_deeply($client->call(4, "hel\0lo", seq => 7),
            { op => 5, body => '', seq => 7, ver => 1 },
            "$kind: operation 4 is answered by 5");
        my ($request) = splice @{ [$app->seen] }, scalar @before;
        is($request->{path}, '/receive?mid=6&operation=4&seq=7&key=k%206'
            . '&room=live%3A%2F%2F6', "$kind: the application knows who");
        is($request->{body}, "hel\0lo", "$kind: and what");

        is($client->call(100, 'x')->{op}, 100, "$kind: others too");
        is(($app->seen)[-1]{body}, 'x', "$kind: as they are");

        my $failed = counter('receive_failed');
        is($client->call(666, 'x')->{op}, 666,
            "$kind: answered also when it was not taken");
        is(counter('receive_failed'), $failed + 1, "$kind: but counted");
        like($c->node->error_log, qr/operation 666 was not taken/,
            "$kind: and said");

        my @ops = (4, 666, 2, 4, 14, 666, 12, 100);
        my @seq = map { $client->send($_, '') } @ops;
        my @got = map { $client->reply || {} } @ops;
        is_deeply([map { $_->{op} } @got], [5, 666, 3, 5, 15, 666, 13, 100],
            "$kind: in the order of the requests");
        is_deeply([map { $_->{seq} } @got], \@seq, "$kind: each its own");
        $client->close;
    }
};

subtest 'a comet stops when logic or discovery is missing at start' => sub {
    my $redis_port = free_port();
    my $logic = Goim::Logic->new(redis => "127.0.0.1:$redis_port",
        stopped => 1);
    my $node = Goim::Nginx->new(redis => "127.0.0.1:$redis_port", tcp => 1,
        logic => $logic->rpc_addr, server_id => 'alone', workers => 2,
        goim => { handshake_timeout => '60s' });
    my @early = map { Goim::Client->new(transport => $_, auth => 0,
        port => $_ eq 'ws' ? $node->{port} : $node->{tcp_port}) } @kinds;

    is($node->status->{registered}, 0, 'it starts, unregistered');
    eventually { $node->error_log =~ /redis.*127\.0\.0\.1:$redis_port/ } 20,
        'says that Redis is missing';
    my $addr = $logic->rpc_addr;
    eventually { $node->error_log =~ /logic.*$addr/ } 20, 'and logic';

    # both come, one after the other
    $logic->start;
    is($node->status->{registered}, 0, 'logic alone is not enough');
    my $redis = Goim::Redis->new(port => $redis_port);
    my $job = Goim::Job->new(redis => $redis->addr);
    $node->wait_registered(60);

    for (@early) {
        is($_->call(7, '{"mid":8,"accepts":[1000]}', timeout => 60)->{op}, 8,
            'who was there before can log in');
    }
    eventually { !$logic->api->mids(1000, [8], 'hello')->{code} } 30,
        'accepted';
    is(($_->push(30) || {})->{body}, 'hello', 'and is reached') for @early;
    $_->close for @early;
    $_->stop for $node, $job, $logic, $redis;
};

subtest 'broadcast with no comet divides by zero; negative limits panic'
    => sub
{
    my $job = $c->job;
    $_->stop for @{ $c->{nodes} };
    eventually { $job->metrics->{goim_job_nodes} == 0 } 30, 'no comet';

    is($api->all(1000, 'nobody', $_)->{code}, 0, "speed $_: accepted")
        for 0, 1, 2147483647;
    eventually {
        $job->metrics->{'goim_job_undeliverable_total{reason="no_nodes"}'} == 3
    } 20, 'counted';
    like($job->logs, qr/\[warn\].*no node is registered/, 'and said');
    is($job->health->{status}, 200, 'job goes on');

    for ([online_top => 'live', -1], [online_top => 'live', -2147483648],
        [online_top => 'live', '-9' x 20], [all => 1000, 'x', -1],
        [all => 1000, 'x', -2147483648])
    {
        my ($call, @arg) = @$_;
        my $r = $api->$call(@arg);
        is_deeply([@$r{qw(http code)}], [400, -400], "$call @arg: refused");
        like($r->{message}, qr/^(?:limit|speed)/, 'and named');
    }

    $c->node->start;
    $c->node->wait_registered;
    my @clients = map { $c->client(transport => $_, accepts => [1000]) }
        @kinds;
    is($api->all(1000, 'somebody', 100)->{code}, 0, 'accepted');
    is(($_->push || {})->{body}, 'somebody', 'a comet that comes gets it')
        for @clients;
    $_->close for @clients;
};

done_testing;
