# A whole system: Redis, perhaps Kafka, logics, jobs and nodes, wired together
# and ready: every node is registered, and logic has Redis and the bus.
#
#     my $c = Goim::Cluster->new(bus => 'redis', nodes => 2, workers => 2);
#     my $client = $c->client(room => 'live://1');
#     $c->api->room(1000, 'live', '1', 'hello');

package Goim::Cluster;

use strict;
use warnings;

use Scalar::Util ();

use Goim::Client ();
use Goim::Job ();
use Goim::Kafka ();
use Goim::Logic ();
use Goim::Nginx ();
use Goim::Redis ();
use Goim::Test qw(wait_for);

# bus, nodes, logics, jobs => numbers (1); workers; kafka => a running one;
# nginx, logic, job, redis => { parameters of each }, or redis => what has its
# address
sub new {
    my ($class, %arg) = @_;
    my $bus = $arg{bus} || 'redis';
    my $self = bless { bus => $bus }, $class;

    $self->{redis} = Scalar::Util::blessed($arg{redis}) ? $arg{redis}
        : Goim::Redis->new(%{ $arg{redis} || {} });
    $self->{kafka} = $arg{kafka}
        || Goim::Kafka->new(%{ $arg{broker} || {} }) if $bus eq 'kafka';

    my %common = (redis => $self->{redis}->addr, bus => $bus,
        $self->{kafka} ? (kafka => $self->{kafka}->addr) : ());

    $self->{logics} = [map { Goim::Logic->new(%common,
        %{ $arg{logic} || {} }) } 1 .. $arg{logics} || 1];
    $self->{jobs} = [map { Goim::Job->new(%common,
        %{ $arg{job} || {} }) } 1 .. $arg{jobs} || 1];
    $self->{nodes} = [map { Goim::Nginx->new(
        server_id => "comet-$_", redis => $common{redis},
        logic => [map { $_->rpc_addr } @{ $self->{logics} }],
        api => "127.0.0.1:$self->{logics}[0]{http_port}",
        workers => $arg{workers} || 1,
        %{ $arg{nginx} || {} }) } 1 .. $arg{nodes} || 1];

    $_->wait_registered(30) for @{ $self->{nodes} };
    for my $logic (@{ $self->{logics} }) {
        wait_for { $logic->health->{status} == 200 } 30, 'logic is healthy';
    }
    return $self;
}

sub redis { return $_[0]{redis} }
sub kafka { return $_[0]{kafka} }
sub node  { return $_[0]{nodes}[$_[1] || 0] }
sub logic { return $_[0]{logics}[$_[1] || 0] }
sub job   { return $_[0]{jobs}[$_[1] || 0] }
sub api   { return $_[0]->logic($_[1])->api }

# a client of node => 0, over transport => 'ws', 'wss' or 'tcp'
sub client {
    my ($self, %arg) = @_;
    my $node = $self->node(delete $arg{node});
    my $kind = $arg{transport} || 'ws';
    return Goim::Client->new(port => $kind eq 'ws' ? $node->{port}
        : $kind eq 'wss' ? $node->{wss_port} : $node->{tcp_port}, %arg);
}

1;
