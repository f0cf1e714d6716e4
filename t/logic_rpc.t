# What comets call: sessions, their renewal and end, rooms, missing keys, and
# frames that are none.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;

my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { log_level => 'info' }, redis => { timeout => '1s' },
    session => { ttl => '100s', heartbeat => '10s', heartbeat_max => 3 },
    registry => { ttl => '20s', renew => '1s' } });
Goim::RPC::ready($logic);
my $port = $logic->{rpc_port};
my $rpc = Goim::RPC->new($port, server => 'comet-1', zone => 'z1');
my $other = Goim::RPC->new($port, server => 'rack/comet-2', zone => 'z2');

sub connected {
    my ($comet, $session, $token, %more) = @_;
    return $comet->call(connect => { session => $session, token => $token,
        %more });
}

sub kicks {
    return map { @{ $_->{records} } } Goim::RPC::deliveries($redis, $_[0]);
}

sub ttl { return $redis->cmd('PTTL', $_[0]) }

sub counter {
    return $logic->metrics->{"goim_logic_$_[0]_total"};
}

# ---- tokens ------------------------------------------------------------------

subtest 'tokens' => sub {
    my $r = connected($rpc, 1, '{"mid":123,"key":"k1","room_id":"live://1",'
        . '"platform":"web","accepts":[1000,-1]}');
    is $r->{code}, 0, 'a whole one';
    is_deeply $r->{connected}, { mid => 123, key => 'k1',
        room => 'live://1', accepts => [1000, -1], heartbeat => 30_000,
        renew => 23_333, limited => 0, rooms => [], listed => 0,
        ops_limited => 0, ops => [], im => 0, send => '', send_interval => 0,
        send_burst => 0, data => '', expires => 0, renewable => 0, jti => '',
        epoch => '', acked => 0,
        life => $redis->cmd('HGET', 'goim:life', 'n') }, 'is answered';

    $r = connected($rpc, 2, '{"MID":9,"Key":"K","ROOM_ID":"a://b","x":[]}');
    is_deeply [@{ $r->{connected} }{qw(mid key room)}], [9, 'K', 'a://b'],
        'names of any case, others ignored';

    $r = connected($rpc, 3, '{}');
    is $r->{code}, 0, 'an empty one';
    like $r->{connected}{key},
        qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-
            [0-9a-f]{12}$/x, 'gets a UUID';
    is $r->{connected}{mid}, 0, 'and mid 0';
    isnt connected($rpc, 4, '{"key":""}')->{connected}{key},
        $r->{connected}{key}, 'each its own';
    is $redis->cmd('EXISTS', 'mid_0'), 0, 'no user mapping for mid 0';
    is connected($rpc, 5, '{"mid":-7,"key":"neg"}')->{connected}{mid}, -7,
        'a negative mid';
    is $redis->cmd('EXISTS', 'mid_-7'), 0, 'has none either';
    is connected($rpc, 5, 'null')->{code}, 0, 'null is Go\'s {}';

    for my $bad ('', '{', '[]', '"x"', '{"mid":"1"}', '{"mid":1.5}',
        '{"key":1}', '{"room_id":"live"}', '{"accepts":[1.5]}', "{}\0",
        '{"accepts":[2147483648]}', '{"key":"' . 'x' x 257 . '"}',
        '{"key":"a\u0000b"}', '{"room_id":"a://' . 'x' x 253 . '"}',
        '{"accepts":[' . join(',', 1 .. 129) . ']}', "\xff\xfe")
    {
        $r = connected($rpc, 6, $bad);
        is $r->{code}, 2, 'denied: ' . substr $bad, 0, 30;
        ok $r->{error}, 'with a reason';
    }
    is counter('denied'), 16, 'counted';

    is connected($rpc, 7, '{}', server => 'a b')->{code}, 4,
        'a server_id with a blank';
    is connected($rpc, 7, '{}', zone => 'a/b')->{code}, 4,
        'a zone with a slash';
};

# ---- one session -------------------------------------------------------------

