# LONG
#
# Where goim is wrong, first half: messages, sessions and rooms. A test for
# each of its faults, named after what goim does; goim fails each. Over Kafka,
# as goim is.

use strict;
use warnings;

use lib 't/lib';

use Time::HiRes ();

use Goim::Bus;
use Goim::Client;
use Goim::Cluster;
use Goim::Logic;
use Goim::Nginx;
use Goim::Test;

my @kinds = qw(ws tcp);
my %registry = (registry => { ttl => '60s', renew => '1s' });
my $c = Goim::Cluster->new(bus => 'kafka', nodes => 2, workers => 2,
    nginx => { tcp => 1, goim => { queue_size => '64k drop' } },
    logic => { conf => { %registry } },
    job => { conf => { %registry, kafka => { 'session.timeout.ms' => 2000,
        'heartbeat.interval.ms' => 300 } } });
my ($api, $redis) = ($c->api, $c->redis);

sub counter { return $c->node($_[1])->status->{counters}{$_[0]} }

# who has no number of a user yet gets one
my $mids = 1000;

sub client {
    my ($kind, $node, %arg) = @_;
    return $c->client(transport => $kind, node => $node, mid => ++$mids,
        accepts => [1000], %arg);
}

# a client on each front of each node
sub everywhere {
    my (%arg) = @_;
    return map { my $kind = $_; map { client($kind, $_, %arg) } 0, 1 } @kinds;
}

