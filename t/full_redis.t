# Redis is full of what waits in the bus: job empties it, pushes are taken
# again, and nothing is lost. Above maxmemory and 10 % job holds back.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Proto qw(proto_decode);
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $max = 24 * 1024 * 1024;
my $redis = Goim::Redis->new(conf => { maxmemory => $max,
    'maxmemory-policy' => 'noeviction', appendonly => 'no' });
my $logic = Goim::Logic->new(redis => $redis->addr);
my $job = Goim::Job->new(redis => $redis->addr);
my $api = Goim::RPC::ready($logic)->api;
my $node = Goim::RPC->new($logic->{rpc_port});

sub memory {
    my ($bytes) = $redis->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
    return $bytes;
}

sub waiting {
    my $n = 0;
    $n += $redis->cmd('XLEN', "goim:bus:$_") for 0 .. 7;
    return $n;
}

# What a node reads of its stream behind what it has: counts each push in
# %$seen by its number; the id of the last entry.
my %has;

sub read_stream {
    my ($server, $seen) = @_;
    for my $entry ($redis->xrange("goim:node:$server",
        $has{$server} ? "($has{$server}" : '-'))
    {
        $has{$server} = $entry->[0];
        for (@{ proto_decode('Delivery', $entry->[1]{d})->{records} }) {
            $seen->{$1}++ if $_->{body} =~ /(\d+) x/;
        }
    }
    return $has{$server};
}

# pushes until one is refused; how many were accepted
sub fill {
    for my $n (1 .. 2000) {
        my $code = $api->room(1000, 'live', $n, "$n " . 'x' x 50_000)->{code};
        return $n - 1 if $code;
    }
    die "Redis is not full\n";
}

$node->register;
eventually { $node->register; $job->metrics->{goim_job_nodes} } 10,
    'the node is in the fan-out';

# ---- full --------------------------------------------------------------------

$job->stop;

my $sent = fill();
cmp_ok $sent, '>', 100, 'some hundred pushes fill it';
is waiting(), $sent, 'all of them wait in the bus';

$job->start;
eventually { $node->register; waiting() == 0 } 20, 'job empties the bus';

my $seen = {};
read_stream('comet-1', $seen);
is scalar(keys %$seen), $sent, 'each push is in the node\'s stream';
is scalar(grep { $_ > 1 } values %$seen), 0, 'once';
cmp_ok memory(), '<', $max * 1.12, 'memory stays within 10 % more';

sub length_of { return $redis->cmd('XLEN', "goim:node:$_[0]") }

my $length = length_of('comet-1');
$node->register(read => '1-1');
is length_of('comet-1'), $length, 'what the node has not read stays';
$node->register(read => read_stream('comet-1', {}));
eventually { length_of('comet-1') == 1 } 10, 'what it has read does not';
is $api->room(1000, 'live', 'more', 'x')->{code}, 0,
    'pushes are taken again';
eventually { waiting() == 0 } 10, 'and arrive';
$has{'comet-1'} = undef;

# ---- two nodes need twice as much: job holds back ----------------------------

my $other = Goim::RPC->new($logic->{rpc_port}, server => 'comet-2',
    zone => 'b1');
sub register { $_->register for $node, $other }

$redis->cmd('DEL', 'goim:node:comet-1');
register();
eventually { register(); $job->metrics->{goim_job_nodes} == 2 } 10,
    'two nodes are in the fan-out';
$job->stop;
$sent = fill();
$job->start;

eventually { register(); $job->metrics->{goim_job_full} } 20,
    'above 10 % more, appends are refused';
is $job->metrics->{goim_job_paused}, 1, 'and nothing is taken';
cmp_ok memory(), '<', $max * 1.12, 'memory stays within 10 % more';
cmp_ok waiting(), '>', 0, 'the rest waits in the bus';

my %all;
eventually {
    $node->register(read => read_stream('comet-1', $all{'comet-1'} ||= {}));
    $other->register(read => read_stream('comet-2', $all{'comet-2'} ||= {}));
    waiting() == 0 && !grep { scalar(keys %{ $all{$_} || {} }) != $sent }
        'comet-1', 'comet-2';
} 40, 'as the nodes read, all of it arrives';
is scalar(grep { $_ > 1 } map { values %$_ } values %all), 0, 'once';

is $api->room(1000, 'live', 'end', 'small')->{code}, 0,
    'pushes are taken again';
eventually {
    my $m = $job->metrics;
    !$m->{goim_job_full} && !$m->{goim_job_paused};
} 10, 'and so are records';

done_testing;