subtest 'a session in Redis' => sub {
    is $redis->cmd('GET', 'key_k1'), 'comet-1', 'its key';
    is_deeply $redis->hgetall('mid_123'), { k1 => 'comet-1' }, 'its user';
    my $s = $redis->hgetall('sess_k1');
    is $s->{holder}, 'comet-1/z1/1', 'its holder';
    for my $key (qw(key_k1 mid_123 sess_k1)) {
        cmp_ok ttl($key), '>', 50_000, "$key lives";
        cmp_ok ttl($key), '<=', 100_000, 'as configured';
    }

    # renewal
    $redis->cmd('PEXPIRE', $_, 5000) for qw(key_k1 mid_123 sess_k1);
    my %me = (mid => 123, key => 'k1', session => 1);
    is $rpc->call(heartbeat => { %me })->{code}, 0, 'renewed';
    cmp_ok ttl($_), '>', 50_000, $_ for qw(key_k1 mid_123 sess_k1);
    is counter('restored'), 0, 'nothing was lost';

    # what Redis lost is restored
    for my $lost ([qw(key_k1)], [qw(mid_123)], [qw(sess_k1)],
        [qw(key_k1 mid_123 sess_k1)])
    {
        my $n = counter('restored');
        $redis->cmd('DEL', @$lost);
        is $rpc->call(heartbeat => { %me })->{code}, 0, "lost: @$lost";
        is $redis->cmd('EXISTS', qw(key_k1 mid_123 sess_k1)), 3, 'restored';
        is counter('restored'), $n + 1, 'counted';
    }

    # but not over somebody else's
    $redis->cmd('DEL', 'sess_k1');
    $redis->cmd('SET', 'key_k1', 'elsewhere');
    $rpc->call(heartbeat => { %me });
    is $redis->cmd('GET', 'key_k1'), 'elsewhere', 'another holder stays';
    $redis->cmd('DEL', 'key_k1');
    $rpc->call(heartbeat => { %me });

    # its end
    is $rpc->call(disconnect => { %me, session => 0 })->{disconnected}{had},
        0, 'an older session has not had it';
    is $redis->cmd('EXISTS', qw(key_k1 mid_123 sess_k1)), 3, 'it stays';
    is $rpc->call(disconnect => { %me })->{disconnected}{had}, 1, 'had';
    is $redis->cmd('EXISTS', qw(key_k1 mid_123 sess_k1)), 0, 'all gone';
    is $rpc->call(disconnect => { %me })->{disconnected}{had}, 0,
        'not twice';

    for my $call (qw(disconnect heartbeat)) {
        is $rpc->call($call => { key => '' })->{code}, 4,
            "$call without key";
        is $rpc->call($call => { key => 'x' x 257 })->{code}, 4,
            "$call with a key too long";
    }
};

# ---- the same key twice ------------------------------------------------------

subtest 'a newer session of a key' => sub {
    my $token = '{"mid":5,"key":"dup","room_id":"live://1"}';
    connected($rpc, 11, $token);
    is kicks('comet-1'), 0, 'the first one';
    connected($rpc, 11, $token);
    is kicks('comet-1'), 0, 'told twice is the same one';

    connected($other, 12, $token);
    my @k = kicks('comet-1');
    is @k, 1, 'a newer one elsewhere: the node is told';
    is_deeply [@{ $k[0] }{qw(kind zone session offset)}, @{ $k[0]{keys} }],
        ['KICK', 'z1', 11, '', 'dup'], 'whom to close';
    is $redis->hgetall('mid_5')->{dup}, 'rack/comet-2', 'the user is there';

    is $rpc->call(disconnect => { mid => 5, key => 'dup', session => 11 })
        ->{disconnected}{had}, 0, 'the end of the older one';
    is $redis->cmd('GET', 'key_dup'), 'rack/comet-2', 'takes nothing along';

    # back, on a node whose server_id has a slash
    connected($rpc, 13, $token);
    @k = kicks('rack/comet-2');
    is_deeply [map { [@$_{qw(zone session)}] } @k], [['z2', 12]],
        'the way back';

    # an older one that missed its kick is told at its renewal
    is $other->call(heartbeat => { mid => 5, key => 'dup', session => 12 })
        ->{code}, 0, 'a renewal of the older one';
    is $redis->cmd('GET', 'key_dup'), 'comet-1', 'changes nothing';
    @k = kicks('rack/comet-2');
    is $k[-1]{session}, 12, 'it is told again';
    is @k, 2, 'once';

    # another user on the same key
    connected($rpc, 14, '{"mid":6,"key":"dup"}');
    is $redis->cmd('EXISTS', 'mid_5'), 0, 'the old user has it no more';
    is_deeply $redis->hgetall('mid_6'), { dup => 'comet-1' },
        'the new one has it';
};

