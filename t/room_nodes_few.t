# Rooms are listed where there are more than a few nodes, and only there: the
# nodes become more and fewer under traffic, and nothing is missed on the way.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Cluster;
use Goim::Hopper;
use Goim::Nginx;
use Goim::Test;
use Goim::Traffic;

my %registry = (registry => { ttl => '5s', renew => '300ms' });
my $c = Goim::Cluster->new(nodes => 2, logics => 2, workers => 2,
    nginx => { goim => { logic_timeout => '2s' } },
    logic => { conf => { %registry, logic => { threads => 1 } } },
    job => { conf => \%registry });
my @more = map { Goim::Nginx->new(server_id => "comet-$_",
    redis => $c->redis->addr, stopped => 1,
    logic => [map { $_->rpc_addr } @{ $c->{logics} }]) } 3 .. 5;
my @nodes = @{ $c->{nodes} };

my $hopper = Goim::Hopper->new(apis => [$c->api(0), $c->api(1)]);
my @clients = map { $c->client(node => $_ % 2, mid => $_, key => "k$_",
    accepts => [], auth => 0) } 1 .. 8;
my @members = map { $c->client(node => $_ % 2, mid => $_, key => "m$_",
    room => 'live://traffic', accepts => []) } 1 .. 4;
my $traffic = Goim::Traffic->new(apis => [$c->api(0), $c->api(1)],
    to => { room => ['live', 'traffic'] }, every => 0.02);

sub rooms { return scalar @{ $c->redis->cmd('KEYS', 'goim:rooms:*') } }
sub listed { return scalar grep { $_->status->{listed} } @_ }

sub waits {
    my $n = 0;
    $n += $_->status->{counters}{room_waits} for @nodes;
    return $n;
}

# Clients enter rooms of their own all the time, until it is so.
sub hop_until(&$) {
    my ($done, $name) = @_;
    my ($rounds, $wrong) = (0, '');

    wait_for {
        $rounds++;
        $wrong ||= $hopper->hop(map { [$_, $hopper->fresh] } @clients);
        $done->();
    } 30, $name;
    is $wrong, '', "$name: nothing is missed in $rounds rounds";
}

my $round = 0;
hop_until { ++$round == 5 } 'two nodes';
is waits(), 0, 'nobody waits';
is rooms(), 0, 'nothing is listed';
is $c->job->metrics->{goim_job_rooms_looked_up_total}, 0, 'nor looked up';

$_->start for @more;
hop_until { listed(@nodes, @more) == 5 } 'five nodes';
cmp_ok waits(), '>', 0, 'rooms are listed first';

my $spared = $c->job->metrics->{goim_job_spared_records_total};
$round = 0;
hop_until { ++$round == 5 } 'five nodes, listed';
cmp_ok $c->job->metrics->{goim_job_spared_records_total}, '>', $spared,
    'others are left out';

# that is a goodbye: job knows at once
$_->stop for @more;
hop_until { listed(@nodes) == 0 } 'two nodes again';

# until nobody can rely on lists any more
my $before = -1;
hop_until {
    my $same = waits() == $before;
    $before = waits();
    return $same && !grep { $_->error_log !~ /not listed any more/ } @nodes;
} 'two nodes for a while';
eventually { rooms() == 0 } 20, 'the lists are emptied';

$_->start for @more[0, 1];
hop_until { listed(@nodes, @more[0, 1]) == 4 } 'four nodes';

$traffic->finish;
is $traffic->refused, '', 'every push was accepted';
$traffic->arrives('members got all of them, once', room => \@members);
is $_->status->{counters}{room_failed}, 0, 'nobody was refused' for @nodes;

$_->close for @clients, @members;
$_->stop for @more, @nodes;
done_testing;
