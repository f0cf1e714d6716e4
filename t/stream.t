# What may stand in a node's stream besides what should: broken entries, holes,
# repeats, other epochs, a key of another type, an emptied Redis. What is left
# of the messages arrives once and in order, and every fault is counted.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;
use Goim::Proto qw(proto_encode);

my $c = Goim::Cluster->new(bus => 'redis', workers => 2);
my $redis = $c->redis;
my $key = 'goim:node:comet-1';
my @in = map { $c->client(mid => $_, key => "k$_", room => 'live://1',
    accepts => [1000]) } 1 .. 4;

sub count { return $c->node->status->{counters}{ $_[0] } }

# a counter moves by this much, at the latest now
sub moves {
    my ($name, $by, $do) = @_;
    my $before = count($name);
    $do->();
    eventually { count($name) == $before + $by } 10, "$name: +$by";
}

sub all_get {
    my ($name, @bodies) = @_;
    is_deeply([map { [map { $_->{body} } $_->pushes(scalar @bodies)] } @in],
        [map { \@bodies } @in], $name);
}

sub arrives {
    my ($body) = @_;
    is($c->api->room(1000, 'live', '1', $body)->{code}, 0, 'accepted');
    all_get("$body arrives", $body);
}

sub life { return $redis->cmd('HGET', 'goim:life', 'n') }

sub offset { return pack 'Q>Q>', 9, $_[0] }

sub record {
    my ($n, %arg) = @_;
    return { kind => 'ROOM', partition => 7, offset => offset($n),
        operation => 1000, room => 'live://1', body => "record $n", %arg };
}

sub delivery {
    my ($epoch, @records) = @_;
    return proto_encode('Delivery', { epoch => $epoch,
        records => \@records });
}

sub add {
    my (@fields) = @_;
    return $redis->cmd('XADD', $key, life() . '-*', @fields);
}

arrives('the first');

# ---- broken entries ----

moves('broken', 1, sub { add('d', "\xff\xff nothing of ours") });
moves('broken', 1, sub { add('other', 'field') });
moves('broken', 1, sub { add('d', delivery('e',
    record(1, offset => 'short'))) });
moves('broken', 1, sub { add('d', delivery('e', record(1, kind => 77))) });
moves('broken', 1, sub { add('d', delivery('e',
    record(1, partition => 100000))) });
moves('broken', 1, sub { add('d', delivery('e', { kind => 'KICK' })) });
moves('broken', 1, sub { add('d', delivery('e',
    record(1, body => 'x' x 3_000_000))) });
arrives('after broken entries');

# ---- positions ----

moves('epochs', 1, sub {
    add('d', delivery('another epoch', record(1), record(2)));
});
all_get('records arrive', 'record 1', 'record 2');

moves('duplicates', 2, sub {
    add('d', delivery('another epoch', record(1), record(2), record(3)));
});
all_get('what was seen is left out', 'record 3');

moves('duplicates', 3, sub {
    add('d', delivery('another epoch', record(3), record(1), record(2)));
});
add('d', delivery('another epoch', record(4)));
all_get('and nothing comes twice', 'record 4');

moves('epochs', 1, sub { arrives('by job, in its own epoch') });

# ---- the end of one epoch and the beginning of the next, read twice ----

{
    my @both = (delivery('older', record(1), record(2)),
        delivery('newer', record(1), record(2)));

    add('d', $_) for @both;
    all_get('records of two epochs', map { "record $_" } 1, 2, 1, 2);

    # Redis is back with less: what there is is read again from its start
    my $now = life();
    moves('duplicates', 4, sub {
        $redis->cmd('DEL', $key);
        $redis->cmd('XADD', $key, "$now-$_", 'd', $both[$_]) for 0, 1;
    });
    add('d', delivery('newer', record(3)));
    all_get('repeats nothing', 'record 3');
}

arrives('job goes on');

# ---- holes ----

my ($n) = $redis->cmd('XADD', $key, life() . '-*', 'd',
    delivery('', {kind => 'ROOM', operation => 1, room => 'live://1',
        body => 'no position' })) =~ /-(\d+)$/;
all_get('a record without a position', 'no position');

moves('missed', 4, sub {
    moves('holes', 1, sub {
        $redis->cmd('XADD', $key, life() . '-' . ($n + 5), 'd',
            delivery('', { kind => 'ROOM', operation => 1,
                room => 'live://1', body => 'behind a hole' }));
    });
});
all_get('what is behind a hole arrives', 'behind a hole');

# ---- kicks ----

my $zone = $c->node->status->{zone_id};
add('d', delivery('', { kind => 'KICK', keys => ['k1'], zone => $zone,
    session => 999999 }, { kind => 'KICK', keys => ['k1'],
    zone => 'f' x 16, session => 1 }));
arrives('kicks of others harm nobody');

# ---- the key itself ----

for (1 .. 3) {
    $redis->cmd('DEL', $key);
    arrives("a stream deleted, $_");
}

$redis->cmd('DEL', $key);
$redis->cmd('SET', $key, 'not a stream');
arrives('a key of another type');

$redis->cmd('FLUSHALL');
wait_for { $redis->cmd('EXISTS', 'goim:nodes') } 20, 'registered again';
arrives('an emptied Redis');

done_testing;
