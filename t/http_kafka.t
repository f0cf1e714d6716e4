# Pushes through logic into a real Kafka: records as goim's consumers know
# them, one partition for a key, and what is answered while the broker is away.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::Bus;
use Goim::Kafka;
use Goim::Logic;
use Goim::Proto qw(proto_decode);
use Goim::RPC;
use Goim::Redis;

my $redis = Goim::Redis->new;
my $kafka = Goim::Kafka->new(partitions => 3, stopped => 1);
my $logic = Goim::Logic->new(redis => $redis->addr, bus => 'kafka',
    kafka => $kafka->addr, conf => { push => { timeout => '2s' },
    logic => { threads => 1 },
    bus => { topic => 'pushes' }, redis => { timeout => '1s' } });
my $api = $logic->api;
Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});

sub online {
    my ($session, $key) = @_;
    $rpc->call(connect => { session => $session,
        token => qq({"mid":1,"key":"$key"}) })->{code} == 0 or die;
}

sub records {
    my $skip = shift;
    my @all = map { { partition => $_->[0], key => $_->[2],
        %{ proto_decode('PushMsg', $_->[3]) } } } $kafka->records('pushes');
    return @all[$skip || 0 .. $#all];
}

sub bounded {
    my ($sub, $name) = @_;
    my $start = Time::HiRes::time();
    my $r = $sub->();
    cmp_ok Time::HiRes::time() - $start, '<', 8 * slow(), "$name: in time";
    return $r;
}

subtest 'no broker at start' => sub {
    online($_, "k$_") for 1 .. 60;
    is $logic->health->{status}, 503, 'not healthy';
    like $logic->health->{content}, qr/"reason":"bus: kafka/, 'says why';

    my $r = bounded(sub { $api->keys(1, ['k1'], 'x') }, 'keys');
    is_deeply [@$r{qw(http code)}], [200, -500], 'certainly not';
    $r = bounded(sub { $api->room(1, 'a', 'b', 'never') }, 'room');
    is_deeply [@$r{qw(http code)}], [200, -500], 'certainly not';
    is $api->keys(1, ['offline'], 'x')->{code}, 0,
        'who is offline needs no broker';
};

subtest 'the broker comes' => sub {
    $kafka->start;
    eventually { $logic->health->{status} == 200 } 60, 'healthy';
    eventually { $api->room(1000, 'live', '1', "\0\xff")->{code} == 0 } 30,
        'a room';
    is $api->all(9, 'all', 7)->{code}, 0, 'all';

    my @got = records();
    is_deeply [grep { $_->{msg} eq 'never' } @got], [],
        'what was certainly not written never is';
    is_deeply [map { [@$_{qw(type operation room key msg)}] }
        grep { $_->{type} eq 'ROOM' } @got],
        [['ROOM', 1000, 'live://1', 'live://1', "\0\xff"]], 'the room';
    is_deeply [map { [@$_{qw(operation speed key msg)}] }
        grep { $_->{type} eq 'BROADCAST' } @got], [[9, 7, '9', 'all']],
        'the broadcast';

    # one by one and in a list: a key has one partition
    is $api->keys(5, ["k$_"], 'one')->{code}, 0, "k$_" for 1 .. 20;
    is $api->keys(5, [map { "k$_" } 1 .. 60], 'list')->{code}, 0, 'a list';
    is $api->mids(5, [1], 'mid')->{code}, 0, 'a user';

    my (%partition, %list, %mid, $moved);
    for my $rec (records()) {
        next if $rec->{type} ne 'PUSH';
        is $rec->{server}, 'comet-1', 'its node' if $rec->{msg} eq 'mid';
        for (@{ $rec->{keys} }) {
            $moved = $_ if defined $partition{$_}
                && $partition{$_} != $rec->{partition};
            $partition{$_} = $rec->{partition};
            $list{$_}++ if $rec->{msg} eq 'list';
            $mid{$_}++ if $rec->{msg} eq 'mid';
        }
    }
    is $moved, undef, 'each key always in the same partition';
    is_deeply [grep { $_->{partition}
        != Goim::Bus::partition($_->{key}, 3) } records()], [],
        'the one that goim\'s producer takes, by the record\'s key';
    is_deeply [grep { $_->{type} eq 'PUSH' && $_->{key} ne $_->{keys}[0] }
        records()], [], 'which is the first of the keys';

    # to the byte what a goim job reads
    my ($room) = map { $_->[3] } grep { $_->[2] eq 'live://1' }
        $kafka->records('pushes');
    my $bytes = "\x08\x01\x10\xe8\x07\x2a\x08live://1\x3a\x02\0\xff";
    like $room, qr/\A\Q$bytes\E\x40[\x80-\xff]{5}[\x01-\x7f]\z/,
        'a record of a room, and behind it a time, which goim passes over';
    my ($keys) = map { $_->[3] } grep { $_->[2] eq 'k1' }
        $kafka->records('pushes');
    is $keys, "\x10\x05\x22\x07comet-1\x32\x02k1\x3a\x03one",
        'a record of keys';
    my ($all) = map { $_->[3] } grep { $_->[2] eq '9' }
        $kafka->records('pushes');
    is $all, "\x08\x02\x10\x09\x18\x07\x3a\x03all", 'a broadcast';
    is_deeply [scalar keys %list, scalar keys %mid], [60, 60], 'each key';
    is_deeply [grep { $_ != 1 } values %list, values %mid], [], 'once';
    my %used = reverse %partition;
    is scalar keys %used, 3, 'all partitions are used';
};

subtest 'rooms with history have their homes' => sub {
    my $home = sub {
        my ($partitions, $type, $name) = @_;
        $redis->cmd('HSET', 'goim:history', 'text', "dedup 1000\nlive 9 9000\n",
            'stamp', $name, 'partitions', $partitions, 'of',
            "bus $partitions $name");
        my $other = Goim::RPC->new($logic->{rpc_port}, server => 'comet-2');
        eventually { ($other->register->{registered}{stamp} // '') eq $name }
            20, "$name: logic knows";
        my @room = map { "$name-$_" } 1 .. 20;
        is_deeply [grep { $api->room(1, $type, $_, $name)->{code} } @room], [],
            'written';
        return grep { $_->{msg} eq $name } records();
    };
    my $wrong = sub {
        my ($partitions, @got) = @_;
        is scalar @got, 20, 'each once';
        is_deeply [grep { $_->{partition}
            != Goim::Bus::partition($_->{key}, $partitions) } @got], [],
            "among $partitions partitions";
    };
    $wrong->(2, $home->(2, 'live', 'fewer'));
    $wrong->(3, $home->(2, 'chat', 'none'));
    $wrong->(3, $home->(7, 'live', 'more'));
    $redis->cmd('DEL', 'goim:history');
};

subtest 'the broker hangs' => sub {
    $kafka->pause;
    my $r = bounded(sub { $api->room(1, 'a', 'b', 'hang') }, 'room');
    is $r->{http}, 200, 'HTTP 200';
    ok $r->{code} == -504 || $r->{code} == -500, 'unknown, or not written';
    $r = bounded(sub { $api->keys(1, [map { "k$_" } 1 .. 60], 'hang') },
        'keys');
    ok $r->{code} == -504 || $r->{code} == -500, 'keys too';
    $kafka->resume;
    eventually { $api->room(1, 'a', 'b', 'after')->{code} == 0 } 60,
        'it goes on';
    eventually { $logic->health->{status} == 200 } 30, 'healthy';
    is_deeply [@{ $logic->metrics }{map { "goim_logic_$_" } qw(push_waiting)}],
        [0], 'nothing is left waiting';
};

subtest 'the broker stops' => sub {
    $kafka->stop;
    my $r = bounded(sub { $api->room(1, 'a', 'b', 'stop') }, 'room');
    ok $r->{code} == -504 || $r->{code} == -500, 'an answer';
    eventually { $logic->health->{status} == 503 } 30, 'not healthy';
    $kafka->start;
    eventually { $api->room(1, 'a', 'b', 'again')->{code} == 0 } 60,
        'and it goes on';
    is $logic->stop, 0, 'ends with 0';
};

done_testing;
