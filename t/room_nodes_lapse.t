# A node that was not heard of for long, where rooms are listed: what it missed
# is what would have been sent to it, and no other room's messages.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Hopper;
use Goim::Test;

my %registry = (registry => { ttl => '3s', renew => '500ms' });
my $c = Goim::Cluster->new(nodes => 4, workers => 2,
    logic => { conf => \%registry }, job => { conf => \%registry });
my ($api, $job) = ($c->api, $c->job);
my $hopper = Goim::Hopper->new(apis => [$api]);

eventually { 4 == grep { $_->status->{listed} } @{ $c->{nodes} } } 20,
    'rooms are listed';

my ($here, $there) = map { $c->client(node => $_, mid => 1 + $_,
    key => "k$_", accepts => [], auth => 0) } 0, 1;
is $hopper->hop([$here, 'live://here'], [$there, 'live://there']), '',
    'a room on each of two nodes';

my @stopped = ($c->node(0)->master, $c->node(0)->workers);
hit 'STOP', @stopped;
eventually { $job->metrics->{goim_job_nodes_lapsed} == 1 } 30,
    'job takes the first for gone';
is $api->room(1000, 'live', 'here', "missed $_")->{code}, 0, 'accepted'
    for 1 .. 3;
is $api->room(1000, 'live', 'there', "there $_")->{code}, 0, 'accepted'
    for 1 .. 4;
ok $hopper->get("there $_", $there), "there $_ arrives" for 1 .. 4;
eventually { $job->metrics->{goim_job_missed_records_total} == 3 } 10,
    'the three for its own room are counted';
hit 'CONT', @stopped;

is $here->closed, 1012, 'its client is told';
is_deeply [@{ $c->node(0)->status->{counters} }{qw(lapses lapse_records)}],
    [1, 3], 'and so is the node';

my ($back) = $c->client(node => 0, mid => 1, key => 'k0', accepts => [],
    auth => 0);
is $hopper->hop([$back, 'live://here']), '', 'who comes back is served';

$_->drop for $there, $back;
$_->stop for @{ $c->{nodes} };
done_testing;
