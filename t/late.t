# What comes late undoes nothing newer: calls of a node that waits no more,
# kicks that overtake answers, commands that lay on the way to Redis.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Proxy;
use Goim::RPC;
use Goim::Test;

# stopped, whatever it was doing
sub stop {
    my ($service) = @_;
    $service->pause;
    wait_for { slurp('/proc/' . $service->pid . '/stat') =~ /\) T / } 10,
        'it stands still';
}

# ---- calls carry their time --------------------------------------------------

subtest 'a call that nobody waits for is not carried out' => sub {
    my $redis = Goim::Redis->new;
    my $logic = Goim::Logic->new(redis => $redis->addr,
        conf => { logic => { threads => 1 } });
    Goim::RPC::ready($logic);
    my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'c', zone => 'z');
    my $base = 1_000_000;           # the comet's clock, which is its own

    my $connect = sub {
        my ($n, %more) = @_;
        my $id = ++$rpc->{id};
        $rpc->send_raw(Goim::RPC::frame(Goim::Proto::proto_encode('Call',
            { id => $id, connect => { server => 'c', zone => 'z',
            session => $n, token => qq({"key":"k$n"}) }, %more })));
        return $rpc->reply($id)->{code};
    };

    is $connect->(1, sent => $base, budget => 5000), 0, 'one that is new';
    is $connect->(2, sent => $base - 4000, budget => 3000), 1,
        'one that took longer than the other is late';
    ok !$redis->cmd('EXISTS', 'sess_k2'), 'and not carried out';
    is $connect->(3, sent => $base - 4000, budget => 60_000), 0,
        'with more time it is not';
    is $connect->(4, sent => $base + 500_000, budget => 5000), 0,
        'a clock that is ahead by any time';
    is $connect->(5, sent => $base + 500_000 - 6000, budget => 5000), 1,
        'is the measure from then on';
    is $connect->(6), 0, 'a call without a time has all of it';
    is $logic->metrics->{goim_logic_late_total}, 2, 'they are counted';

    # the other calls, too: a room that is listed late might be off again
    my $list = sub {
        my ($room, $sent) = @_;
        my $id = ++$rpc->{id};
        $rpc->send_raw(Goim::RPC::frame(Goim::Proto::proto_encode('Call',
            { id => $id, sent => $sent, budget => 5000, rooms => {
            server => 'c', zone => 'z', order => 1, listed => [$room] } })));
        return $rpc->reply($id)->{code};
    };
    is $list->('late', $base + 500_000 - 6000), 1, 'another call that is late';
    ok !$redis->cmd('EXISTS', 'goim:rooms:late'), 'is not carried out either';
    is $list->('new', $base + 500_000), 0, 'one that is not';
    ok $redis->cmd('EXISTS', 'goim:rooms:new'), 'is';

    # its machine has slept for a minute
    my $slept = $base + 440_000;
    is $connect->(10, sent => $slept, budget => 5000), 1,
        'late, by what is known';
    eventually { $connect->(11, sent => ++$slept, budget => 5000) == 0 } 10,
        'where all are late the clock has stood still';
    is $connect->(12, sent => $slept - 6000, budget => 5000), 1,
        'and is the measure again';

    # that nobody waits lies behind the call, or the end of the connection does
    stop($logic);
    my $gone = $rpc->send(connect => { session => 8,
        token => '{"key":"k8"}' });
    $rpc->send_raw(Goim::RPC::frame(Goim::Proto::proto_encode('Call',
        { cancel => { id => $gone } })));
    my $next = $rpc->send(connect => { session => 9,
        token => '{"key":"k9"}' });
    $logic->resume;
    is $rpc->reply($next)->{code}, 0, 'a login';
    is $rpc->reply($gone)->{code}, 1, 'the one before was taken back';
    ok !$redis->cmd('EXISTS', 'sess_k8'), 'and not carried out';

    stop($logic);
    $rpc->send(connect => { session => 7, token => '{"key":"k7"}' });
    $rpc->send(disconnect => { session => 1, key => 'k1' });
    $rpc->close;
    $logic->resume;
    eventually { !$redis->cmd('EXISTS', 'sess_k1') } 10,
        'the last word of a node that is gone counts';
    ok !$redis->cmd('EXISTS', 'sess_k7'), 'a login of it does not';
};

