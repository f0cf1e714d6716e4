# Canaries that are none, from the bus, in a node's stream and from nodes: left
# out, counted, and of no effect on others. And those that others sent.

use strict;
use warnings;

use lib 't/lib';
use Goim::Bus;
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::RPC;
use Goim::Test;

allow_log(qr/goim: record 0 of entry \S+ is out of range and left out/);

my $c = Goim::Cluster->new;
my ($redis, $node, $job, $logic) = ($c->redis, $c->node, $c->job, $c->logic);
my $bus = Goim::Bus->new(redis => $redis);
my $client = $c->client(key => 'k', room => 'a://1', accepts => [1000]);
my $all = 'goim_logic_canary_seconds_count{hop="all"}';

sub counter { return $node->status->{counters}{ $_[0] } }

# ---- the bus -----------------------------------------------------------------

my $skipped = 'goim_job_skipped_total{reason="type"}';
my %good = (logic => 'a stranger', sent => 1, clock => 2);
my $n = counter('records');

$bus->write(0, { type => 'CANARY' });
$bus->write(0, { type => 'CANARY', canary => { sent => 1 } });
$bus->write(0, { type => 'CANARY', canary => { logic => 'x' x 33 } });
$bus->write(0, { type => 'CANARY', canary => \%good });
eventually { $job->metrics->{goim_job_canaries_total} == 1 } 20,
    'job takes one';
is $job->metrics->{$skipped}, 3, 'and leaves out three';
eventually { counter('records') == $n + 1 } 10, 'the node has the one';
is counter('broken'), 0, 'which is not broken';

# ---- a node's stream ---------------------------------------------------------

sub entry {
    my ($record) = @_;
    my $life = $redis->cmd('HGET', 'goim:life', 'n');
    $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd',
        proto_encode('Delivery', { records => [$record] }));
}

entry({ kind => 'KEYS', canary => { logic => 'x' x 33 } });
entry({ kind => 'KEYS', canary => { sent => 1 } });
entry({ kind => 'KEYS', keys => ['k'], canary => \%good });
entry({ kind => 'ALL', canary => \%good });
eventually { counter('broken') == 4 } 10, 'broken ones are left out';

entry({ kind => 'KEYS', canary => { %good, map { $_ => ~0 >> 1 }
    qw(sent clock taken appended read came) } }) for 1 .. 1000;
$c->api->keys(1000, ['k'], 'after them');
is $client->push(10)->{body}, 'after them', 'messages come behind many';
is counter('broken'), 4, 'none of which is broken';
is counter('pushed'), 1, 'and none pushed';
eventually { $node->status->{ready} } 10, 'the node is ready';

# ---- logic -------------------------------------------------------------------

my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'comet-2', zone => 'z');
my $r = $rpc->call(canaries => { canaries => [\%good] });
is $r->{code}, 0, 'a stranger is no error';
my $id = $r->{canaried}{logic};
like $id, qr/^[0-9a-f]{32}$/, 'who answers says who it is';
is $logic->metrics->{$all}, 0, 'it is not counted';

my @mine = map { { logic => $id, clock => $_ } } 0, 1, ~0, 1 << 63;
is $rpc->call(canaries => { canaries => \@mine })->{code}, 0,
    'own ones with any numbers';
is $logic->metrics->{$all}, 4, 'are counted';
is $rpc->call(canaries => { canaries => [] })->{code}, 0, 'none';
is $rpc->call(canaries => { canaries => [(\%good) x 512] })->{code}, 0,
    'as many as may be';
is $rpc->call(canaries => { canaries => [(\%good) x 513] })->{code}, 4,
    'one more is too many';
is $rpc->call(canaries => { zone => 'a b', canaries => [\%good] })->{code}, 4,
    'a zone that is none';

# one that sends none is as ready as it is healthy
is $logic->get('/ready')->{status}, 200, '/ready without canaries';
is $job->get('/ready')->{status}, 503, 'a job that has none is not';

done_testing;
