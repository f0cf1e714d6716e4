# A push to a key that is not on its node any more: the node says so, and what
# logic had stored for the key goes away. A key that is there, or that is
# logging in just now, is left alone.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Proc;
use Goim::Test;

allow_log(qr/\[alert\].*exited on signal 9/);

my $c = Goim::Cluster->new(workers => 2);
my ($node, $redis, $api) = ($c->node, $c->redis, $c->api);

# what logic has stored for a key
sub stored {
    my ($key, $mid) = @_;
    return join ' ', map { $_ ? 1 : 0 } $redis->cmd('EXISTS', "sess_$key"),
        $redis->cmd('EXISTS', "key_$key"),
        $redis->cmd('HEXISTS', "mid_$mid", $key);
}

# as if it had logged in a minute ago
sub aged {
    my ($key) = @_;
    my $at = $redis->cmd('HGET', "sess_$key", 'at');
    $redis->cmd('HSET', "sess_$key", at => $at - 60_000);
}

sub missing { return $node->status->{counters}{key_missing} }

# a worker dies with its sessions: nobody tells logic that they ended
my @lost = map { $c->client(key => "lost$_", mid => 7) } 0 .. 19;
hit 9, $_ for $node->workers;
wait_for { !grep { !$_->closed(0.1) } @lost } 20, 'the clients are cut';
wait_for { $node->workers == 2 && $node->status->{workers} == 2 } 20,
    'new workers';
$node->wait_registered(20);

my $live = $c->client(key => 'live', mid => 7, accepts => [1000]);
is(stored('lost0', 7), '1 1 1', 'a mapping outlives its worker');

aged($_) for 'live', map { "lost$_" } 1 .. 19;
my $before = missing();
is($api->keys(1000, [map { "lost$_" } 0 .. 19], 'x')->{code}, 0,
    'a push to what is stored is taken');
eventually { missing() == $before + 20 } 10, 'each key is counted';
eventually { !grep { stored("lost$_", 7) ne '0 0 0' } 1 .. 19 } 10,
    'what is gone is gone in Redis, too';
is(stored('lost0', 7), '1 1 1', 'a login of just now is left alone');

# keys that are there
$before = missing();
$api->keys(1000, ['live'], "message $_") for 1 .. 20;
is(join(',', map { $live->push(10)->{body} } 1 .. 20),
    join(',', map { "message $_" } 1 .. 20), 'a key that is there gets all');
$api->mids(1000, [7], 'to all its devices');
is($live->push(10)->{body}, 'to all its devices', 'and what its user gets');
is(missing(), $before + 1, 'only the device that logged in just now misses');
is(stored('live', 7), '1 1 1', 'its mapping stays');

# it ends for good: nothing is missing, logic knows
$live->close;
eventually { stored('live', 7) eq '0 0 0' } 10, 'a session that ends';
$before = missing();
is($api->keys(1000, ['live'], 'x')->{code}, 0, 'a push to nobody is taken');
is(missing(), $before, 'and goes nowhere');

# many at once, among them keys that are there
my @there = map { $c->client(key => "there$_", accepts => [1000]) } 1 .. 10;
my $zone = $node->status->{zone_id};
for (1 .. 3000) {
    $redis->cmd('SET', "key_stale$_", 'comet-1');
    $redis->cmd('HSET', "sess_stale$_", holder => "comet-1/$zone/1",
        mid => 0, at => 1);
}
$before = missing();
$api->keys(1000, [map { ("stale$_", $_ % 300 ? () : 'there' . $_ / 300) }
    1 .. 3000], 'bulk');
is($_->push(10)->{body}, 'bulk', "$_->{auth}{key} among 3,000 that are not")
    for @there;
eventually { missing() == $before + 3000 } 10, 'all of them are counted';
eventually { $redis->cmd('EXISTS', map { "key_stale$_" } 1 .. 3000) == 2000 }
    10, 'and reported, a thousand at a time';

done_testing;
