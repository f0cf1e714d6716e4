# The application is told of those who are gone without a word: with a worker, a
# node; of all again after a Redis that lost its data; and by another logic
# when one is dead. Each comes once, but for what a logic sent that died.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Events;
use Goim::Test;

my $told = Goim::Events->new;
my %registry = (registry => { ttl => '3s', renew => '500ms' });
my $c = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2,
    logic => { conf => { %registry, $told->conf } },
    job => { conf => \%registry });
my $n = 0;

sub comes {
    my ($node, $count) = @_;
    return map { $n++; $c->client(node => $node, mid => $n, key => "k$n",
        room => 'live://1') } 1 .. $count;
}

# how often each user came and went, by all that was told since the last reset
sub there {
    my (%in, %rooms);
    for my $e ($told->events) {
        %in = %rooms = () if $e->{type} eq 'reset';
        $in{ $e->{mid} }++ if $e->{type} eq 'connect';
        $in{ $e->{mid} }-- if $e->{type} eq 'disconnect';
        $rooms{ $e->{mid} }++ if $e->{type} eq 'join';
        $rooms{ $e->{mid} }-- if $e->{type} eq 'leave';
    }
    my $say = join ' ', map { "$_:$in{$_}" } sort { $a <=> $b }
        grep { $in{$_} } keys %in;
    my $rooms = join ' ', map { "$_:$rooms{$_}" } sort { $a <=> $b }
        grep { $rooms{$_} } keys %rooms;
    return $say eq $rooms ? $say : "$say, in rooms: $rooms";
}

sub are {
    my ($mids, $name) = @_;
    my $want = join ' ', map { "$_:1" } @$mids;
    my $got;
    eventually { ($got = there()) eq $want } 30, $name or diag $got;
}

# ---- a worker ---------------------------------------------------------------------

my @clients = (comes(0, 12), comes(1, 4));
are([1 .. 16], 'all are there');

allow_log(qr/\[alert\].*exited on signal 9/);
my @lost;
for my $worker ($c->node(0)->workers) {     # one may have none
    hit 'KILL', $worker;
    wait_for { !kill 0, $worker } 20, 'a worker is dead';
    @lost = grep { defined $clients[$_ - 1]->closed(0.1) } 1 .. 12;
    last if @lost;
}
ok @lost > 0, 'a worker dies with its sessions: ' . @lost;
my %lost = map { $_ => 1 } @lost;
my @left = grep { !$lost{$_} } 1 .. 16;
are(\@left, 'they are gone');
is_deeply [sort { $a <=> $b } map { $_->{mid} }
    grep { $_->{type} eq 'disconnect' } $told->events], \@lost,
    'each is told once';
is grep({ $_->{type} eq 'disconnect' && $_->{reason} ne 'died' }
    $told->events), 0, 'why';
is scalar @{ $c->api->online_mids([$lost[0]])->{data}[0]{devices} }, 0,
    'and has no device';

# ---- logic, with what is not taken --------------------------------------------------

$told->says(503);
my @more = comes(1, 3);
my $first;
eventually {
    ($first) = grep {
        $c->logic($_)->metrics->{goim_logic_events_failed_total} } 0, 1;
    defined $first;
} 20, 'one of the logics sends';
$c->logic($first)->kill9;
$told->says(204);
are([@left, 17 .. 19], 'another logic sends what the dead one did not');
eventually { $c->logic(1 - $first)->metrics->{
    'goim_logic_events_total{result="taken"}'} == 6 } 20, 'it did';
$c->logic($first)->start;

# ---- Redis --------------------------------------------------------------------------

$told->says(503);
$more[0]->close;
$c->redis->kill9;
$more[1]->close;
system('rm', '-r', $c->redis->{dir} . '/appendonlydir') == 0 or die;
$c->redis->start;
$told->says(204);
are([@left, 19], 'all are told again after a Redis without data');
my @again = grep { $_->{restored} } $told->events;
ok @again >= @left + 1, 'as such that were there before';
is grep({ $_->{type} eq 'reset' } $told->events), 2, 'after a reset';

# ---- a node -------------------------------------------------------------------------

my @workers = $c->node(1)->workers;
$c->node(1)->kill9;
hit 'KILL', @workers;
are([grep { $_ <= 12 } @left], 'a node dies');
is +(grep { $_->{type} eq 'disconnect' } $told->events)[-1]{reason}, 'died',
    'why';
is scalar @{ $c->redis->cmd('SMEMBERS', 'goim:sessions') }, 1,
    'nothing is left of it';

# ---- a node that leaves ---------------------------------------------------------------

$c->node(0)->stop;
are([], 'a node is stopped');
is_deeply $c->redis->cmd('SMEMBERS', 'goim:sessions'), [],
    'nothing is left of it, either';
is_deeply $c->redis->cmd('KEYS', 'goim:members:*'), [], 'nor of rooms';

done_testing;
