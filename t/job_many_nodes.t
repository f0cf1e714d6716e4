# ASAN: no (memory is measured)
#
# A large message for 600 nodes: each gets it, and job packs and sends so much
# at a time, not all of it in one turn of its loop.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Proto qw(proto_decode);
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $nodes = 600;
my $redis = Goim::Redis->new(conf => { appendfsync => 'no' });
my $logic = Goim::Logic->new(redis => $redis->addr);
my $job = Goim::Job->new(redis => $redis->addr);
my $api = Goim::RPC::ready($logic)->api;

sub peak {
    my ($kb) = slurp('/proc/' . $job->pid . '/status') =~ /VmHWM:\s+(\d+)/;
    return $kb / 1024;
}

my $rpc = Goim::RPC->new($logic->{rpc_port});
$rpc->register(server => "comet-$_", zone => "z$_", instance => "test/$_")
    for 1 .. $nodes;
eventually { $job->metrics->{goim_job_nodes} == $nodes } 20,
    "$nodes nodes are in the fan-out";

my $before = peak();
my $body = 'x' x 128_000;
is $api->room(1000, 'live', 1, "$_ $body")->{code}, 0, 'accepted' for 1 .. 2;

sub bodies {
    my ($node) = @_;
    return map { map { $_->{body} =~ /(\d) x/ ? $1 : () }
        @{ proto_decode('Delivery', $_->[1]{d})->{records} } }
        $redis->xrange("goim:node:comet-$node");
}

eventually { $job->metrics->{goim_job_appended_records_total} == 2 * $nodes }
    20, 'all appends are acknowledged';
is scalar(grep { "@{[bodies($_)]}" ne '1 2' } 1 .. $nodes), 0,
    'each node has both, in order';
cmp_ok peak() - $before, '<', 60, 'a part of its 150 MB at a time';

done_testing;
