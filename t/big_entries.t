# Entries of the node's stream that are so large that many of them at once make
# too long an answer, or one alone does: less is asked for, and all arrive.
# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::Test;

my $c = Goim::Cluster->new(workers => 1, nginx => { goim => {
    zone => 'goim 64m', queue_size => '1000m',

    # an answer of 70 MB takes a while on a loaded machine
    redis_timeout => '20s' } });
my ($node, $redis) = ($c->node, $c->redis);
my $client = $c->client(key => 'k', room => 'live://1');
my $stream = 'goim:node:comet-1';

$c->api->room(1000, 'live', '1', 'before');
is($client->push->{body}, 'before', 'it is there');

my ($last) = ($redis->xrange($stream))[-1];
my ($life, $n) = $last->[0] =~ /(\d+)-(\d+)/;

sub append {
    my ($body) = @_;
    my $d = proto_encode('Delivery', { records => [{ kind => 'ROOM',
        operation => 1000, room => 'live://1', body => $body }] });
    $redis->cmd('XADD', $stream, "$life-" . ++$n, 'd', $d);
}

# while nobody reads, more than one answer may have
my $connects = $node->status->{counters}{redis_connects};
my @workers = $node->workers;
hit STOP => $_ for @workers;
append(sprintf('%02d', $_) . 'x' x 4_300_000) for 1 .. 20;
append('y' x 70_000_000);       # which the ring cannot hold
append("small $_") for 1 .. 100;
hit CONT => $_ for @workers;

my @large = $client->pushes(20, 60);
is_deeply([map { length $_->{body} } @large], [(4_300_002) x 20],
    'all large ones arrive');
is_deeply([map { substr $_->{body}, 0, 2 } @large],
    [map { sprintf '%02d', $_ } 1 .. 20], 'in order');
is_deeply([map { $_->{body} } $client->pushes(100, 30)],
    [map { "small $_" } 1 .. 100], 'and what came behind the largest');

my $count = $node->status->{counters};
is($count->{broken}, 1, 'which is left out, and counted');
is($count->{holes}, 0, 'nothing was jumped over');
cmp_ok($count->{redis_connects}, '>', $connects,
    'too long an answer was given up');
cmp_ok($count->{redis_connects}, '<=', $connects + 12, 'not often');
like($node->error_log, qr/reply of over \d+ bytes/, 'and it is said');

$c->api->room(1000, 'live', '1', 'after');
is($client->push->{body}, 'after', 'and all goes on');

# the first look at a stream shows entries, too
$n++;
append('z' x 4_000_000);
$client->close;
$node->stop;
$node->start;
$node->wait_registered(30);
$client = $c->client(room => 'live://1');
$c->api->room(1000, 'live', '1', 'a new life');
is($client->push->{body}, 'a new life', 'and with the next reader');

done_testing;