subtest 'keys of a user that are nowhere' => sub {
    connected($rpc, 21, '{"mid":50,"key":"live"}');
    $redis->cmd('HSET', 'mid_50', 'gone', 'comet-9', 'stolen', 'comet-9',
        'goim', 'comet-9');
    $redis->cmd('HSET', 'sess_stolen', 'holder', 'comet-9/z/1', 'mid', 51);
    $redis->cmd('SET', 'key_stolen', 'comet-9');
    $redis->cmd('SET', 'key_goim', 'comet-9');
    $rpc->call(heartbeat => { mid => 50, key => 'live', session => 21 });
    is_deeply $redis->hgetall('mid_50'),
        { live => 'comet-1', goim => 'comet-9' },
        'are swept at a renewal; what a goim wrote stays';
    cmp_ok counter('swept'), '>=', 2, 'counted';
};

# ---- missing -----------------------------------------------------------------

subtest 'missing keys' => sub {
    my @keys = map { "miss-$_" } 1 .. 450;
    connected($rpc, 1000 + $_, qq({"mid":60,"key":"miss-$_"}))
        for 1 .. 450;
    is $rpc->call(missing => { keys => \@keys })->{code}, 0, 'reported';
    is $redis->cmd('EXISTS', map { "key_$_" } @keys), 450,
        'who has just logged in stays';

    $redis->cmd('HSET', "sess_$_", 'at', 1) for @keys;
    connected($other, 7, '{"mid":60,"key":"miss-450"}');
    $redis->cmd('HSET', 'sess_miss-450', 'at', 1);
    is $rpc->call(missing => { keys => [@keys], zone => 'z9' })->{code}, 0,
        'from another zone of the node';
    is $redis->cmd('EXISTS', map { "key_$_" } @keys), 450, 'all stay';
    is $rpc->call(missing => { keys => [@keys, 'nobody', '', "a\0b"] })
        ->{code}, 0, 'from their own';
    is $redis->cmd('EXISTS', map { ("key_$_", "sess_$_") } @keys), 2,
        'stale ones are removed, one that is elsewhere by now is not';
    is_deeply $redis->hgetall('mid_60'), { 'miss-450' => 'rack/comet-2' },
        'the user too';
    is counter('missing_removed'), 449, 'counted';
    is $rpc->call(missing => { keys => [] })->{code}, 0, 'none';
};

# ---- online ------------------------------------------------------------------

