# In a cluster of more than a few nodes a room's messages go only to those that
# have members, and none is missed: neither by who has just had the answer that
# he is in, nor by who comes back when the room is about to be forgotten.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Hopper;
use Goim::Logic;
use Goim::Nginx;
use Goim::Proxy;
use Goim::Test;

my %registry = (registry => { ttl => '5s', renew => '1s' });
my $c = Goim::Cluster->new(nodes => 3, logics => 2, workers => 2,
    nginx => { tcp => 1, goim => { logic_timeout => '2s' } },
    logic => { conf => { %registry, logic => { threads => 1 } } },
    job => { conf => \%registry });

# two more, whose way to logic takes its time: what is said too early shows
my @slow = map { Goim::Proxy->new(to => $_->{rpc_port}, slow => 0.05) }
    @{ $c->{logics} };
push @{ $c->{nodes} }, map { Goim::Nginx->new(server_id => "comet-$_",
    redis => $c->redis->addr, workers => 2, tcp => 1,
    goim => { logic_timeout => '2s' }, logic => [map { $_->addr } @slow]) }
    4, 5;
$_->wait_registered for @{ $c->{nodes} };

my $hopper = Goim::Hopper->new(apis => [$c->api(0), $c->api(1)]);
my $n = 0;

sub client {
    my ($node, %arg) = @_;
    return $c->client(node => $node, mid => ++$n, key => "k$n",
        accepts => [1000], transport => $n % 3 ? 'ws' : 'tcp', auth => 0,
        %arg);
}

sub entries {
    return map { $c->redis->cmd('XLEN', "goim:node:comet-$_") } 1 .. 5;
}

eventually { 5 == grep { $_->status->{listed} } @{ $c->{nodes} } } 20,
    'all nodes have their rooms listed';

subtest 'only where members are' => sub {
    my $one = client(2);
    is $hopper->hop([$one, 'live://1']), '', 'somebody is there';

    my @before = entries();
    is $c->api->room(1000, 'live', '1', "m $_")->{code}, 0, 'accepted'
        for 1 .. 10;
    ok $hopper->get("m $_", $one), "$_ arrives" for 1 .. 10;
    my @after = entries();
    is_deeply [map { $after[$_] - $before[$_] } 0, 1, 3, 4], [0, 0, 0, 0],
        'the other nodes hear nothing of it';
    cmp_ok $after[2] - $before[2], '>', 0, 'but this one';

    my $two = client(0);
    is $hopper->hop([$two, 'live://2']), '', 'another room';
    is $hopper->hop([$two, 'live://1']), '', 'and from there to the first';
    is $c->api->room(1000, 'live', '1', 'both')->{code}, 0, 'accepted';
    ok $hopper->get('both', $one, $two), 'for both';

    is $c->api->all(1000, 'all')->{code}, 0, 'accepted';
    ok $hopper->get('all', $one, $two), 'to all, as ever';

    my $m = $c->job->metrics;
    is $m->{goim_job_nodes_listed}, 5, 'job knows';
    cmp_ok $m->{goim_job_spared_records_total}, '>=', 10 * 4, 'and counts';
    $_->close for $one, $two;
};

my @clients = map { client($_ % 5) } 1 .. 40;

subtest 'at the moment of the answer' => sub {
    is $hopper->hop(map { [$_, $hopper->fresh] } @clients), '',
        'of logins to rooms of their own';
    for my $round (1 .. 6) {
        is $hopper->hop(map { [$_, $hopper->fresh] } @clients), '',
            "of changes to rooms of their own, round $round";
        is $hopper->hop(map { [$_, 'live://s' . int rand 8] } @clients), '',
            "of changes to rooms of several, round $round";
    }
    my @more = map { client($_ % 5) } 1 .. 40;
    is $hopper->hop(map { [$_, 'live://s' . int rand 16] } @more), '',
        'of logins to rooms of several';
    $_->close for @more;
};

# who leaves comes back after about the time in which a room is forgotten
subtest 'away and back' => sub {
    my $at = time;
    my %back = map { $_ => 0 } 0 .. $#clients;
    my $n = 0;

    is $hopper->hop(map { [$clients[$_], "live://b$_"] } keys %back), '',
        'rooms of their own';
    is scalar(grep { $_->change_room('')->{body} ne '' } @clients), 0,
        'out of them';
    $back{$_} = $at + 7 + $_ / 10 for keys %back;

    while (%back) {
        my @due = grep { $back{$_} <= time } keys %back;
        sleep 0.02;
        next if !@due;
        is $hopper->hop(map { [$clients[$_], "live://b$_"] } @due), '',
            'back: ' . join ' ', @due;
        delete @back{@due};
    }
    my $off = 0;
    $off += $_->metrics->{goim_logic_rooms_off_total} for @{ $c->{logics} };
    cmp_ok $off, '>', 40, 'rooms were forgotten meanwhile';
};

subtest 'a key of another type' => sub {
    my $at = $clients[0];
    is $hopper->hop([$at, 'live://odd']), '', 'in a room';
    $c->redis->cmd('SET', 'goim:rooms:live://odd', 'broken');
    is $c->api->room(1000, 'live', 'odd', 'broken')->{code}, 0, 'accepted';
    ok $hopper->get('broken', $at), 'arrives';
    is $hopper->hop([$clients[1], 'live://odd']), '', 'another one enters';
    is $c->api->room(1000, 'live', 'odd', 'mended')->{code}, 0, 'accepted';
    ok $hopper->get('mended', @clients[0, 1]), 'both get it';
};

is_deeply [map { $_->status->{counters}{room_failed} } @{ $c->{nodes} }],
    [0, 0, 0, 0, 0], 'nobody was refused';

$_->close for @clients;
$_->stop for @{ $c->{nodes} };
done_testing;
