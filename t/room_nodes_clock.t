# ASAN: no (Redis is preloaded with another clock)
#
# Redis's clock jumps, by more than an hour: rooms are listed in Redis by its
# clock, so nobody relies on those lists until all rooms stand there by the new
# time; also when the jump took the lists away.

use strict;
use warnings;

use lib 't/lib';
use Goim::Clocks;
use Goim::Cluster;
use Goim::Test;

my $clocks = Goim::Clocks->new('redis-server');
my %registry = (registry => { ttl => '5s', renew => '500ms' });

$clocks->load;
my $redis = Goim::Redis->new;
$clocks->unload;

my $c = Goim::Cluster->new(redis => $redis, nodes => 4,
    logic => { conf => \%registry }, job => { conf => \%registry });
my ($api, $job) = ($c->api, $c->job);

sub listed { return 4 == grep { $_->status->{listed} } @{ $c->{nodes} } }

# Redis's clock when each zone that has the room was listed for it
sub at {
    my %zone = @{ $redis->cmd('HGETALL', 'goim:rooms:live://1') };
    return map { / (\d+)$/ ? $1 : $_ } values %zone;
}

# A jump may take a node's stream along, and its registration: then the clients
# of before are told to come back.
my $client;

sub there {
    $client = $c->client(mid => 1, key => 'k1', accepts => [1000],
        room => 'live://1') if !$client || defined $client->closed(0);
}

sub arrives {
    my ($body) = @_;

    for (1 .. 5) {
        there();
        $api->room(1000, 'live', '1', $body)->{code} == 0 or return 0;
        my $p = $client->push(5);
        return $p->{body} eq $body if $p;
        ($client->closed(0.1) // 0) == 1012 or return 0;
    }
    return 0;
}

eventually { listed() } 20, 'rooms are listed';
ok arrives('first'), 'a message arrives';
is scalar(() = at()), 1, 'its node stands in the room\'s list';

for ([2 => 'by two hours'], [28 => 'by more than a list lives'],
    [0 => 'back by a day'])
{
    my ($hours, $name) = @$_;

    $clocks->ahead('redis-server', 3600 * $hours);
    ok arrives("$name, at once"), "$name: who is told nothing misses nothing"
        if $hours != 28;
    eventually {
        there();
        my @at = at();
        @at == 1 && abs($at[0] - time - 3600 * $hours) < 600;
    } 20, "$name: the room is listed by the new time";
    eventually { listed() && $job->metrics->{goim_job_nodes_listed} == 4 } 20,
        "$name: nodes say again that all rooms are";

    my $spared = $job->metrics->{goim_job_spared_records_total};
    ok arrives($name), "$name: a message arrives";
    cmp_ok $job->metrics->{goim_job_spared_records_total}, '>=', $spared + 3,
        "$name: and not on each node";
}

done_testing;