subtest 'rooms' => sub {
    $rpc->register;
    $other->register;
    my $count = sub {
        my ($comet, %m) = @_;
        my $r = $comet->call(online => \%m);
        return $r->{code} ? "code $r->{code}"
            : join ' ', map { "$_->{room}=$_->{count}" }
            @{ $r->{onlined}{rooms} };
    };
    my $room = sub { return { room => $_[0], count => $_[1] } };

    is $count->($rpc, reset => 1, rooms => [$room->('a://1', 3),
        $room->('a://2', 1)]), 'a://1=3 a://2=1', 'of a new zone';
    eventually { $count->($other, reset => 1, rooms => [$room->('a://2', 4),
        $room->('a://1', 0)]) eq 'a://2=5 a://1=3' } 10, 'summed, in order';
    is $count->($rpc, rooms => [$room->('a://1', 0)]), 'a://1=0', 'left';
    is $redis->cmd('HEXISTS', 'goim:online:comet-1/z1', 'a://1'), 0,
        'nothing is kept of an empty room';
    is $redis->cmd('ZSCORE', 'goim:online', 'a://1'), undef, 'nor in the sums';
    is $count->($rpc, reset => 1), '', 'a new start';
    eventually { $count->($rpc, asked => ['a://2', 'a://1']) eq
        'a://2=4 a://1=0' } 10, 'forgets all';
    is $count->($rpc, rooms => [$room->("b://\xff\0", 1)]), "b://\xff\0=1",
        'rooms are bytes';
    is $count->($rpc, rooms => [map { $room->("c://$_", 1) } 1 .. 1000]),
        join(' ', map { "c://$_=1" } 1 .. 1000), '1,000 rooms';
    is $count->($rpc, rooms => [map { $room->("c://$_", 1) } 1 .. 1001]),
        'code 4', 'not more';
    is $count->($rpc, rooms => [$room->('', 1)]), 'code 4', 'a nameless one';

    # who is told that nothing is known tells all again
    my $all = sub {
        my ($comet, @args) = @_;
        return $comet->call(online => { @args })->{onlined}{all};
    };
    $redis->cmd('DEL', 'goim:online');
    is $all->($rpc), 1, 'the sums were lost';
    is $all->($rpc, rooms => [$room->('a://1', 2)], whole => 1, told => 1),
        0, 'all is told';
    is $all->($other, rooms => [$room->('a://1', 5)]), 1, 'so does the other';
    is $count->($rpc, asked => ['a://1']), 'a://1=7', 'the sum is right';
    is $all->($rpc, rooms => [$room->('a://2', 1)], whole => 1, told => 1), 1,
        'who has told less than is known tells all again';
    eventually { $count->($rpc, rooms => [$room->('a://2', 1)], asked =>
        ['a://1']) eq 'a://2=1 a://1=5' } 10, 'what it had is gone';
    $redis->cmd('SET', 'goim:online:comet-1/z1', 'junk');
    is $all->($rpc, rooms => [$room->('a://2', 1)]), 1, 'a broken key';
    is $all->($other, rooms => [$room->('a://1', 5)]), 1, 'all tell again';
    is $count->($rpc, asked => ['a://2', 'a://1']), 'a://2=1 a://1=5',
        'and it is right';

    # one leaves, one is not renewed
    $rpc->call('deregister');
    eventually { $count->($other, asked => ['a://2', 'a://1']) eq
        'a://2=0 a://1=5' } 10, 'who leaves is not counted any more';
    $redis->cmd('HSET', 'goim:online:comet-9/z9', '',
        $redis->cmd('ZSCORE', 'goim:online', ''), map { ("d://$_", 2) }
        1 .. 1200);
    $redis->cmd('ZADD', 'goim:online', map { (-2, "d://$_") } 1 .. 1200);
    $redis->cmd('SADD', 'goim:online:zones', 'comet-9/z9');
    eventually { $count->($other, asked => ['d://1', 'd://1200']) eq
        'd://1=0 d://1200=0' } 10, 'nor is one that nobody renews';
    eventually { !$redis->cmd('EXISTS', 'goim:online:comet-9/z9') } 10,
        'nothing is left of it';
    is_deeply $redis->cmd('SMEMBERS', 'goim:online:zones'), ['rack/comet-2/z2'],
        'who lives stays' or diag explain $redis->cmd('SMEMBERS',
        'goim:online:zones');
};

# ---- broken keys -------------------------------------------------------------

subtest 'keys of a wrong type' => sub {
    my $n = counter('broken_keys');
    for my $key (qw(sess_bt key_bt mid_70)) {
        $redis->cmd('DEL', qw(sess_bt key_bt mid_70));
        $redis->cmd('RPUSH', $key, 'junk');
        is connected($rpc, 31, '{"mid":70,"key":"bt"}')->{code}, 0,
            "$key: connect";
        is $redis->hgetall('sess_bt')->{mid}, 70, 'stored';

        $redis->cmd('DEL', $key);
        $redis->cmd('RPUSH', $key, 'junk');
        is $rpc->call(heartbeat => { mid => 70, key => 'bt',
            session => 31 })->{code}, 0, 'heartbeat';
        is $redis->hgetall('sess_bt')->{mid}, 70, 'restored';

        $redis->cmd('DEL', $key);
        $redis->cmd('RPUSH', $key, 'junk');
        is $rpc->call(disconnect => { mid => 70, key => 'bt',
            session => 31 })->{code}, 0, 'disconnect';
    }
    cmp_ok counter('broken_keys'), '>', $n, 'counted';

    $redis->cmd('SET', 'goim:node:comet-1', 'junk');
    connected($rpc, 41, '{"key":"bs"}');
    connected($rpc, 42, '{"key":"bs"}');
    eventually { kicks('comet-1') == 1 } 5, 'a broken stream is replaced';
};

# ---- frames ------------------------------------------------------------------

