# What the registry costs with many nodes: neither a renewal nor a push makes
# anybody read the nodes anew while none came or went.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $nodes = 1000;
my $redis = Goim::Redis->new(conf => { appendfsync => 'no' });
my %registry = (registry => { ttl => '1h', renew => '30m' });
my $logic = Goim::Logic->new(redis => $redis->addr, conf => { %registry,
    logic => { threads => 1 } });
my $job = Goim::Job->new(redis => $redis->addr, conf => { %registry });
my $api = Goim::RPC::ready($logic)->api;
my $rpc = Goim::RPC->new($logic->{rpc_port});

sub register {
    my ($n) = @_;
    my $r = $rpc->register(server => "comet-$n", zone => "z$n",
        instance => "test/$n", addrs => ['192.0.2.1']);
    return $r->{code};
}

is scalar(grep { register($_) } 1 .. $nodes), 0, "$nodes nodes";
eventually { @{ $api->nodes_instances->{data} } == $nodes } 30, 'logic has them';
is $api->room(1000, 'live', '1', 'first')->{code}, 0, 'a message makes job read';
eventually { $job->metrics->{goim_job_nodes} == $nodes } 30, 'job has them, too';

# bytes that Redis has sent
sub sent {
    return $redis->cmd('INFO', 'stats') =~ /^total_net_output_bytes:(\d+)/m
        ? $1 : die;
}

# the whole registry, as one reading takes it
my $before = sent();
$redis->cmd('HGETALL', 'goim:nodes');
my $whole = sent() - $before;
cmp_ok $whole, '>', 50 * $nodes, "the registry: $whole bytes";

# What one of so many steps costs; polls and a reading at its time are in it.
sub cost {
    my ($name, $n, $step) = @_;
    my $sent = sent();
    is scalar(grep { $step->($_) } 1 .. $n), 0, "$n times: $name";
    my $cost = int((sent() - $sent) / $n);
    cmp_ok $cost, '<', $whole / 20, "the nodes are not read each time: $cost";
}

cost('a renewal', 300, sub { register($_[0]) });

$redis->cmd('SET', 'key_k', 'comet-1');
my $pushed = 0;
cost('a push', 300, sub {
    my $code = $api->keys(1000, ['k'], ++$pushed)->{code};
    wait_for { $redis->cmd('XLEN', 'goim:node:comet-1') > $pushed } 10,
        'it is in the node\'s stream';
    return $code;
});

done_testing;
