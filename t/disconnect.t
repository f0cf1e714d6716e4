# POST /goim/disconnect: sessions end on every node, by key, user, room and
# address, whatever Redis knows of them.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::App;
use Goim::Client;
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::Test;

# one whose token says "slow" is judged when the gate is there
my $gate = folder('gate') . '/open';
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    if ($body =~ /slow/) {
        for (1 .. 400) {
            last if -e $gate;
            Time::HiRes::sleep(0.05);
        }
    }
    $body =~ s/^\{/{"rooms":["live:*"],/;
    return (200, $body);
});

my %registry = (registry => { ttl => '6s', renew => '2s' });
my $c = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2,
    logic => { conf => { %registry, auth => { mode => 'http',
        url => $app->url('/auth'), timeout => '25s' } } },
    nginx => { tcp => 1, goim => { logic_timeout => '30s' } }, job => { conf => \%registry });
my @fronts = qw(ws tcp);

sub client {
    my ($node, $front, %arg) = @_;
    return $c->client(node => $node, transport => $front, mid => 3, %arg);
}

# on both nodes and fronts, each several times
sub many {
    my ($n, %arg) = @_;
    return map { client($_ % 2, $fronts[$_ / 2 % 2], %arg) } 0 .. $n - 1;
}

sub disconnect {
    return $c->api($_[0] % 2)->post('/goim/disconnect', $_[1]);
}

sub ended {
    my ($query, $name) = @_;
    my $r = disconnect(0, $query);
    is "$r->{http} $r->{code}", '200 0', "$name: taken" or diag $r->{text};
}