subtest 'frames' => sub {
    my $hello = sub { Goim::RPC->new($port, hello => 0) };

    my $c = $hello->();
    my $r = $c->call(connect => { token => '{}' });
    is $r->{code}, 4, 'a first call that is not Hello';
    ok $c->closed, 'ends the connection';

    $c = $hello->();
    $c->send_raw(pack('N', 1024 * 1024 + 1));
    ok $c->closed, 'a frame too long';

    $c = $hello->();
    $c->send_raw(pack('N', 5) . "\xff" x 5);
    ok $c->closed, 'a frame that is no call';

    $c = $hello->();
    is $c->call(hello => { server => '', zone => '' })->{code}, 4,
        'a nameless Hello';
    ok $c->closed, 'ends it too';

    # byte by byte, and many in one write
    $c = $hello->();
    for my $byte (split //, Goim::RPC::frame($c->packed(1, 'hello'))) {
        $c->send_raw($byte);
    }
    is $c->reply(1)->{code}, 0, 'byte by byte';
    $c->send_raw(join '', map { Goim::RPC::frame($c->packed(100 + $_,
        'connect', { session => $_, token => qq({"key":"f-$_"}) })) }
        1 .. 500);
    is_deeply [grep { $c->reply(100 + $_)->{connected}{key} ne "f-$_" }
        1 .. 500], [], '500 in one write';

    # an unknown call of a newer comet
    $c->send_raw(Goim::RPC::frame("\x08\x07\xa2\x06\x00"));
    is $c->reply(7)->{code}, 4, 'a call nobody knows';
    is $c->call('hello')->{code}, 0, 'a second Hello';
    is $c->call(receive => { operation => 4, body => 'x', key => 'f-1' })
        ->{code}, 0, 'the connection goes on';
    is $c->call(receive => { key => 'x' x 257 })->{code}, 4,
        'receive with a key too long';

    # calls of one session keep their order
    for (1 .. 50) {
        my @id = ($c->send(connect => { session => 1,
            token => '{"mid":80,"key":"order"}' }),
            $c->send(heartbeat => { mid => 80, key => 'order',
                session => 1 }),
            $c->send(disconnect => { mid => 80, key => 'order',
                session => 1 }));
        my @r = map { $c->reply($_) } @id;
        last if !is $r[2]{disconnected}{had}, 1, 'had' and last;
    }
    is $redis->cmd('EXISTS', 'key_order'), 0, 'in order';

    # who sends much and takes no answers is not read any more
    my $greedy = Goim::RPC->new($port, server => 'greedy');
    my $frame = join '', map { Goim::RPC::frame($greedy->packed(1,
        'connect', { session => 1, token => '{' })) } 1 .. 1000;
    $greedy->socket->{timeout} = 1;
    my $sent = 0;
    eval { while ($sent < 3_000_000) { $greedy->send_raw($frame);
        $sent += 1000 } };
    like $@, qr/timed out/, 'is stopped' or diag "sent $sent";
    is connected($rpc, 51, '{"key":"after"}')->{code}, 0,
        'others are served';
    $greedy->close;
    eventually { $logic->metrics->{goim_logic_rpc_links} < 20 } 10,
        'it is gone';
};

# ---- Redis away --------------------------------------------------------------

subtest 'Redis away' => sub {
    $redis->pause;
    my $start = Time::HiRes::time();
    my @id = map { $rpc->send(@$_) } ['connect', { token => '{}' }],
        ['heartbeat', { key => 'x' }], ['disconnect', { key => 'x' }],
        ['register', { instance => 'i' }], ['deregister'],
        ['online', { rooms => [{ room => 'a://1', count => 1 }] }],
        ['missing', { keys => ['x'] }];
    is_deeply [map { $rpc->reply($_)->{code} } @id], [(1) x 7],
        'calls fail when there is no answer';
    cmp_ok Time::HiRes::time() - $start, '<', 10 * slow(), 'in time';
    is connected($rpc, 1, '{}')->{code}, 1, 'then at once';
    is connected($rpc, 1, '{')->{code}, 2, 'what is wrong is denied still';
    $redis->resume;
    eventually { connected($rpc, 1, '{}')->{code} == 0 } 20, 'and go on';

    $redis->cmd('SCRIPT', 'FLUSH');
    is connected($rpc, 1, '{"key":"noscript"}')->{code}, 0,
        'a Redis that forgot the scripts';
    is $rpc->call(disconnect => { key => 'noscript', session => 1 })
        ->{disconnected}{had}, 1, 'each of them';
};

# ---- the end -----------------------------------------------------------------

subtest 'end' => sub {
    $redis->pause;
    my $id = $rpc->send(connect => { token => '{}' });
    # the call has been read when a later one on that connection was answered
    my $denied = $rpc->send(connect => { token => '{' });
    is $rpc->reply($denied)->{code}, 2, 'a call is under way';
    $logic->signal('TERM');
    Time::HiRes::sleep(0.3);
    $redis->resume;
    is $rpc->reply($id)->{code}, 0, 'is answered';
    ok $rpc->closed, 'then the connection ends';
    is $logic->wait_exit(20), 0, 'and the process, with 0';
};

done_testing;