subtest 'of a zone the larger session id is the newer one' => sub {
    my $redis = Goim::Redis->new;
    my $logic = Goim::Logic->new(redis => $redis->addr);
    Goim::RPC::ready($logic);
    my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'c', zone => 'z');
    my $holder = sub { return $redis->cmd('HGET', 'sess_k', 'holder') };
    my $connect = sub {
        return $rpc->call(connect => { session => $_[0],
            token => '{"mid":3,"key":"k"}' })->{code};
    };

    is $connect->(10), 0, 'a login';
    is $connect->(9), 5, 'an older one comes late: replaced';
    is $holder->(), 'c/z/10', 'and has not taken the key';
    is $connect->(10), 0, 'the same one again';

    # as if an older one had written late
    $redis->cmd('HSET', 'sess_k', 'holder', 'c/z/9');
    is $rpc->call(renew => { sessions => [{ mid => 3, key => 'k',
        session => 10 }] })->{code}, 0, 'a renewal';
    is $holder->(), 'c/z/10', 'takes back what an older one wrote';
    $rpc->call(renew => { sessions => [{ mid => 3, key => 'k',
        session => 9 }] });
    is $holder->(), 'c/z/10', 'and gives nothing to it';

    is $rpc->call(disconnect => { key => 'k', session => 9 })
        ->{disconnected}{had}, 0, 'an end of the older one';
    $redis->cmd('HSET', 'sess_k', 'holder', 'c/z/9');
    is $rpc->call(ended => { sessions => [{ mid => 3, key => 'k',
        session => 10 }] })->{disconnected}{had}, 1, 'the end of the newer';
    is $redis->cmd('EXISTS', 'sess_k', 'key_k', 'mid_3'), 0,
        'takes what the older one wrote late along';

    $redis->cmd('HSET', 'sess_k', 'holder', 'c/other/9');
    is $rpc->call(ended => { sessions => [{ mid => 3, key => 'k',
        session => 10 }] })->{disconnected}{had}, 0, 'not of other zones';
};

# ---- kicks and answers -------------------------------------------------------

subtest 'a kick that overtakes the answer to the login' => sub {
    my $c = Goim::Cluster->new(workers => 2);
    my $proxy = Goim::Proxy->new(to => $c->logic->{rpc_port}, late => 0.3);
    $c->node->configure(logic => [$proxy->addr]);
    $c->node->reload;
    $c->node->wait_registered;
    wait_for { $c->node->status->{draining} == 0 } 20, 'one generation';

    # the second comes when logic has carried out the first, and before the
    # node knows
    my (@old, @new);
    for my $i (1 .. 12) {
        push @old, $c->client(auth => 0, key => "k$i", accepts => [1000]);
        $old[-1]->send(7, qq({"key":"k$i","accepts":[1000]}));
        wait_for { $c->redis->cmd('EXISTS', "sess_k$i") } 10, 'stored';
        push @new, $c->client(auth => 0, key => "k$i", accepts => [1000]);
        $new[-1]->send(7, qq({"key":"k$i","accepts":[1000]}));
    }
    is scalar(grep { ($_->reply || { op => 0 })->{op} == 8 } @new), 12,
        'the newer ones are in';
    is join(' ', map { $_->closed(10) || 'open' } @old),
        join(' ', (1008) x 12), 'the older ones are closed';
    is $c->node->status->{authorized}, 12, 'one of each key';
    $c->api->keys(1000, [map { "k$_" } 1 .. 12], 'hello');
    is scalar(grep { ($_->push || { body => '' })->{body} eq 'hello' } @new),
        12, 'and it is found';
};

# ---- a logic that stands still -----------------------------------------------

