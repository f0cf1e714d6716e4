# The registry of nodes as logic and job see it: the first node of all is
# served at once, one that was late is served again at once and told what it
# missed, a sweep is no goodbye, and what is not known is no answer.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Redis;
use Goim::RPC;
use Goim::Test;

my ($redis, $logic, $job, $api, @node);

sub begin {
    my (%registry) = @_;
    $redis = Goim::Redis->new;
    $logic = Goim::Logic->new(redis => $redis->addr,
        conf => { registry => \%registry });
    $job = Goim::Job->new(redis => $redis->addr,
        conf => { registry => \%registry });
    Goim::RPC::ready($logic);
    $api = $logic->api;
    @node = map { Goim::RPC->new($logic->{rpc_port}, server => "comet-$_",
        zone => "z$_") } 1 .. 4;
}

# what a node's stream holds
sub bodies {
    my ($n) = @_;
    return map { $_->{body} } map { @{ $_->{records} } }
        Goim::RPC::deliveries($redis, "comet-$n");
}

sub has {
    my ($n, @want) = @_;
    my @got = grep { my $b = $_; grep { $b eq $_ } @want } bodies($n);
    return "@got" eq "@want";
}

sub push_room { return $api->room(1000, 'live', '1', $_[0])->{code} }

sub missed { return $job->metrics->{goim_job_missed_records_total} }

subtest 'a fresh installation' => sub {
    begin(ttl => '60s', renew => '30s');
    is push_room('nobody'), 0, 'accepted before there is a node';
    is $node[0]->register->{code}, 0, 'the first node';
    is push_room('first'), 0, 'accepted';
    eventually { has(1, 'first') } 10, 'it is served, not after two renewals';
    is $node[1]->register->{code}, 0, 'the second one';
    is push_room('second'), 0, 'accepted';
    eventually { has(1, 'second') && has(2, 'second') } 10, 'both are served';
    $_->stop for $job, $logic;
};

# all but the silent ones, as often as nodes do
my $renewed = 0;

sub renew {
    my (@who) = @_;
    return if time - $renewed < 0.5;
    $renewed = time;
    $node[$_ - 1]->register for @who;
}

subtest 'late, and back' => sub {
    begin(ttl => '4s', renew => '2s');
    my @seen = map { $_->register->{registered}{seen} } @node;
    is push_room('before'), 0, 'accepted';
    eventually { has(4, 'before') } 10, 'all are served';

    eventually { renew(1 .. 3);
        $job->metrics->{goim_job_nodes_lapsed} == 1 } 30, 'one falls silent';
    is push_room("lost $_"), 0, 'accepted' for 1 .. 3;
    eventually { missed() == 3 } 10, 'what it misses is counted';
    eventually { has(1, map { "lost $_" } 1 .. 3) } 10, 'others get it';

    my $r = $node[3]->register(seen => $seen[3]);
    is $r->{registered}{missed}, 3, 'it is told';
    ok !$r->{registered}{lapsed}, 'nothing else may be missing';
    my @again = map { "again $_" } 1 .. 20;
    is scalar(grep { push_room($_) } @again), 0, 'accepted';
    eventually { has(4, @again) } 10, 'it is served again from then on';
    is scalar(grep { /lost/ } bodies(4)), 0, 'and no more than it was told';
    is $node[3]->register(seen => $seen[3])->{registered}{missed}, 3,
        'the number stays';
    is $job->metrics->{goim_job_nodes_lapsed}, 0, 'none is late';
};

subtest 'a sweep is no goodbye' => sub {
    renew(1 .. 4);

    # as if Redis's clock had gone ahead by more than an hour
    $redis->cmd('ZADD', 'goim:nodes:seen',
        map { (1000, "comet-$_/z$_") } 2 .. 4);
    $node[0]->register;
    is $redis->cmd('HEXISTS', 'goim:nodes', 'comet-2/z2'), 0, 'swept';
    $redis->cmd('INCR', 'goim:nodes:version');
    my @swept = map { "swept $_" } 1 .. 10;
    is scalar(grep { push_room($_) } @swept), 0, 'accepted';
    eventually { 4 == grep { has($_, @swept) } 1 .. 4 } 10, 'all are served';
    is $node[1]->register(seen => 1)->{registered}{lapsed}, 1,
        'who comes back to a registry that does not know it is told';

    is $node[3]->call('deregister')->{code}, 0, 'one leaves';
    is push_room('after'), 0, 'accepted';
    eventually { has(1, 'after') } 10, 'others get it';
    is $job->metrics->{goim_job_nodes}, 3, 'it is gone at once';
    is scalar(grep { $_ eq 'after' } bodies(4)), 0, 'and gets nothing';
};

subtest 'Redis away' => sub {
    is $api->online_total->{code}, 0, 'known';
    eventually { @{ $api->nodes_instances->{data} } == 3 } 10, 'three nodes';
    $redis->stop;
    for my $call (qw(online_total nodes_instances)) {
        my $r;
        eventually { ($r = $api->$call)->{code} == -500 } 10,
            "$call: not known";
        is $r->{message}, 'redis is away', 'which is said';
        is $r->{data}, undef, 'and nothing else';
    }
    $logic->stop;
    $logic->start;
    is $api->online_total->{code}, -500, 'nothing was ever known';
    $redis->start;
    eventually { $api->online_total->{code} == 0 } 20, 'it is back';
};

done_testing;