sub accepted {
    my ($answer, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($answer->{code}, 0, "$name: accepted");
}

# exactly these bodies, in this order
sub gets {
    my ($name, $client, @bodies) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = map { $_->{body} } $client->pushes(scalar @bodies, 20 * slow());
    return is_deeply(\@got, \@bodies, $name);
}

sub silent {
    my ($name, @clients) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $_->pump for @clients;
    is_deeply([map { $_->{body} } map { @{ $_->{pushes} } } @clients], [],
        "$name: nothing else came");
}

# keys that travel together: a push to all of them is one record
sub together {
    my ($prefix, $n) = @_;
    return (grep { Goim::Bus::partition($_, 4) == 0 }
        map { "$prefix $_" } 1 .. 100 * $n)[0 .. $n - 1];
}

subtest 'auth is answered before the connection is registered: a push right'
    . ' after is lost' => sub
{
    for my $kind (@kinds) {
        my @short;

        for my $n (1 .. 20) {
            my $client = client($kind, $n % 2, key => "first $kind $n",
                room => "first://$kind$n");
            my @codes = map { $_->{code} }
                $api->keys(1000, ["first $kind $n"], 'key'),
                $api->mids(1000, [$mids], 'mid'),
                $api->room(1000, 'first', "$kind$n", 'room');
            my @got = sort map { $_->{body} } $client->pushes(3, 10 * slow());
            push @short, "$n: @codes: @got"
                if "@codes @got" ne '0 0 0 key mid room';
            $client->close;
        }
        is_deeply(\@short, [], "$kind: what follows the answer arrives");

        # as long as it can't be registered it is not answered
        my $client = client($kind, 0, key => "late $kind", auth => 0);
        $redis->pause;
        $client->send(7, Goim::Client::token(%{ $client->{auth} }));
        is($client->reply(0.3), undef, "$kind: no answer before");
        $redis->resume;
        is(($client->reply || {})->{op}, 8, "$kind: answered then");
        accepted($api->keys(1000, ["late $kind"], 'late'), $kind);
        gets("$kind: and it is there", $client, 'late');
        $client->close;
    }
};

subtest 'mappings live 30 min and are renewed after up to 34; a lost mid_ is'
    . ' never restored' => sub
{
    # 16 s instead of 30 min, with a logic and a node of their own
    my $logic = Goim::Logic->new(redis => $redis->addr, bus => 'kafka',
        kafka => $c->kafka->addr, conf => { %registry,
        session => { ttl => '16s', heartbeat => '8s', heartbeat_max => 1 } });
    my $node = Goim::Nginx->new(redis => $redis->addr, tcp => 1,
        logic => $logic->rpc_addr, server_id => 'brief');
    $node->wait_registered;

    my @clients = map { Goim::Client->new(transport => $_, mid => 70,
        key => "brief $_", accepts => [1000],
        port => $_ eq 'ws' ? $node->{port} : $node->{tcp_port}) } @kinds;
    my @keys = map { ("key_brief $_", "sess_brief $_") } @kinds;
    my (%left, %renewed, @gone);

    # none ever ends, until each has been renewed twice
    wait_for {
        $_->heartbeat for @clients;
        for (@keys, 'mid_70') {
            my $ttl = $redis->cmd('PTTL', $_);
            push @gone, $_ if $ttl < 0;
            $renewed{$_}++ if defined $left{$_} && $ttl > $left{$_} + 1000;
            $left{$_} = $ttl;
        }
        @gone || !grep { ($renewed{$_} || 0) < 2 } @keys;
    } 60, 'renewals';
    is_deeply(\@gone, [], 'mappings are renewed before they end');

    $redis->cmd('DEL', 'mid_70', map { "key_brief $_" } @kinds);
    eventually {
        $_->heartbeat for @clients;
        $redis->cmd('HLEN', 'mid_70') == 2
            && $redis->cmd('EXISTS', map { "key_brief $_" } @kinds) == 2;
    } 20, 'both are restored by the next renewal';
    is_deeply($redis->hgetall('mid_70'),
        { map { ("brief $_" => 'brief') } @kinds }, 'as they were');
    is($redis->cmd('GET', "key_brief $_"), 'brief', "$_: the key too")
        for @kinds;
    accepted($logic->api->mids(1000, [70], 'again'), 'mid');
    gets('who was lost is reached', $_, 'again') for @clients;

    $_->close for @clients;
    $_->stop for $node, $logic;
};

subtest 'a full queue at one key drops the message for the keys after it in'
    . ' the list' => sub
{
    my @keys = together('list', 4);
    my @slow = map { client($kinds[$_], 0, key => $keys[$_], rcvbuf => 4096) }
        0, 1;
    my @fast = map { client($kinds[$_], 0, key => $keys[2 + $_]) } 0, 1;
    my ($n, @wrong) = (0);
    my $dropped = counter('push_dropped');

    wait_for {
        my $body = ++$n . ' ' . 'x' x 60_000;
        push @wrong, "$n: not accepted"
            if $api->keys(1000, \@keys, $body)->{code};
        for (@fast) {
            my $p = $_->push(20) || {};
            push @wrong, "$n: another than the next"
                if ($p->{body} || '') ne $body;
        }
        @wrong || counter('push_dropped') > $dropped + 20;
    } 60, 'full queues';
    is_deeply(\@wrong, [], "all of $n arrived at the keys behind");
    $_->drop for @slow, @fast;
};

subtest 'job marks the Kafka offset before delivery; a crash loses messages'
    => sub
{
    my @in = everywhere(room => 'crash://1');
    my $job = $c->job;
    my @sent;

    accepted($api->room(1000, 'crash', '1', 'before'), 'room');
    gets('before', $_, 'before') for @in;
    eventually { !$job->metrics->{goim_job_unacked_records} } 20,
        'all is delivered';

    # job has them and can't deliver them
    $redis->pause;
    for my $n (1 .. 20) {
        push @sent, "crash $n" if !$api->room(1000, 'crash', '1', "crash $n")
            ->{code};
    }
    is(scalar @sent, 20, '20 are accepted while Redis stands still');
    eventually { $job->metrics->{goim_job_unacked_records} == 20 } 20,
        'job took them';
    $job->kill9;
    $redis->resume;
    $job->start;
    gets('kill -9, and all are there', $_, @sent) for @in;

    accepted($api->room(1000, 'crash', '1', 'after'), 'room');
    gets('and what comes then', $_, 'after') for @in;
    silent('crash', @in);
    $_->close for @in;
};

subtest '10 packets queued a connection, the rest dropped without a word'
    => sub
{
    my @many = map { client($_, 0, key => "burst $_") } @kinds;
    accepted($api->keys(1000, [map { ("burst $_") x 300 } @kinds], 'burst'),
        '300 at once');
    gets("$_->{auth}{key}: all 300", $_, ('burst') x 300) for @many;
    $_->close for @many;

    # who does not read has them counted (node 0: drop) ...
    for my $kind (@kinds) {
        my $slow = client($kind, 0, key => "slow $kind");
        my ($before, $sent, %got) = (counter('push_dropped'), 0);
        my $dropped = sub { counter('push_dropped') - $before };

        wait_for {
            $sent++;
            die "not accepted\n" if $api->keys(1000, [("slow $kind") x 100],
                "$sent " . 'x' x 10_000)->{code};
            $dropped->();
        } 60, 'a full queue';

        my ($last, $order, $n) = (0, 1, 0);
        wait_for {
            while (my $p = $slow->push(0.2)) {
                my ($call) = split / /, $p->{body};
                $order = 0 if $call < $last;
                $last = $call;
                $n++;
            }
            $n + $dropped->() == 100 * $sent;
        } 60, 'each is there or counted';
        ok($order, "$kind: of @{[100 * $sent]} in order $n arrived, the rest"
            . ' was counted');
        $slow->close;
    }

    # ... or is closed (node 1)
    $c->node(1)->configure(goim => { queue_size => '64k' })->reload;
    for my $kind (@kinds) {
        my $slow = client($kind, 1, key => "closed $kind");
        my $before = counter('slow_closed', 1);
        wait_for {
            $api->keys(1000, [("closed $kind") x 100], 'x' x 10_000);
            counter('slow_closed', 1) > $before;
        } 60, "$kind: closed and counted";
        ok($slow->closed, "$kind: it is closed");
    }
};

subtest 'a room message waits up to 1 s for company' => sub {
    my @in = everywhere(room => 'company://1');
    my ($ws) = @in;
    my ($start, $batches) = (Time::HiRes::time(), $ws->{batches});
    my $late;

    for my $n (1 .. 20) {
        $late = $n if $api->room(1000, 'company', '1', "alone $n")->{code};
        for (@in) {
            my $p = $_->push(20) || {};
            $late = $n if ($p->{body} || '') ne "alone $n";
        }
    }
    is($late, undef, '20, each after the one before has arrived');
    cmp_ok(Time::HiRes::time() - $start, '<', 20 * slow(),
        'did not wait a second each');
    is($ws->{batches} - $batches, 20, 'each alone');

    # under load they share frames
    my @workers = $c->node(0)->workers;
    hit 'STOP', @workers;
    my $codes = grep { $api->room(1000, 'company', '1', "load $_")->{code} }
        1 .. 50;
    hit 'CONT', @workers;
    is($codes, 0, '50 for workers that have no time');
    gets('all arrive', $_, map { "load $_" } 1 .. 50) for @in;
    cmp_ok($ws->{batches} - $batches, '<', 70, 'in fewer frames');
    $_->close for @in;
};

subtest 'pushes to one key overtake each other (32 routines, round robin)'
    => sub
{
    my @to = map { client($_, 0, key => "order $_", room => "order://$_") }
        @kinds;
    my @other = map { client('ws', 1, key => "beside $_", mid => 80) } 1 .. 8;
    my @mids = map { $_->{auth}{mid} } @to;
    my @keys = map { $_->{auth}{key} } @to, @other;

    # alone, in lists, and by user
    my $failed = 0;
    for my $n (1 .. 300) {
        my $r = $n % 3 == 0 ? $api->mids(1000, [80, @mids], "key $n")
            : $n % 3 == 1 ? $api->keys(1000, \@keys, "key $n")
            : $api->keys(1000, [@keys[0, 1]], "key $n");
        $failed++ if $r->{code};
    }
    is($failed, 0, '300 pushes to keys');
    gets("$_->{auth}{key}: in order", $_, map { "key $_" } 1 .. 300) for @to;

    for my $n (1 .. 200) {
        $failed += grep { $api->room(1000, 'order', $_, "room $n")->{code} }
            @kinds;
    }
    is($failed, 0, '200 to rooms');
    gets("$_->{auth}{room}: in order", $_, map { "room $_" } 1 .. 200)
        for @to;
    silent('order', @to);
    $_->close for @to, @other;
};

# what the end of a session says to logic comes a moment after it
sub stale {
    return $c->logic->metrics->{goim_logic_stale_disconnects_total};
}

subtest 'a reconnect with the same key: the old connection\'s end deletes the'
    . ' new mapping' => sub
{
    for my $kinds (['ws', 'ws'], ['ws', 'tcp'], ['tcp', 'ws'],
        ['tcp', 'tcp'])
    {
        my $name = "$kinds->[0], then $kinds->[1]";
        my %who = (mid => 90, key => 'again');
        my $stale = stale();
        my $old = client($kinds->[0], 0, %who);
        my $new = client($kinds->[1], 0, %who);

        eventually { stale() == $stale + 1 } 20,
            "$name: logic heard the end of the older one";
        is($redis->cmd('GET', 'key_again'), 'comet-1', "$name: key");
        is_deeply($redis->hgetall('mid_90'), { again => 'comet-1' },
            "$name: user");
        accepted($api->keys(1000, ['again'], 'key'), $name);
        gets("$name: by its key it is reached", $new, 'key');
        accepted($api->mids(1000, [90], 'mid'), $name);
        gets("$name: as a user too", $new, 'mid');

        $new->close;
        eventually { !$redis->cmd('EXISTS', 'key_again', 'mid_90') } 20,
            "$name: its own end takes the mapping";
        $old->drop;
    }
};

subtest 'the same key on two nodes: both stay' => sub {
    for my $kinds (['ws', 'tcp'], ['tcp', 'ws']) {
        for my $node (0, 1) {
            my $name = "$kinds->[0] on node $node, then $kinds->[1]";
            my %who = (mid => 91, key => 'moves');
            my $old = client($kinds->[0], $node, %who);
            my $new = client($kinds->[1], 1 - $node, %who);

            is($old->closed, $old->{tcp} ? 'eof' : 1008,
                "$name: the older one is closed");
            is($old->transport->reason, 'replaced', "$name: and told why")
                if !$old->{tcp};
            accepted($api->mids(1000, [91], 'one'), $name);
            gets("$name: the newer one is there", $new, 'one');
            $new->close;
        }
    }
};

subtest 'counts of emptied rooms stay for minutes; heartbeat shows the'
    . ' bucket\'s count' => sub
{
    my @in = map { everywhere(room => 'count://1') } 1 .. 3;
    my $one = client('ws', 0, room => 'count://2');

    # by heartbeat to each of them, and by both calls of the API
    my $counts = sub {
        my ($n) = @_;
        return 0 if grep { $_->heartbeat != $n } @in;
        my $room = $api->online_room('count', ['1'])->{data};
        my ($top) = grep { $_->{room_id} eq '1' }
            @{ $api->online_top('count', 10)->{data} };
        return $room->{1} == $n && ($top ? $top->{count} : 0) == $n;
    };
    eventually { $counts->(12) } 20,
        'everyone sees all of the cluster, whatever worker and node';
    (shift @in)->close for 1 .. 5;
    eventually { $counts->(7) } 20, 'also after some left';
    my @moved = splice @in, 0, 3;
    $_->change_room('count://2') for @moved;
    eventually { $counts->(4) } 20, 'and some went elsewhere';
    eventually { $one->heartbeat == 4 } 20, 'where they are counted';
    (shift @in)->drop for 1 .. 4;
    eventually { $counts->(0) } 20, 'an emptied room has nobody';
    $_->close for $one, @moved;
};

subtest 'changing to the room one is in as its only member: no more messages'
    => sub
{
    for my $kind (@kinds) {
        my $client = client($kind, 0, room => "only://$kind");
        is($client->change_room("only://$kind")->{body}, "only://$kind",
            "$kind: into the room it is in");
        is($client->heartbeat, 1, "$kind: it is in it");
        accepted($api->room(1000, 'only', $kind, 'still'), $kind);
        gets("$kind: messages go on", $client, 'still');
        $client->close;
    }
};

done_testing;
