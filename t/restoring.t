# A new life of Redis, without its data or with older ones: nodes announce
# their sessions again, and who is not found meanwhile is not taken for
# offline.

use strict;
use warnings;

use File::Path ();
use Time::HiRes ();

use lib 't/lib';
use Goim::Cluster;
use Goim::RPC;
use Goim::Test;

# a registry that was lost is waited for two renewals, and a node that takes
# longer may have missed something, and says so
my $c = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2,
    logic => { conf => { registry => { ttl => '6s', renew => '2s' } } },
    job => { conf => { registry => { ttl => '6s', renew => '2s' } } });
my ($redis, $api) = ($c->redis, $c->api);

# 600 sessions, so that announcing takes several calls
my @clients = map { $c->client(node => $_ % 2, key => "k$_",
    mid => 1000 + $_, accepts => [1000]) } 0 .. 599;
my @keys = map { "k$_" } 0 .. 599;

sub stored { return $redis->cmd('EXISTS', map { "sess_$_" } @keys) }

# Push to everybody, one after the other, until all are found again: what was
# answered with code 0 arrives, and there is no third answer than "restoring"
# but that Redis is away.
sub found_again {
    my ($name) = @_;
    my (%sent, %said, %left);
    my $n = 0;

    wait_for {
        for my $i (map { int rand 600 } 1 .. 40) {
            my $body = "$name " . ++$n;
            my $r = $i % 2 ? $c->api($i % 3 ? 0 : 1)->keys(1000, ["k$i"],
                $body) : $c->api($i % 3 ? 0 : 1)->mids(1000, [1000 + $i],
                $body);
            $r->{code} == 0 ? push @{ $sent{$i} }, $body
                : $said{"$r->{code} $r->{message}"}++;
        }
        stored() == 600;
    } 30, 'all are known again';

    my $rest = $api->keys(1000, \@keys, "$name all");
    wait_for { ($rest = $api->keys(1000, \@keys, "$name all"))->{code} == 0 }
        10, 'a push to all' if $rest->{code} != 0;
    push @{ $sent{$_} }, "$name all" for 0 .. 599;

    my @lost;
    Goim::Client->pump_all(\@clients, 20, sub {
        return !grep { !grep { $_->{body} eq "$name all" }
            @{ $_->{pushes} } } @clients;
    });
    for my $i (sort keys %sent) {
        my @got = map { $_->{body} } splice @{ $clients[$i]{pushes} };
        push @lost, "k$i: @{$sent{$i}}, got: @got"
            if "@got" ne "@{$sent{$i}}";
    }
    is "@lost", '', "$name: what was taken has arrived, once and in order";
    delete $said{$_} for grep { /redis|bus/ } keys %said;
    is join(', ', grep { $_ ne '-500 restoring' } sort keys %said), '',
        "$name: else it was said that sessions are restored";
    return \%said;
}

is stored(), 600, 'all are stored';
is $api->keys(1000, ['nobody'], 'x')->{code}, 0, 'who is nowhere is offline';

subtest 'Redis is flushed' => sub {
    $redis->cmd('FLUSHALL');
    my $r = $api->keys(1000, ['nobody'], 'x');
    is "$r->{code} $r->{message}", '-500 restoring',
        'who is not found may be somewhere';
    $r = $api->mids(1000, [999_999], 'x');
    like "$r->{code} $r->{message}", qr/^-500 (restoring|redis)/,
        'a mid neither';
    my $said = found_again('flushed');
    eventually { $api->keys(1000, ['nobody'], 'x')->{code} == 0 } 10,
        'then who is nowhere is offline again';
    is $c->logic(1)->api->keys(1000, ['nobody'], 'x')->{code}, 0,
        'for each logic';
};

subtest 'Redis begins anew without its data' => sub {
    $redis->kill9;
    File::Path::remove_tree("$redis->{dir}/appendonlydir");
    $redis->start;
    found_again('empty');
    is $redis->cmd('EXISTS', map { "mid_" . (1000 + $_) } 0 .. 599), 600,
        'users, too';
    eventually { $api->keys(1000, ['nobody'], 'x')->{code} == 0 } 10,
        'and all is whole';
};

subtest 'all logics begin together with it' => sub {
    my @logics = map { $c->logic($_) } 0, 1;
    $_->kill9 for @logics;
    $redis->cmd('FLUSHALL');
    $_->start for @logics;
    wait_for { $redis->cmd('HGET', 'goim:restoring', '?') } 20,
        'a node says that this is no new installation';
    found_again('together');
};

subtest 'rooms and broadcasts are never refused for that' => sub {
    my $in = $c->client(key => 'in', room => 'live://1', accepts => [1000]);
    my $logic = $c->logic;
    my $before = $logic->metrics->{
        'goim_logic_push_failed_total{reason="restoring"}'};

    # a node that was registered, and does not come
    my $ghost = Goim::RPC->new($logic->{rpc_port}, server => 'ghost',
        zone => 'z');
    is $ghost->register->{code}, 0, 'a node';
    wait_for { grep { $_->{server} eq 'ghost' }
        @{ $api->nodes_instances->{data} } } 10, 'is known';
    $redis->restart;
    wait_for { $logic->health->{status} == 200 } 20, 'logic has Redis';
    wait_for { $redis->cmd('HGET', 'goim:restoring', 'ghost/z') } 10,
        'the ghost is awaited';

    my $start = Time::HiRes::time();
    my $r = $api->keys(1000, ['nobody'], 'x');
    is "$r->{code} $r->{message}", '-500 restoring', 'not found: refused';
    $r = $api->keys(1000, ['nobody', 'in'], 'x');
    is "$r->{code} $r->{message}", '-500 restoring', 'one of two, too';
    is $api->keys(1000, ['in'], 'key')->{code}, 0, 'who is found is not';
    is $api->room(1000, 'live', '1', 'room')->{code}, 0, 'a room';
    is $api->all(1000, 'all')->{code}, 0, 'all';
    is join(' ', sort map { $_->{body} } $in->pushes(3)), 'all key room',
        'they arrive, and what was refused does not';
    cmp_ok $logic->metrics->{
        'goim_logic_push_failed_total{reason="restoring"}'}, '>=',
        $before + 2, 'counted';

    eventually { $api->keys(1000, ['nobody'], 'x')->{code} == 0 } 20,
        'nobody is awaited longer than a registration lives';
    cmp_ok Time::HiRes::time() - $start, '>', 3, 'but so long';
};

subtest 'a Redis that is known to be away' => sub {
    $redis->kill9;
    wait_for { $c->logic->health->{status} == 503 } 20, 'logic knows it';

    my $start = Time::HiRes::time();
    my @code = map { $_->{code} } $api->keys(1000, ['k1'], 'x'),
        $api->mids(1000, [1001], 'x');
    is "@code", '-500 -500', 'pushes that need it fail';
    cmp_ok Time::HiRes::time() - $start, '<', 2 * slow(),
        'without waiting for [push] timeout';
    $redis->start;
    eventually { $api->keys(1000, ['k1'], 'back')->{code} == 0 } 20,
        'and go on';
};

done_testing;
