# The ring between the node's stream and the workers: what can wait in Redis is
# not drained into it faster than those who live take it out, and nobody waits
# for one that is stopped or gets no further.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $size = 400_000;
my $c = Goim::Cluster->new(workers => 2, nginx => { goim => {
    zone => 'goim 16m', queue_size => '500m' } });
my ($node, $api) = ($c->node, $c->api);

sub count { return $node->status->{counters}{ $_[0] } }

# how many descriptors each worker has
sub descriptors {
    return map { my $pid = $_; $pid => scalar(() = glob "/proc/$pid/fd/*") }
        $node->workers;
}

# clients in the room until each worker has one: pid => [clients]
sub join_all {
    my %of;
    my $n = grep { title($_) !~ /shutting/ } $node->workers;

    for (1 .. 100) {
        my %before = descriptors();
        my $client = $c->client(room => 'live://1', accepts => [1000]);
        my %after = descriptors();
        my ($pid) = grep { $after{$_} > ($before{$_} // 0) } keys %after;

        push @{ $of{$pid} }, $client if defined $pid;
        last if keys %of == $n;
    }
    return %of;
}

sub title { return Goim::Nginx::title($_[0]) }

sub push_many {
    my ($name, $from, $n) = @_;
    my @codes = map { $api->room(1000, 'live', '1',
        sprintf('%06d', $_) . 'x' x $size)->{code} } $from .. $from + $n - 1;
    is(scalar(grep { $_ } @codes), 0, "$name: $n x $size bytes are accepted");
}

# the numbers of the messages that each of them has got
sub all_get {
    my ($name, $from, $n, @clients) = @_;
    Goim::Client->pump_all(\@clients, 30,
        sub { !grep { @{ $_->{pushes} } < $n } @clients });

    for my $client (@clients) {
        my @got = map { substr($_->{body}, 0, 6) + 0 } @{ $client->{pushes} };
        $client->{pushes} = [];
        is_deeply(\@got, [$from .. $from + $n - 1], "$name: each once, in order");
    }
}

my %of = join_all();
my @clients = map { @$_ } values %of;
my $ring = $node->status->{ring_size};

cmp_ok($ring, '<', 60 * $size / 2, 'the ring holds less than what comes');

# ---- all workers were stopped, and find more than the ring holds ----

hit STOP => keys %of;
push_many('all were stopped', 1, 60);
hit CONT => keys %of;
all_get('all were stopped', 1, 60, @clients);
is(count('lapped'), 0, 'nobody fell behind by the whole ring');

# ---- one is stopped: the others do not wait for it, or for long ----

my $reader = $node->reader;
my ($stopped) = grep { $_ != $reader } keys %of;
hit STOP => $stopped;
push_many('one is stopped', 100, 60);
all_get('one is stopped, the other', 100, 60, @{ $of{$reader} });
hit CONT => $stopped;
wait_for { count('lapped') } 10, 'who was stopped is told';
$_->pump, $_->{pushes} = [] for map { @$_ } values %of;

# ---- leaving workers with clients are not lapped, either ----

$_->close for @clients;
%of = join_all();
@clients = map { @$_ } values %of;
my $before = count('lapped');
$node->reload;
wait_for { $node->status->{draining} == keys %of } 10, 'workers are leaving';
my %new = join_all();
my @new = map { @$_ } values %new;
push_many('a reload', 200, 60);
all_get('a reload', 200, 60, @clients, @new);
is(count('lapped'), $before, 'a reload: nobody fell behind');

# ---- but one of them that is stopped stops nobody ----

hit STOP => keys %of;
push_many('leaving ones are stopped', 300, 60);
all_get('leaving ones are stopped', 300, 60, @new);
hit CONT => keys %of;

$_->drop for @clients, @new;

done_testing;
