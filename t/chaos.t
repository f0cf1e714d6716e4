# LONG
#
# Two nodes of two workers, two logics, two jobs; clients on ws, wss and tcp
# that change rooms and come back to the other node, half of which recover; pushes of
# every kind, and faults drawn at random, which overlap: what was accepted is
# there once and in order, for each connection, or it was closed; and for
# clients that recover over all their connections, or they were told.
#
#     make chaos SECONDS=600 SEED=7
#     GOIM_FAULTS=kill_job,kill_redis GOIM_BUS=kafka prove -v t/chaos.t

# ASAN: no

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Checker qw(check);
use Goim::Faults;
use Goim::Job;
use Goim::Kafka;
use Goim::Logic;
use Goim::Nginx;
use Goim::Poster;
use Goim::Proxy;
use Goim::Redis;
use Goim::Roamer;
use Goim::Test;

my $seconds = $ENV{GOIM_SECONDS} || 20;
my $seed = $ENV{GOIM_SEED} || int(time * 1000) % 1_000_000;

# a whole system's load takes a machine of its own
my $load = $ENV{GOIM_LOAD} || ($ENV{GOIM_SECONDS} ? 1 : 0.2);
my ($count, $rooms, $rate) = map { int $_ * $load } 240, 60, 300;
my %registry = (registry => { ttl => '6s', renew => '2s' });
my @rooms = map { ($_ % 2 ? 'live' : 'chat') . "://$_" } 1 .. $rooms;

srand $seed;
diag("SEED=$seed");
alarm(4 * $seconds + 600 * slow());
allow_log(qr/exited on signal 9|\[alert\] .*(open socket|waitpid|kill\()/);

my ($redis, $kafka, @way, @logic, @job, @cut, @node);

for my $bus ($ENV{GOIM_BUS} || qw(redis kafka)) {
    subtest $bus => sub { over($bus) };
}

sub over {
    my ($bus) = @_;
    begin($bus);
    my $roamers = Goim::Roamer->new(clients => [map { client($_) }
        1 .. $count]);
    wait_for { $roamers->here == $count } 60, 'clients are there';
    my $poster = Goim::Poster->new(apis => [map { $_->api } @logic],
        many => 4, rate => $rate, rooms => \@rooms, history => 'live',
        keys => [map { "k$_" } 1 .. $count], mids => [1 .. $count / 4]);
    $poster->more(20);

    my $faults = Goim::Faults->new(nodes => \@node, logics => \@logic,
        jobs => \@job, cuts => \@cut, ways => \@way, redis => $redis,
        kafka => $kafka);
    $faults->run($seconds, split /,/, $ENV{GOIM_FAULTS} || '');

    # nobody is awaited longer than a registration lives
    $poster->more(40, 90);
    sleep 7;
    $poster->finish;
    # longer than one waits that is beyond the head of a history
    sleep 13;
    $roamers->stop(60);
    judge($poster, $roamers, $faults);
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
        conf => { %registry, history => { live => '300 10m' } }) } 1 .. 2;
    @cut = map { [map { Goim::Proxy->new(to => $_->{rpc_port}) } @logic] }
        1 .. 2;
    @node = map { Goim::Nginx->new(server_id => "comet-$_", daemon => 1,
        redis => $redis->addr, workers => 2, tcp => 1, ssl => 1,
        logic => [map { $_->addr } @{ $cut[$_ - 1] }],
        main => 'worker_shutdown_timeout 5s;') } 1 .. 2;
    $_->wait_registered(30) for @node;
    for my $logic (@logic) {
        wait_for { $logic->health->{status} == 200 } 30, 'logic is healthy';
    }
    wait_for {
        !grep { !$_->api->get('/goim/room/position', type => 'live',
            room => '1')->{data} } @logic;
    } 30, 'logics know which rooms have a history';
}

# every third on tcp, half recover, half change rooms, some leave or pause
sub client {
    my ($n) = @_;
    my ($transport, $port) = @{ (['ws', 'port'], ['wss', 'wss_port'],
        ['tcp', 'tcp_port'])[$n % 3] };
    return { number => $n, transport => $transport, rooms => \@rooms,
        ports => [map { $_->{$port} } @node],
        auth => { mid => 1 + $n % ($count / 4), key => "k$n",
            accepts => [1000] },
        $n % 2 ? (recovers => 1) : (),
        $n % 4 > 1 ? (changes => 5) : (),
        $n % 5 < 2 ? (stays => 8) : (),
        $n % 7 == 0 ? (pauses => 10) : () };
}

# ---- judging -----------------------------------------------------------------

sub judge {
    my ($poster, $roamers, $faults) = @_;
    my @clients = $roamers->clients;
    my %codes = $poster->codes;
    my ($connections, %told) = (0);
    my %found = map { $_ => [] } 'missing', 'repeated', 'disordered',
        'order differs', 'refused', 'stray', 'twice', 'two bodies', 'untold',
        'told for nothing';

    push @{ $found{ $_->{what} } }, $_->{text} for check($poster->posts,
        \@clients, lost => $faults->lost, back => $faults->back,
        gone => $faults->gone);
    for my $c (map { @{ $_->{connections} } } @clients) {
        $connections++;
        for (grep { $_ } map { values %{ $_->{told} || {} } }
             @{ $c->{events} }) {
            $told{ $_->{recovered} ? 'recovered' : defined $_->{recovered}
                ? 'not recovered' : 'new' }++;
        }
    }
    for (['messages', %codes], ['positions', %told]) {
        my ($name, %n) = @$_;
        diag("$name: " . join ', ', map { "$_: $n{$_}" } sort keys %n);
    }
    diag("$connections connections");
    cmp_ok($told{recovered} || 0, '>', 0, 'some came back and recovered');
    for my $what (sort keys %found) {
        my @list = @{ $found{$what} };
        is(scalar @list, 0, "nothing: $what")
            or diag(join "\n", splice @list, 0, 12);
    }
}

done_testing;
