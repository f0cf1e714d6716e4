# Two nodes, two logics, two jobs, clients that move and come back, pushes of
# every kind, and faults drawn at random: what was accepted is there for each
# connection, once and in order, or the connection was closed.
#
#     make chaos SECONDS=600 SEED=7
#     GOIM_FAULTS=kill_job,redis GOIM_BUS=kafka prove -v t/chaos.t

# ASAN: no

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Checker qw(check);
use Goim::Job;
use Goim::Kafka;
use Goim::Logic;
use Goim::Nginx;
use Goim::Proxy;
use Goim::Redis;
use Goim::Roamer;
use Goim::Test;
use Goim::Traffic;

my $seconds = $ENV{GOIM_SECONDS} || 20;
my $seed = $ENV{GOIM_SEED} || int(time * 1000) % 1_000_000;
my $count = 24;
my %registry = (registry => { ttl => '6s', renew => '2s' });

srand $seed;
diag("SEED=$seed");
allow_log(qr/exited on signal 9|\[alert\] .*(open socket|waitpid|kill\()/);

my ($redis, $kafka, @way, @logic, @job, @cut, @node, @roamers);

for my $bus ($ENV{GOIM_BUS} || qw(redis kafka)) {
    subtest $bus => sub { over($bus) };
}

sub over {
    my ($bus) = @_;
    begin($bus);
    my $traffic = Goim::Traffic->new(apis => [map { $_->api } @logic],
        every => 0.02, to => { room => ['live', '1'], all => [],
            keys => [map { "k$_" } 1 .. $count], mids => [1 .. 8] });
    my %fault = faults();
    my @names = $ENV{GOIM_FAULTS} ? split /,/, $ENV{GOIM_FAULTS}
        : sort keys %fault;

    my $end = time + $seconds;
    while (time < $end) {
        my $name = pick(@names);
        diag(sprintf '%3d s: %s', $seconds - ($end - time), $name);
        $fault{$name}->();
        sleep 1 + rand 3;
    }

    # nobody is awaited longer than a registration lives
    $traffic->more(40, 60);
    sleep 7;
    $traffic->finish;
    sleep 3;
    $_->stop for @roamers;
    judge($traffic);
    $_->stop for @node, @job, @logic, @way, map({ @$_ } @cut), $redis,
        $kafka || ();
}

# ---- the system --------------------------------------------------------------

sub begin {
    my ($bus) = @_;
    $redis = Goim::Redis->new;
    $kafka = $bus eq 'kafka' ? Goim::Kafka->new : undef;
    my %common = (bus => $bus, $kafka ? (kafka => $kafka->addr) : ());

    # logic's ways to Redis and the nodes' to logic can be held
    @way = map { Goim::Proxy->new(to => $redis->{port}) } 1 .. 2;
    @logic = map { Goim::Logic->new(%common, redis => $_->addr, conf => {
        %registry, session => { ttl => '60s', heartbeat => '10s' },
        logic => { canary => '2s' } }) } @way;
    @job = map { Goim::Job->new(%common, redis => $redis->addr,
        conf => \%registry) } 1 .. 2;
    @cut = map { [map { Goim::Proxy->new(to => $_->{rpc_port}) } @logic] }
        1 .. 2;
    @node = map { Goim::Nginx->new(server_id => "comet-$_",
        redis => $redis->addr, workers => 2, tcp => 1,
        logic => [map { $_->addr } @{ $cut[$_ - 1] }],
        main => 'worker_shutdown_timeout 5s;') } 1 .. 2;
    $_->wait_registered(30) for @node;
    for my $logic (@logic) {
        wait_for { $logic->health->{status} == 200 } 30, 'logic is healthy';
    }

    @roamers = map {
        my $tcp = $_ % 3 == 2;
        Goim::Roamer->new(number => $_, moves => $_ % 4 == 3,
            transport => $tcp ? 'tcp' : 'ws',
            ports => [map { $_->{$tcp ? 'tcp_port' : 'port'} } @node],
            auth => { mid => 1 + $_ % 8, key => "k$_", room => 'live://1',
                accepts => [1000] });
    } 1 .. $count;
    wait_for { !grep { !$_->here } @roamers } 30, 'clients are there';
}

# ---- faults ------------------------------------------------------------------

sub pick { return $_[rand @_] }

# stopped for a while
sub stand_still {
    my ($seconds, @pids) = @_;
    hit 'STOP', @pids;
    sleep $seconds;
    hit 'CONT', reverse @pids;
}

sub again {
    my ($what) = @_;
    $what->kill9;
    sleep rand 2;
    $what->start;
}

# all of a node at once
sub kill_node {
    my $node = pick(@node);
    hit 'KILL', $node->pid, $node->workers;
    $node->wait_exit(5);
    $node->start;
    $node->wait_registered(30);
}

sub hold {
    my ($seconds, @ways) = @_;
    $_->hold for @ways;
    sleep $seconds;
    $_->release for @ways;
}

sub faults {
    return (
        worker => sub { hit 'KILL', pick(pick(@node)->workers) },
        stop_worker => sub { stand_still(3, pick(pick(@node)->workers)) },
        stop_node => sub {
            my $node = pick(@node);
            stand_still(9, $node->pid, $node->workers);
        },
        kill_node => \&kill_node,
        reload => sub { pick(@node)->reload },
        kill_logic => sub { again(pick(@logic)) },
        stop_logic => sub { stand_still(7, pick(@logic)->pid) },
        kill_job => sub { again(pick(@job)) },
        end_job => sub { my $job = pick(@job); $job->stop; $job->start },
        stop_job => sub { stand_still(12, pick(@job)->pid) },
        redis => sub { $redis->restart },
        kill_redis => sub { $redis->restart(kill => 1) },
        stop_redis => sub { stand_still(1 + rand 4, $redis->pid) },
        cut_links => sub { $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal') },
        script_flush => sub { $redis->cmd('SCRIPT', 'FLUSH') },
        cut_node => sub { hold(9, @{ pick(@cut) }) },
        hold_redis => sub { hold(8, pick(@way)) },
        $kafka ? (
            kill_kafka => sub { $kafka->kill9; $kafka->start },
            stop_kafka => sub { stand_still(6, $kafka->pid) },
        ) : (),
    );
}

# ---- judging -----------------------------------------------------------------

sub judge {
    my ($traffic) = @_;
    my @clients = map { $_->client } @roamers;
    my $connections = 0;
    my %found = map { $_ => [] } 'missing', 'repeated', 'disordered',
        'order differs', 'refused', 'stray';

    push @{ $found{ $_->{what} } }, $_->{text}
        for check($traffic->posts, \@clients);
    $connections += @{ $_->{connections} } for @clients;
    diag("$connections connections, " . $traffic->accepted
        . ' messages, else: ' . ($traffic->refused || 'none'));
    for my $what (sort keys %found) {
        my @list = @{ $found{$what} };
        is(scalar @list, 0, "nothing: $what")
            or diag(join "\n", splice @list, 0, 12);
    }
}

done_testing;
