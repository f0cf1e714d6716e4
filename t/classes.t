# Devices by class: so many of a user's in the whole cluster, whoever logs in at
# once; the oldest are closed and do not come back with the token that they had, or
# one more is refused.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my %session = (mobile => 1, desktop => 1, web => 3);
my $c = Goim::Cluster->new(nodes => 2, logics => 2, workers => 2,
    logic => { Goim::Sender::logic(session => \%session) });
my $now = time;

sub packet {
    my ($mid, $key, $platform, %more) = @_;
    return $json->encode({ token => token(mid => $mid, key => $key,
        platform => $platform, room => 'live://1', accepts => [1000], %more) });
}

sub client {
    my ($node, @packet) = @_;
    return $c->client(node => $node, auth => 0, token => packet(@packet));
}

# whether it is let in, by code 0
sub comes {
    my ($client) = @_;
    my $sent = $client->{asked}++;
    $client->send(7, $client->{auth}{token}) if !$sent;
    wait_for {
        $client->pump;
        @{ $client->{replies} } || defined $client->transport->{code};
    } 15, 'an answer';
    return @{ $client->{replies} } ? shift @{ $client->{replies} } : undef;
}

sub crowded {
    my $sum = 0;
    $sum += $_->metrics->{goim_logic_crowded_total} for @{ $c->{logics} };
    return $sum;
}

sub in { my $client = client(@_); ok(comes($client), "$_[2] is in"); $client }

# ---- the oldest is closed ----------------------------------------------------

my $old = in(0, 7, 'phone', 'android', exp => $now + 3600);
my $desk = in(0, 7, 'desk', 'windows');
my $web = in(1, 7, 'web', 'web');
my $new = in(1, 7, 'phone2', 'ios', exp => $now + 3600);
is($old->closed, 4500, 'the older phone is closed, on the other node');
ok(!$_->closed(0.2), 'others are not') for $desk, $web;

ok(!comes(client(1, 7, 'phone', 'android', exp => $now + 3600)),
    'it does not come back with its token');
ok(!$new->closed(0.2), 'nor closes the newer one');
my $again = in(0, 7, 'phone', 'android', exp => $now + 3700);
is($new->closed, 4500, 'with another token it does');
in(0, 7, 'phone', 'android', exp => $now + 3700);
is($again->closed, 1008, 'its own key replaces itself');

is_deeply([map { $_->closed(0.2) // 0 } map { in(0, 9, "w$_", 'web') } 1 .. 3],
    [0, 0, 0], 'three pages');
in($_ % 2, 7, "t$_", $_ ? 'tv' : undef) for 0 .. 4;
pass('what is of no class is not counted');

# ---- many at once ------------------------------------------------------------

my @many = map { client($_ % 2, 8, "m$_", 'ios') } 1 .. 16;
$_->send(7, $_->{auth}{token}) for @many;
$_->{asked} = 1 for @many;
comes($_) for @many;        # one may be closed before it is told that it is in
my @left;
eventually {
    @left = grep { !defined $_->closed(0.05) } @many;
    @left <= 1;
} 20, 'all but one of them end';
is(scalar @left, 1, 'which one stays');

# ---- one more is refused -----------------------------------------------------

$_->configure({ session => { %session, one_more => 'refuse' } }), $_->kill9,
    $_->start for @{ $c->{logics} };
for my $node (0, 1) {
    eventually { comes(client($node, 11, "warm$node", 'web')) } 20,
        'a node has logic again';
}
my $before = crowded();
my $first = in(0, 10, 'first', 'ios');
my $second = client(1, 10, 'second', 'ios');
ok(!comes($second), 'a second phone is not let in');
is($second->closed, 1013, 'it may try later');
is(crowded(), $before + 1, 'and is counted');
ok(!$first->closed(0.2), 'the first stays');
$first->close;
eventually { comes(client(1, 10, 'second', 'ios')) } 20, 'until it is gone';

done_testing;
