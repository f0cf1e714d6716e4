# Lists of rooms that are lost or can't be made: Redis flushed, or back with an
# older state, a node killed, reloaded, cut off from logic. Who is in a room gets
# its messages all the time, and who enters one gets what follows.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Hopper;
use Goim::Nginx;
use Goim::Test;

allow_log(qr/exited on signal 9/);

# without an append-only file it comes back as it was at its last SAVE
my %registry = (registry => { ttl => '5s', renew => '300ms' });
my %nginx = (workers => 2, goim => { logic_timeout => '2s' });
my $c = Goim::Cluster->new(nodes => 4, logics => 2, nginx => \%nginx,
    redis => { conf => { appendonly => 'no', appendfsync => 'no' } },
    logic => { conf => { %registry, logic => { threads => 1 } } },
    job => { conf => \%registry });

# this one has the first logic alone
push @{ $c->{nodes} }, Goim::Nginx->new(server_id => 'comet-5', %nginx,
    redis => $c->redis->addr, logic => $c->logic(0)->rpc_addr);
$c->node(4)->wait_registered;

my ($redis, $api, $job) = ($c->redis, $c->api(1), $c->job);
my $hopper = Goim::Hopper->new(apis => [$api]);
my $n = 0;

sub client {
    my ($node) = @_;
    return $c->client(node => $node, mid => ++$n, key => "k$n",
        accepts => [], errors => 1, auth => 0);
}

sub all_listed {
    my ($name) = @_;
    eventually {
        5 == grep { eval { $_->status->{listed} } } @{ $c->{nodes} };
    } 30, "$name: all rooms are listed";
}

# a push to a room, tried until it is accepted
sub push_until {
    my ($room, $body) = @_;
    wait_for { ($api->room(1000, 'live', $room, $body)->{code} // 1) == 0 }
        20, "$body is accepted";
}

all_listed('at first');

my @members = map { client($_ % 5) } 0 .. 9;
my @hoppers = map { client($_ % 5) } 0 .. 19;
is $hopper->hop(map { [$members[$_], "live://m$_"] } 0 .. 9), '', 'members';
is $hopper->hop(map { [$_, $hopper->fresh] } @hoppers), '', 'and others';

# each member in a room of his own gets what is pushed there; fresh rooms work
sub all_is_well {
    my ($name) = @_;
    push_until($_, "$name $_") for map { "m$_" } 0 .. 9;
    ok $hopper->get("$name m$_", $members[$_]), "$name: m$_" for 0 .. 9;
    is $hopper->hop(map { [$_, $hopper->fresh] } @hoppers), '',
        "$name: fresh rooms";
}

subtest 'flushed' => sub {
    $redis->cmd('FLUSHALL');
    all_is_well('flushed');
    all_listed('flushed');
    all_is_well('flushed and listed');
};

subtest 'an older state' => sub {
    $redis->cmd('SAVE');
    is $hopper->hop(map { [$members[$_], "live://n$_"] } 0 .. 9), '',
        'rooms that the older state does not know';
    is $hopper->hop(map { [$members[$_], "live://m$_"] } 0 .. 9), '',
        'and back';
    is $hopper->hop(map { [$_, $hopper->fresh] } @hoppers), '',
        'others in others';
    $redis->restart(kill => 1);
    all_is_well('older');
    all_listed('older');
    all_is_well('older and listed');
};

subtest 'a reload' => sub {
    $_->reload for $c->node(0), $c->node(1);
    my @new = map { client($_) } 0, 0, 1, 1;
    is $hopper->hop(map { [$_, $hopper->fresh] } @new), '', 'new workers';
    all_is_well('reloaded');
    is $hopper->hop(map { [$_, 'live://m1'] } @new), '', 'in both';
    all_is_well('in both');
    $_->close for @new;
};

subtest 'a node that dies' => sub {
    my $node = $c->node(2);
    my @workers = $node->workers;
    $node->kill9;
    hit 'KILL', @workers;
    $node->start;
    $node->wait_registered;

    for my $list (\@members, \@hoppers) {
        for (grep { $list->[$_] && $_ % 5 == 2 } 0 .. $#$list) {
            $list->[$_] = client(2);
            is $hopper->hop([$list->[$_], $list == \@members ? "live://m$_"
                : $hopper->fresh]), '', 'back at once';
        }
    }
    all_is_well('a new one');
    all_listed('a new one');
    all_is_well('a new one, listed');
};

subtest 'cut off from logic' => sub {
    my ($one, $two) = @hoppers[4, 9];
    is $hopper->hop([$one, 'live://one'], [$two, 'live://two']), '',
        'two on that node';
    $c->logic(0)->pause;

    my $began = time;
    is $one->change_room('live://three')->{body}, 'live://one',
        'it stays where it is, and is told so';
    cmp_ok time - $began, '<', 15, 'in some time';
    is_deeply $one->bye, { code => -503, operation => 12, seq => $one->{seq},
        reason => 'that room could not be listed' }, 'with the reason';
    is $c->node(4)->status->{counters}{room_failed}, 1, 'which is counted';
    is $hopper->hop([$one, 'live://two']), '',
        'a room that somebody is in can be entered';
    for my $room (qw(two m4 m9)) {
        push_until($room, "cut off $room");
    }
    ok $hopper->get('cut off two', $one, $two), 'its rooms are served';
    ok $hopper->get("cut off m$_", $members[$_]), "m$_ too" for 4, 9;

    $c->logic(0)->resume;
    my $rooms = 0;
    eventually {
        $one->change_room('live://three' . ++$rooms)->{body}
            eq "live://three$rooms";
    } 20, 'then it goes on';
    all_is_well('logic is back');
    all_listed('logic is back');
};

$_->close for @members, @hoppers;
$_->stop for @{ $c->{nodes} };
done_testing;
