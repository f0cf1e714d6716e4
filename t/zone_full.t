# A zone that is full: counts are too low, and it says so; messages to rooms,
# keys and all arrive as before. What leaves makes room again.

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Clocks;
use Goim::Cluster;
use Goim::Test;

my $clocks = asan() ? undef : Goim::Clocks->new('nginx');
$clocks->load if $clocks;
my $c = Goim::Cluster->new(workers => 2, nginx => { goim => { zone =>
    'goim 3m' } }, logic => { conf => { http => { max_body => '64k' } } });
$clocks->unload if $clocks;
my ($node, $api) = ($c->node, $c->api);
my $n = 2400;

sub room { return sprintf '%s%04d', 'r' x 240, $_[0] }
sub counters { return $node->status->{counters} }

sub join_all {
    my ($from) = @_;
    return map { Goim::Client->new(port => $node->{port}, key => "key$_",
        room => 'live://' . room($_), accepts => [1000],
        local => sprintf('127.0.%d.%d', 1 + $_ / 200, 1 + $_ % 200)) }
        $from .. $from + $n - 1;
}

sub all_get {
    my ($name, $body, @clients) = @_;
    my @got = grep { my $p = $_->push(20); $p && $p->{body} eq $body }
        @clients;
    is(scalar @got, scalar @clients, $name);
}

my $free = $node->status->{zone_free};
note "$free bytes are free";
my @clients = join_all(1);

cmp_ok(counters()->{zone_full}, '>', 0, 'the zone is full');
eventually { $node->error_log =~ /the zone is full, \d+ rooms/ } 5, 'and said';
is($node->status->{authorized}, $n, 'and all are let in');
cmp_ok($node->status->{rooms}, '<', $n, 'with rooms counted too low');

# a line a minute from each worker, whatever happens in it
sub full_again {
    my ($from) = @_;
    my $before = counters()->{zone_full};
    my @more = map { Goim::Client->new(port => $node->{port},
        room => 'live://' . room($from + $_)) } 1 .. 40;
    cmp_ok(counters()->{zone_full}, '>', $before, 'it is full again');
    return @more;
}

sub said { return scalar(() = $node->error_log =~ /the zone is full, /g) }

my @more = full_again(5000);
Time::HiRes::sleep(0.5);
cmp_ok(my $said = said(), '<=', 2, 'it is said once a minute by each worker');

if ($clocks) {
    $clocks->ahead(nginx => 61);
    push @more, full_again(5040);
    eventually { said() > $said } 5, 'and again after a minute';
}
$_->close for @more;

for my $i (1, $n / 2, $n) {
    $api->room(1000, 'live', room($i), "room $i");
    is($clients[$i - 1]->push(20)->{body}, "room $i", "room $i gets its own");
}
$api->keys(1000, [map { "key$_" } 1 .. $n], 'keys');
all_get('every key gets its message', 'keys', @clients);
$api->all(1000, 'all');
all_get('and what is for all', 'all', @clients);
is(counters()->{key_missing}, 0, 'no key is taken for missing');
is($clients[-1]->heartbeat, 1, 'the last one counts itself, at least');

$_->close for @clients;
eventually { my $st = $node->status;
    $st->{sessions} == 0 && $st->{rooms} == 0 && $st->{addrs} == 0 } 30,
    'when they are gone nothing is left';
is($node->status->{zone_free}, $free, 'of the zone, either');

my $full = counters()->{zone_full};
my $client = $c->client(key => 'new', room => 'live://new',
    accepts => [1000]);
is($client->heartbeat, 1, 'a new one is counted');
is(counters()->{zone_full}, $full, 'in the zone');
is($api->keys(1000, ['key1'], 'x')->{code}, 0, 'a push to who has left');
is(counters()->{key_missing}, 0, 'goes nowhere');

done_testing;
