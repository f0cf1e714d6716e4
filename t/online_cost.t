# What counts of rooms cost Redis: a renewal that changes nothing asks once for
# a call's rooms, however many nodes there are, and the largest rooms are read
# without all the others.

use strict;
use warnings;

use lib 't/lib';
use Goim::Logic;
use Goim::Redis;
use Goim::RPC;
use Goim::Test;

my $redis = Goim::Redis->new(conf => { appendfsync => 'no' });
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    registry => { ttl => '1h', renew => '60s' }, online => { cache => 0 },
    logic => { threads => 1 } });
Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});

# commands that Redis has carried out, those of scripts too, but for the polls
sub commands {
    my $n = 0;
    for (split /\r\n/, $redis->cmd('INFO', 'commandstats')) {
        my ($name, $calls) = /^cmdstat_([^:]+):calls=(\d+)/ or next;
        $n += $calls if $name =~ /^(zmscore|hmget|hget|hset|zincrby|zadd|hscan|
            zrangebyscore|zrange)$/x;
    }
    return $n;
}

my @rooms = map { { room => "live://$_", count => 1 } } 1 .. 500;
my %zone = (server => 'comet-1', zone => 'z1');

sub renew {
    my (%m) = @_;
    my $before = commands();
    my $r = $rpc->call(online => { %zone, %m });
    is $r->{code}, 0, 'told';
    is scalar @{ $r->{onlined}{rooms} }, 500, 'and answered';
    return commands() - $before;
}

my @cost;
for my $nodes (1, 500) {
    $rpc->call(register => { server => "comet-$_", zone => 'z1',
        instance => "i/$_", started => 1 }) for 1 .. $nodes;
    renew(rooms => \@rooms);
    push @cost, renew(asked => [map { $_->{room} } @rooms]);
}
cmp_ok $cost[0], '<', 20, "nothing changed: $cost[0] commands for 500 rooms";
cmp_ok $cost[1], '<', 20, "the same with 500 nodes: $cost[1]";

my $changed = renew(rooms => [map { { %$_, count => 2 } } @rooms[0 .. 9]],
    asked => [map { $_->{room} } @rooms[10 .. 499]]);
cmp_ok $changed, '<', 60, "10 changed: $changed";

my $fill = 'for i = 1, 20000 do redis.call("ZADD", KEYS[1], '
    . '-(i % 97) - 2, "many://" .. ARGV[1] .. "-" .. i) end';
$redis->cmd('EVAL', $fill, 1, 'goim:online', $_) for 1 .. 50;
cmp_ok $redis->cmd('ZCARD', 'goim:online'), '>', 1_000_000,
    'a million rooms';

# bytes that Redis has sent, but for its answers to this test
sub sent {
    return $redis->cmd('INFO', 'stats') =~ /^total_net_output_bytes:(\d+)/m
        ? $1 : die;
}

my ($before, $bytes) = (commands(), sent());
my $top = $logic->api->online_top('many', 3);
is_deeply [map { $_->{count} } @{ $top->{data} }], [98, 98, 98],
    'the largest of them';
cmp_ok sent() - $bytes, '<', 500_000, 'are read without the others';
cmp_ok commands() - $before, '<', 10, 'at once';

done_testing;
