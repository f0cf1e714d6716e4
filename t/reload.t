# Reloads, binary upgrades and stops under traffic: workers that leave go on
# serving their clients, and nobody misses a message or gets one twice.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::Test;
use Goim::Traffic;

my $next = 0;

# $n clients in the room, each with a key of its own; of the traffic they get
# all but the keys', and those whose key is in @keys get these too
sub join_room {
    my ($c, $n, %arg) = @_;
    return Goim::Traffic::came(map { $c->client(mid => ++$next,
        key => "key$next", room => 'live://1', accepts => [1000], %arg) }
        1 .. $n);
}

sub traffic {
    my ($c, @keyed) = @_;
    return Goim::Traffic->new(apis => [$c->api], to => {
        room => ['live', '1'], all => [],
        keys => [map { $_->{auth}{key} } @keyed] });
}

sub arrives {
    my ($traffic, $name, $all, $keyed) = @_;
    $traffic->arrives($name, room => $all, all => $all, keys => $keyed);
}

# everybody the node holds is counted, wherever it sits
sub counted {
    my ($c, $n, $name) = @_;
    eventually {
        my $st = $c->node->status;
        $st->{sessions} == $n && $st->{authorized} == $n && $st->{rooms} == 1
            && $st->{addrs} == 1;
    } 10, $name or diag explain $c->node->status;
}

subtest 'reloads' => sub {
    my $c = Goim::Cluster->new(workers => 2, nginx => { http =>
        'proxy_cache_path tmp/cache keys_zone=cache:1m;' });
    my $node = $c->node;
    my @first = join_room($c, 6);
    my $traffic = traffic($c, @first);
    my @all = @first;

    # changed numbers of workers too
    for my $workers (2, 4, 1, 2) {
        $traffic->more(30);
        $node->configure(workers => $workers);
        $node->reload;
        push @all, join_room($c, 4);
    }
    $traffic->more(30);

    # faster than anything settles
    $node->reload for 1 .. 3;
    push @all, join_room($c, 4);
    $traffic->finish;

    arrives($traffic, 'nobody misses anything', \@all, \@first);
    is($traffic->refused, '', 'every message was accepted');
    counted($c, scalar @all, 'all are counted');
    is($_->heartbeat, scalar @all, 'heartbeats tell the room\'s number')
        for @all[0, 7, -1];

    my $st = $node->status;
    ok($st->{draining} >= 2, 'workers are draining');
    ok($node->reader, 'a worker of the newest generation reads');
    is($st->{counters}{holes}, 0, 'no hole in the stream');
    is($st->{counters}{lapped}, 0, 'no worker fell behind');
    ok($node->error_log =~ /start cache manager process/,
        'beside a cache manager');

    $_->close for @first;
    counted($c, @all - @first, 'who left is no longer counted');
    $_->close for @all;
    eventually { !$node->draining } 20, 'workers without clients leave';
    eventually { $node->status->{sessions} == 0 } 10, 'nobody is left';
    $st = $node->status;
    is($st->{workers}, 2, 'two workers');
    is($st->{addrs}, 0, 'no address');
    eventually { $node->status->{rooms} == 0 } 10, 'no room';
    eventually { $c->redis->cmd('EXISTS', 'key_key1', 'sess_key1') == 0 } 10,
        'logic forgot the sessions';
    $node->stop;
};

subtest 'a resized zone, and what a reload must not change' => sub {
    my $c = Goim::Cluster->new(workers => 2);
    my $node = $c->node;
    my @old = join_room($c, 4);
    my $traffic = traffic($c, @old);
    my $zone = $node->status->{zone_id};

    # refused: the old configuration goes on
    allow_log(qr/\[emerg\].*"(?:server_id|redis)" in "goim" cannot be changed/);
    my @workers = $node->workers;
    for my $case ([server_id => { server_id => 'another' }],
        [redis => { redis => '127.0.0.1:1' }])
    {
        my ($name, $what) = @$case;
        my $before = { server_id => $node->{server_id},
            redis => $node->{redis} };
        $node->configure(%$what);
        hit 'HUP', $node->master;
        eventually { $node->error_log =~ /\[emerg\].*"$name"/ } 10,
            "a reload that changes $name is refused by name";
        $node->configure(%$before);
    }
    is_deeply([$node->workers], \@workers, 'the same workers go on');
    $traffic->more(30);

    # two zones for a while
    $node->configure(goim => { zone => 'goim 24m' });
    $node->reload;
    $node->wait_registered;
    isnt($node->status->{zone_id}, $zone, 'another zone');
    my @new = join_room($c, 5);
    $traffic->more(60);
    is($node->status->{sessions}, 5, 'its sessions');
    eventually { $old[0]->heartbeat == 9 && $new[0]->heartbeat == 9 } 15,
        'the room is counted over both zones';
    eventually { ($c->api->online_total->{data}{conn_count} || 0) == 9 } 15,
        'so are the connections' or diag explain $c->api->online_total;
    is($c->api->online_room('live', ['1'])->{data}{1}, 9, 'online/room too');
    my ($instance, @more) = @{ $c->api->nodes_instances->{data} };
    is($instance->{metadata}{offline}, 'false', 'the node is not offline');
    is(scalar @more, 0, 'and it is one');

    # a key comes back on the new zone: the older session leaves the old one
    my $again = $c->client(mid => $old[0]{auth}{mid},
        key => $old[0]{auth}{key}, room => 'live://1', accepts => [1000]);
    Goim::Traffic::came($again);
    is($old[0]->closed, 1008, 'the same key in the new zone replaces');

    shift @old;
    $traffic->finish;
    arrives($traffic, 'both zones deliver', [@old, @new, $again],
        [@old, $again]);

    $_->close for @old;
    eventually { !$node->draining } 20, 'the old workers leave';
    eventually { $c->redis->cmd('HEXISTS', 'goim:nodes:zones:comet-1',
        $zone) == 0 } 10, 'and their zone is deregistered';
    ok($node->status->{registered}, 'the new one stays');
    is($c->api->room(1000, 'live', '1', 'on')->{code}, 0, 'accepted');
    $_->{pushes} = [] for @new;
    is($_->push->{body}, 'on', 'and goes on') for @new;
    $node->stop;
};