subtest 'a logic stands still, and goes on after clients have moved' => sub {
    my $c = Goim::Cluster->new(workers => 1, logics => 2, nodes => 2,
        nginx => { goim => { logic_timeout => '2s' } },
        logic => { conf => { logic => { threads => 1 } } });
    my $still = $c->logic(1);

    stop($still);

    # each is tried at one node, given up, and comes again at the other
    my @gone = map { my $p = $c->client(auth => 0);
        $p->send(7, qq({"key":"m$_"})); $p } 1 .. 30;
    Time::HiRes::sleep(2.5);
    my @live = map { my $n = $_; wait_for {
        eval { $c->client(node => 1, key => "m$n", accepts => [1000]) }
    } 20, 'in by the other logic' } 1 .. 30;
    $_->drop for @gone;
    $still->resume;

    # whatever it had to do, it has done when it answers a later call
    wait_for { $still->health->{status} == 200 } 20, 'it goes on';
    my $rpc = Goim::RPC->new($still->{rpc_port});
    $rpc->call(connect => { session => 1, token => '{"key":"last"}' });

    is scalar(grep { $_->closed(0) } @live), 0, 'nobody is closed';
    is $c->api->keys(1000, [map { "m$_" } 1 .. 30], 'hello')->{code}, 0,
        'a push to all of them';
    is scalar(grep { ($_->push || { body => '' })->{body} eq 'hello' } @live),
        30, 'all get it';
    is $c->node(1)->status->{counters}{replaced}, 0, 'none was replaced';

    # clients that wait less long than the node
    $still = $c->logic(1);
    stop($still);
    my @short = map { my $p = $c->client(auth => 0);
        $p->send(7, qq({"key":"s$_"})); $p } 1 .. 30;
    Time::HiRes::sleep(0.3);
    $_->drop for @short;
    my @moved = map { my $p = $c->client(node => 1, auth => 0);
        $p->send(7, qq({"key":"s$_"})); $p } 1 .. 30;
    Goim::Client->pump_all(\@moved, 0.5, sub { 0 });
    my @in;
    @{$_->{replies}} ? push @in, $_ : $_->drop for @moved;
    @moved = @in;
    cmp_ok scalar @moved, '>', 0, 'some are in by the other logic';
    $still->resume;
    wait_for { $still->health->{status} == 200 } 20, 'it goes on';
    $rpc->call(connect => { session => 2, token => '{"key":"last"}' });
    Time::HiRes::sleep(0.3);
    is scalar(grep { $_->closed(0) } @moved), 0, 'nobody is closed here too';
};

# ---- a way to Redis that is held ---------------------------------------------

subtest 'commands that lay on the way to Redis' => sub {
    my $redis = Goim::Redis->new;
    my $proxy = Goim::Proxy->new(to => $redis->{port});
    my @conf = (conf => { logic => { threads => 1 },
        redis => { timeout => '500ms' } });
    my $held = Goim::Logic->new(redis => $proxy->addr, @conf);
    my $free = Goim::Logic->new(redis => $redis->addr, @conf);
    Goim::RPC::ready($_) for $held, $free;
    my $slow = Goim::RPC->new($held->{rpc_port}, server => 'a', zone => 'z1');
    my $fast = Goim::RPC->new($free->{rpc_port}, server => 'b', zone => 'z2');
    my $connect = sub {
        my ($rpc, $n, $key) = @_;
        return $rpc->call(connect => { session => $n,
            token => qq({"mid":8,"key":"$key"}) })->{code};
    };

    is $connect->($slow, 1, $_), 0, "$_ logs in" for qw(k1 k2 k3);

    $proxy->hold;
    my @id = ($slow->send(connect => { session => 4,
        token => '{"mid":8,"key":"k4"}' }),
        map { $slow->send(@$_) } ['renew', { sessions => [{ mid => 8,
            key => 'k1', session => 1 }] }],
        ['ended', { sessions => [{ mid => 8, key => 'k3', session => 3 }] }],
        ['connect', { session => 5, token => '{"mid":8,"key":"k2"}' }]);
    is_deeply [map { $slow->reply($_)->{code} } @id], [(1) x 4],
        'their time is up';

    # the clients move: k1 ends, the others log in elsewhere
    is $connect->($fast, 1, $_), 0, "$_ logs in elsewhere"
        for qw(k2 k3 k4);
    $redis->cmd('DEL', 'sess_k1', 'key_k1');
    $redis->cmd('HDEL', 'mid_8', 'k1');

    $proxy->release;
    eventually { $redis->cmd('INFO', 'errorstats')
        =~ /errorstat_LATE:count=(\d+)/ && $1 >= 4 } 20,
        'what was held reaches Redis, and is refused';

    is_deeply $redis->hgetall('mid_8'), { map { ($_ => 'b') } qw(k2 k3 k4) },
        'and undoes nothing';
    is $redis->cmd('HGET', "sess_$_", 'holder'), 'b/z2/1', "$_ stays"
        for qw(k2 k3 k4);
    is $redis->cmd('EXISTS', 'sess_k1', 'key_k1'), 0, 'who left stays away';
    eventually { $connect->($slow, 9, 'k9') == 0 } 20, 'the logic goes on';
};

done_testing;
