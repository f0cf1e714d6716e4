# A node whose zone has no place for all its rooms, in a cluster where rooms are
# listed: it is listed for any room, nobody is refused, and nothing is missed.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Hopper;
use Goim::Nginx;
use Goim::Test;

my %registry = (registry => { ttl => '5s', renew => '500ms' });
my $c = Goim::Cluster->new(nodes => 3, workers => 2,
    logic => { conf => { %registry, http => { max_body => '64k' } } },
    job => { conf => \%registry });
my $small = Goim::Nginx->new(server_id => 'comet-4', workers => 2,
    goim => { zone => 'goim 3m' }, redis => $c->redis->addr,
    logic => $c->logic->rpc_addr);
$small->wait_registered;
push @{ $c->{nodes} }, $small;

my $hopper = Goim::Hopper->new(apis => [$c->api]);
my $n = 0;

sub clients {
    my ($node, $number) = @_;
    return map { $c->client(node => $node, mid => ++$n, key => "k$n",
        accepts => [], auth => 0, local => sprintf('127.0.%d.%d',
        1 + $n / 200, 1 + $n % 200)) } 1 .. $number;
}

sub room { return 'live://' . 'r' x 230 . ++$n }

sub any { return $c->redis->cmd('EXISTS', 'goim:rooms:') }

sub all_listed {
    return 4 == grep { $_->status->{listed} } @{ $c->{nodes} };
}

eventually { all_listed() } 20, 'rooms are listed';
is any(), 0, 'no node has any room';

my @clients;
while ($small->status->{counters}{zone_full} == 0 && @clients < 4000) {
    my @more = clients(3, 300);
    is $hopper->hop(map { [$_, room()] } @more), '',
        @clients . ' clients, more log in' or last;
    push @clients, @more;
}
note scalar(@clients), ' clients';
cmp_ok $small->status->{counters}{zone_full}, '>', 0, 'the zone is full';

my @some = @clients[-40 .. -1];
is $hopper->hop(map { [$_, room()] } @some), '', 'into other rooms';
eventually { any() && all_listed() } 20, 'it is listed for any room';
is $hopper->hop(map { [$_, room()] } @some), '', 'others again';
is $hopper->hop(map { [$_, room()] } clients(3, 40)), '', 'logins';

my ($other) = clients(0, 1);
is $hopper->hop([$other, 'live://other']), '', 'one on another node';
is $c->redis->cmd('HEXISTS', 'goim:rooms:live://other', 'comet-4'), 0,
    'is listed there alone';
is $small->status->{counters}{room_failed}, 0, 'nobody was refused';

$_->drop for @clients, $other;
$_->stop for @{ $c->{nodes} };
done_testing;