subtest 'binary upgrade' => sub {
    # a new binary gets no environment but this
    my $c = Goim::Cluster->new(workers => 2, nginx => { daemon => 1,
        main => 'env ASAN_OPTIONS; env UBSAN_OPTIONS;' });
    my $node = $c->node;
    my @old = join_room($c, 4);
    my $traffic = traffic($c, @old);
    my $zone = $node->status->{zone_id};

    $traffic->more(30);
    my $master = $node->upgrade;

    # both take new clients for a while
    $traffic->more(30);
    push @old, join_room($c, 6);
    $traffic->more(30);
    hit 'QUIT', $master;
    wait_for { @{[grep { Goim::Nginx::title($_) =~ /shutting down/ }
        Goim::Proc::children($master)]} == 2 } 20, 'the old workers drain';

    # the status page is the new one's now
    $node->wait_registered;
    isnt($node->status->{zone_id}, $zone, 'another zone');
    my @new = join_room($c, 4);
    $traffic->more(60);
    eventually { !grep { $_->heartbeat != 14 } @old, @new } 15,
        'the room is counted over both';
    $traffic->finish;
    arrives($traffic, 'nobody misses anything', [@old, @new],
        [@old[0 .. 3]]);

    $_->close for @old;
    eventually { !Goim::Proc::running($master) } 20, 'the old nginx leaves';
    eventually { $c->redis->cmd('HEXISTS', 'goim:nodes:zones:comet-1',
        $zone) == 0 } 10, 'and its zone is deregistered';
    is($c->api->room(1000, 'live', '1', 'on')->{code}, 0, 'accepted');
    is($_->push->{body}, 'on', 'the new one goes on') for @new;
    $node->stop;
};

subtest 'QUIT with clients' => sub {
    my $port = free_port();
    my $c = Goim::Cluster->new(workers => 3, nginx => {
        server => "listen 127.0.0.1:$port reuseport;" });
    my $node = $c->node;
    my @all = join_room($c, 12, port => $port);
    my $traffic = traffic($c, @all);
    my $instances = sub {
        my $list = $c->api->nodes_instances->{data};
        return ref $list eq 'ARRAY' ? @$list : ();
    };

    ok(eval { Goim::HTTP::get("http://127.0.0.1:$node->{port}/goim/status") },
        'it answers');
    hit 'QUIT', $node->master;
    $traffic->more(60);
    ok($node->alive, 'nginx waits for its clients');
    eventually { my ($i) = $instances->();
        $i && $i->{metadata}{offline} eq 'true' } 15,
        'the node is listed as offline'
        or diag explain $c->api->nodes_instances;

    # the reader's role moves to those who still have clients
    while (@all > 2) {
        (shift @all)->close;
        $traffic->more(5);
    }
    $traffic->finish;
    arrives($traffic, 'they go on receiving, to the last', \@all, \@all);
    eventually { $all[0]->heartbeat == 2 } 10, 'heartbeats are answered';

    $_->close for @all;
    eventually { !$node->alive } 15, 'nginx leaves after the last';
    eventually { !$instances->() } 10, 'and the node is deregistered';
    like($node->error_log, qr/left the registry/, 'by itself');
};

subtest 'worker_shutdown_timeout' => sub {
    my $c = Goim::Cluster->new(workers => 2, nginx => {
        main => 'worker_shutdown_timeout 2s;' });
    my $node = $c->node;
    my @all = join_room($c, 4);
    my $traffic = traffic($c, @all);

    $traffic->more(10);
    $node->reload;
    my @new = join_room($c, 2);
    is($_->closed, 1001, 'a client of a worker whose time is up: going away')
        for @all;
    eventually { !$node->draining } 10, 'its worker left';
    $traffic->finish;
    $traffic->arrives('others are not disturbed', room => \@new,
        all => \@new);
    counted($c, 2, 'nobody is counted who left');
    eventually { $c->redis->cmd('EXISTS', map { "sess_$_->{auth}{key}" } @all)
        == 0 } 10, 'logic forgot them';
    $node->stop;
};

done_testing;
