# ASAN: no
#
# Links that are cut for a while, between any two parts, and between a node and
# all others: nothing comes through, and nobody is told. Everybody has
# everything, and nobody who recovers is told that anything is gone. GOIM_CUT=10
# for longer, and for each of the machines.

use strict;
use warnings;

use IO::Socket::INET ();
use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Links;
use Goim::Audience;
use Goim::Job;
use Goim::Kafka;
use Goim::Logic;
use Goim::Nginx;
use Goim::Redis;
use Goim::Test;
use Goim::Traffic;

my $seconds = $ENV{GOIM_CUT} || 2;
my $net = Goim::Links->new(qw(redis kafka logic job node));
my %conf = (registry => { ttl => '6s', renew => '1s' });
my ($redis, $kafka, $logic, $job, $node, $rpc);

for my $bus (split /,/, $ENV{GOIM_BUS} || 'redis,kafka') {
    subtest $bus => sub { over($bus) };
}

sub over {
    my ($bus) = @_;
    begin($bus);
    my @pairs = ([qw(job redis)], [qw(logic redis)], [qw(node redis)],
        [qw(node logic)]);

    # what differs of the other bus, where there is little time
    @pairs = ($seconds > 2 ? @pairs : (), [qw(job kafka)], [qw(logic kafka)])
        if $kafka;
    cut_off('each link', sub {
        for my $pair (@pairs) {
            my $name = join ' to ', @$pair;
            $net->cut(@$pair);
            ok !reaches(@$pair), "$name is cut";
            sleep $seconds - 1;
            $net->mend(@$pair);
            ok reaches(@$pair), "$name is mended";
        }
    });
    cut_off("$_ from all", \&away, $_) for $seconds > 2
        ? (qw(redis logic job node), $kafka ? 'kafka' : ())
        : $kafka ? () : 'node';
    $_->stop for $node, $job, $logic, $redis, $kafka || ();
}

sub reaches {
    my ($from, $to) = @_;
    my $port = { redis => $redis->{port}, logic => $rpc,
        $kafka ? (kafka => $kafka->{port}) : () }->{$to};
    return $net->on($from, sub { IO::Socket::INET->new(Timeout => 1,
        PeerAddr => at($to, $port)) });
}

# longer than it stays registered
sub away {
    my ($name) = @_;
    $net->down($name);
    sleep 4 * $seconds;
    $net->up($name);
}

# ---- the system --------------------------------------------------------------

sub begin {
    my ($bus) = @_;
    $rpc = free_port();
    $redis = $net->on(redis => sub { Goim::Redis->new(conf => {
        bind => '0.0.0.0', 'protected-mode' => 'no' }) });
    $kafka = $bus eq 'kafka' && $net->on(kafka => sub {
        Goim::Kafka->new(host => $net->addr('kafka')) });
    my %common = (bus => $bus, redis => at(redis => $redis->{port}),
        $kafka ? (kafka => $kafka->addr) : ());

    $logic = $net->on(logic => sub { Goim::Logic->new(%common, conf => {
        %conf, rpc => { open => 'on' },
        logic => { rpc => "0.0.0.0:$rpc" } }) });
    $job = $net->on(job => sub { Goim::Job->new(%common, conf => { %conf,
        history => { live => '300 10m' } }) });
    $node = $net->on(node => sub {
        my $n = Goim::Nginx->new(workers => 2, tcp => 1,
            redis => $common{redis}, logic => [at(logic => $rpc)]);
        $n->wait_registered(30);
        return $n;
    });
    $net->on(logic => sub {
        wait_for { $logic->api->get('/goim/room/position', type => 'live',
            room => 1)->{data} } 20, 'logic knows which rooms have a history';
    });
}

sub at { return $net->addr($_[0]) . ":$_[1]" }

# clients are where the node is, and backends where logic is
sub cut_off {
    my ($name, $fault, @arg) = @_;
    my $audience = $net->on(node => sub {
        Goim::Audience->new(nodes => [$node]) });
    $audience->{traffic} = $net->on(logic => sub {
        Goim::Traffic->new(apis => [$logic->api], every => 0.02, to => {
            room => ['live', '1'], keys => [$audience->keys], all => [] }) });
    $audience->{traffic}->more(20);
    $fault->(@arg);
    $audience->judge($name);
}

done_testing;