# what was said to each that has ended: a code, or "ended" over TCP
sub ends {
    return map { my $code = $_->closed(30);
        $_->{tcp} ? ($_->transport->socket->eof ? 'ended' : 'open')
            : $code // 'open' } @_;
}

sub open_still {
    my ($name, @clients) = @_;
    is scalar(grep { eval { $_->heartbeat; 1 } } @clients), @clients, $name;
}

sub counted {
    my $sum = 0;
    $sum += $c->node($_)->status->{counters}{ended} for 0, 1;
    return $sum;
}

subtest 'by key' => sub {
    my @two = map { client($_, 'ws', key => "a$_", mid => 7) } 0, 1;
    my $tcp = client(1, 'tcp', key => 'b', mid => 7, errors => 1);
    my @others = map { client($_, 'ws', key => "c$_", mid => 7) } 0, 1;

    ended([keys => ['a0', 'a1', 'b', 'nobody']], 'three keys, and nobody');
    is join(' ', ends(@two)), '4500 4500', 'not to come back';
    is $two[0]->transport->{reason}, 'disconnected', 'as it says by default';
    is_deeply $tcp->bye(5), { code => 4500, reason => 'disconnected',
        again => JSON::PP::false }, 'over TCP, too, with its reason';
    is join('', ends($tcp)), 'ended', 'and is closed';
    open_still('others of the user stay', @others);
    is counted(), 3, 'counted';
    wait_for { !$c->redis->cmd('EXISTS', 'sess_a0') } 10, 'logic knows';
};

subtest 'by user' => sub {
    my @mine = many(8, mid => 8, errors => 1);
    my @others = (many(4, mid => 9),
        map { client(0, 'ws', mid => 0, key => "guest-$_") } 0 .. 3);

    my $why = "\xe2\x80\x94 moved \"here\"";
    ended([mids => [8, 88], code => 4321, reason => $why, again => 1],
        'two users');
    is_deeply [map { $_->bye(5) } @mine], [map { { code => 4321,
        reason => $why, again => JSON::PP::true } } @mine],
        'all are told, and that they may come back';
    is join(' ', ends(@mine)), join(' ', (qw(4321 4321 ended ended)) x 2),
        'and closed';
    open_still('others stay', @others);
    open_still('who comes back', my @again = many(4, mid => 8));
};

subtest 'by room' => sub {
    my @there = map { many(40, room => 'live://1', mid => 10 + $_) } 1 .. 3;
    my @others = (many(4, room => 'live://2'), many(4));
    my $moved = client(0, 'ws', room => 'live://1');
    $moved->change_room('live://2');

    ended([type => 'live', room => '1', again => 1], 'a room');
    my %said;
    $said{$_}++ for ends(@there);
    is_deeply \%said, { 4000 => 60, ended => 60 }, 'all of it';
    open_still('those of other rooms stay, and of none', @others, $moved);
    open_still('who comes in then', client(1, 'ws', room => 'live://1'));
};

subtest 'by address' => sub {
    my @there = many(8, local => '127.0.0.2', mid => 5);
    my @others = (many(4, mid => 5), many(4, local => '127.0.0.22'));

    ended([addrs => ['::ffff:127.0.0.2', '2001:db8::1', '10.0.0.1']],
        'three addresses');
    is join(' ', ends(@there)), join(' ', (qw(4500 4500 ended ended)) x 2),
        'who came from there';
    open_still('others stay', @others);
};

subtest 'who is on the way in' => sub {
    my @watch = map { client($_, 'ws', mid => 61) } 0, 1;
    my @in = map { client($_ % 2, 'ws', auth => 0, mid => 60,
        key => "on-way-$_", room => 'live://6', platform => 'slow') } 0 .. 3;
    my $seen = $app->seen;
    $_->send(7, Goim::Client::token(%{ $_->{auth} })) for @in;
    wait_for { $app->seen > $seen } 10, 'the application is asked';

    ended([type => 'live', room => '6', code => 4444], 'a room');
    ended([mids => 61, code => 4445], 'and another user');
    is join(' ', ends(@watch)), '4445 4445', 'it has come to all nodes';
    wait_for { !grep { $c->node($_)->status->{ring_lag} } 0, 1 } 10,
        'and to all workers';
    spew($gate, '');
    is join(' ', ends(@in)), '4444 4444 4444 4444',
        'who asked before is ended when it is let in';
    open_still('who asks then stays',
        client(0, 'ws', room => 'live://6', key => 'on-way-0'));
};

subtest 'a single session, by its number' => sub {
    my @two = map { client(0, 'ws', key => "n$_", errors => 1) } 0, 1;
    my ($server, $zone, $n) = split '/',
        $c->redis->cmd('HGET', 'sess_n0', 'holder');

    my $kick = sub {
        my ($session, $end) = @_;
        my $life = $c->redis->cmd('HGET', 'goim:life', 'n');
        $c->redis->cmd('XADD', "goim:node:$server", "$life-*", d =>
            proto_encode('Delivery', { records => [{ kind => 'KICK',
                keys => ['n0'], zone => $zone, session => $session,
                end => { keys => ['n0'], %$end } }] }));
    };
    $kick->($n - 1, { code => 4100, reason => 'an older one' });
    $kick->($n, { code => 4101, reason => 'too many devices' });
    is_deeply $two[0]->bye(5), { code => 4101, reason => 'too many devices',
        again => JSON::PP::true }, 'is told why';
    is join(' ', ends($two[0])), '4101', 'and closed';
    open_still('no other', $two[1]);
};

subtest 'records that no node should have' => sub {
    my $there = client(0, 'ws', mid => 90);
    my $broken = sub { $c->node(0)->status->{counters}{broken} };
    my $before = $broken->();
    my $life = $c->redis->cmd('HGET', 'goim:life', 'n');
    my @bad = map { { mids => [90], %$_ } } { code => 0 }, { code => 1008 },
        { code => 5000 }, { code => 4500, reason => 'r' x 124 },
        { code => 4500, reason => "a\x01" }, { code => 4500, reason => "\xff" };
    $c->redis->cmd('XADD', 'goim:node:comet-1', "$life-*", d =>
        proto_encode('Delivery', { records => [map { { kind => 'KEYS',
            end => $_ } } @bad] }));
    wait_for { $broken->() == $before + @bad } 10, 'they are counted';
    open_still('and do nothing', $there);
};
allow_log(qr/record \d of entry \S+ is out of range and left out/);

subtest 'what is refused' => sub {
    my @bad = (
        [[], qr/one of keys, mids, addrs/],
        [[keys => 'a', mids => 1], qr/one of keys, mids, addrs/],
        [[mids => 1, type => 'live', room => 1], qr/one of keys/],
        [[type => 'live'], qr/room: required/],
        [[type => 'im', room => 'x'], qr/not for applications/],
        [[keys => ''], qr/keys: not 1 to 256/],
        [[keys => 'k' x 257], qr/keys: not 1 to 256/],
        [[mids => 0], qr/mids: not a number over 0/],
        [[mids => 'x'], qr/mids: not a number over 0/],
        [[addrs => '127.0.0.1/8'], qr/addrs: not an address/],
        [[mids => [1 .. 1001]], qr/mids: more than 1000/],
        [[mids => 1, code => 3999], qr/code: 3999 is not between/],
        [[mids => 1, code => 5000], qr/code: 5000 is not between/],
        [[mids => 1, code => 4500, again => 1], qr/again: code 4500 says 0/],
        [[mids => 1, code => 4003, again => 1], qr/again: code 4003 says 0/],
        [[mids => 1, code => 4001, again => 0], qr/again: code 4001 says 1/],
        [[mids => 1, again => 2], qr/again/],
        [[mids => 1, reason => 'r' x 124], qr/reason: not up to 123/],
        [[mids => 1, reason => "a\nb"], qr/reason/],
        [[mids => 1, reason => "\xff"], qr/reason/],
    );
    for my $bad (@bad) {
        my ($query, $why) = @$bad;
        my $r = disconnect(0, $query);
        is "$r->{http} $r->{code}", '400 -400', "$why";
        like $r->{message}, $why, 'is said';
    }
    is $c->api->get('/goim/disconnect', mids => 1)->{http}, 404, 'GET';
};

subtest 'much at once' => sub {
    my @there = map { client($_ % 2, 'ws', mid => 100_000 + $_) } 0 .. 19;
    ended([mids => [99_100 .. 100_099], reason => ''], '1,000 users');
    is join(' ', ends(@there)), join(' ', ('4500') x 20), 'all of them';
    is $there[0]->transport->{reason}, '', 'without a reason';
};

subtest 'Redis has lost its data' => sub {
    my @there = (many(4, mid => 71), many(4, room => 'live://71'),
        many(4, local => '127.0.0.71'),
        map { client($_, 'ws', key => "k7$_") } 0, 1);
    my @others = many(4, mid => 72);
    my @by = ([mids => 71], [type => 'live', room => '71'],
        [addrs => '127.0.0.71'], [keys => ['k70', 'k71']]);

    $c->redis->cmd('FLUSHALL');
    is $c->redis->cmd('EXISTS', 'sess_k70', 'mid_71'), 0,
        'Redis knows nobody';
    for my $query (@by) {
        wait_for { disconnect(1, $query)->{code} == 0 } 20, 'taken';
    }
    is scalar(grep { !/^(4500|ended)$/ } ends(@there)), 0,
        'sessions that are yet to be announced are ended';
    open_still('others stay', @others);
};

done_testing;
