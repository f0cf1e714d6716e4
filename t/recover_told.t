# What ends a room's history is told to those who are in it at once, not when
# heads are asked for anyway, 30 s later at the earliest: an item that can have no
# number, as it came elsewhere than its room's items do, or its number has gone;
# and another [history].

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Bus;
use Goim::Cluster;
use Goim::Job;
use Goim::Test;

my %registry = (registry => { ttl => '10s', renew => '1s' });
my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 },
    logic => { conf => { %registry } },
    job => { conf => { %registry, history => { live => '300 10m' } } });
my $redis = $c->redis;
my $bus = Goim::Bus->new(redis => $redis);

wait_for {
    $c->api->get('/goim/room/position', type => 'live', room => 0)->{data}
} 20, 'logic knows which rooms have a history';

my $n = 0;

sub enters {
    my ($room) = @_;
    my $client = $c->client(key => 'k' . ++$n, room => $room, recover => {},
        transport => $n % 2 ? 'ws' : 'tcp');
    $client->{is} = $client->position(20)->{$room};
    return $client;
}

# what it is told within 10 s: 'false', 'null', 'place'
sub told {
    my ($client, $room) = @_;
    my $map = $client->position(10) or return 'nothing';
    my $p = $map->{$room} or return 'null';
    my $another = !$client->{is} || $p->{epoch} ne $client->{is}{epoch};
    $client->{is} = $p;
    return ($another ? 'another ' : '')
        . (!defined $p->{recovered} ? 'place' : $p->{recovered} ? 'true' : 'false');
}

sub say_one {
    my ($room, $body) = @_;
    my ($type, $id) = split m{://}, $room;
    is $c->api->room(1000, $type, $id, $body)->{code}, 0, "$body is taken";
}

sub seqs {
    return map { "$_->{seq}=$_->{body}" } $_[0]->pushes($_[1]);
}

# ---- in another partition ----------------------------------------------------

my @f = map { enters('live://1') } 1 .. 4;
my $other = enters('live://2');
my $plain = $c->client(key => 'plain', room => 'live://1');
say_one('live://1', 'a');
is "@{[seqs($_, 1)]}", '1=a', 'an item' for @f;
say_one('live://2', 'o');
is "@{[seqs($other, 1)]}", '1=o', 'and one of another room';

my $home = Goim::Bus::partition('live://1', 8);
$bus->write(($home + 1) % 8, { type => 'ROOM', room => 'live://1',
    operation => 1000, msg => 'stray' });
is "@{[seqs($_, 1)]}", '0=stray', 'one that came elsewhere has no number'
    for @f;
is told($_, 'live://1'), 'another false', 'who recovers there is told' for @f;
say_one('live://1', 'b');
is "@{[seqs($_, 1)]}", '1=b', 'it goes on' for @f;
is join(' ', seqs($plain, 3)), '0=a 0=stray 0=b', 'others see what they saw';

# ---- a number that nobody knows any more -------------------------------------

# at or under the newest position that was numbered, and not found
my $meta = "goim:{$home}:meta:live://1";
my ($high, $low) = split /-/, $redis->cmd('HGET', $meta, 'last');
$redis->cmd('HSET', $meta, 'last', $high . '-' . ($low + 1000));
say_one('live://1', 'c');
is "@{[seqs($_, 1)]}", '0=c', 'one whose number is not known any more' for @f;
is told($_, 'live://1'), 'another false', 'who recovers there is told' for @f;
is_deeply [map { $c->job->metrics->{"goim_job_unnumbered_total{reason=\"$_\"}"} }
    qw(partition lost)], [1, 1], 'both are counted';

is scalar @{ $other->{positions} }, 0, 'nobody is told elsewhere';

# ---- another [history] -------------------------------------------------------

my $chat = enters('chat://1');
is $chat->{is}, undef, 'a room without history';
$c->job->stop;
my $job = Goim::Job->new(redis => $redis->addr, conf => { %registry,
    history => { chat => '300 10m' } });
is told($chat, 'chat://1'), 'another place', 'it has one now: it is told';
is told($_, 'live://1'), 'null', 'these have none any more' for @f;
say_one('chat://1', 'd');
is "@{[seqs($chat, 1)]}", '1=d', 'with items';

done_testing;
