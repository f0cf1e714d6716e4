# LONG
#
# Several nodes, logics and jobs on one machine: pushes reach who they are for,
# wherever that is, once and in order, also while a logic or a job is away.

use strict;
use warnings;

use lib 't/lib';
use Goim::Beside;
use Goim::Client;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Test;
use Goim::Traffic;

my $bus;

sub start_cluster {
    my %job = $bus eq 'kafka' ? (conf => { kafka => {
        'session.timeout.ms' => 2000, 'heartbeat.interval.ms' => 300 } }) : ();
    return Goim::Cluster->new(bus => $bus, nodes => 2, logics => 2, jobs => 2,
        workers => 2, job => \%job);
}

sub total {
    my ($api) = @_;
    my $data = $api->online_total->{data} || {};
    return $data->{conn_count} || 0;
}

# what the cluster says of room live://1, from every side
sub online {
    my ($c, $n, $name, @clients) = @_;
    eventually {
        !grep { $_->heartbeat != $n } @clients or return 0;
        for my $api ($c->api(0), $c->api(1)) {
            my $top = $api->online_top('live', 5)->{data};
            my $room = $api->online_room('live', ['1'])->{data};
            return 0 if ($room->{1} || 0) != $n || ref $top ne 'ARRAY'
                || !@$top || $top->[0]{count} != $n;
        }
        1;
    } 15, $name;
}

sub family {
    my $c = start_cluster();
    my ($api, $other_api) = ($c->api(0), $c->api(1));

    # six in the room on both nodes, one user with a device on each, and one
    # who is in another room
    my @in = map { $c->client(node => $_ % 2, mid => $_, key => "in$_",
        room => 'live://1', accepts => [1000]) } 1 .. 6;
    my @device = map { $c->client(node => $_, mid => 500, key => "device$_",
        room => 'live://2', accepts => [1000]) } 0, 1;
    my $out = $c->client(node => 1, mid => 7, key => 'out',
        room => 'live://3', accepts => [1001]);
    my @all = (@in, @device);

    is_deeply([map { $c->node($_)->status->{authorized} } 0, 1], [4, 5],
        'sessions are on both nodes');
    online($c, 6, 'the room is counted over both nodes', @in);
    eventually { total($api) == 9 && total($other_api) == 9 } 15,
        'and so are the connections';

    # ---- one logic away, then one job after the other

    my $traffic = Goim::Traffic->new(apis => [$api, $other_api], to => {
        room => ['live', '1'], all => [], keys => ['in1', 'in2', 'device1'],
        mids => [500, 1] });
    $traffic->more(40);
    my $refused = $traffic->refused;
    is($refused, '', 'every push was accepted');

    $c->logic(0)->stop;
    push @all, Goim::Traffic::came(my @late = map { $c->client(node => $_,
        mid => 10 + $_, key => "late$_", room => 'live://1',
        accepts => [1000]) } 0, 1);
    push @in, @late;
    $traffic->more(20);
    is_deeply([map { $_->call(4, 'x')->{op} } @late], [5, 5],
        'one logic away: the other takes the calls of both nodes');
    $c->logic(0)->start;

    $traffic->more(20);
    $c->job(0)->stop;
    $traffic->more(40);
    $c->job(0)->start;
    $traffic->more(20);
    $c->job(1)->kill9;
    $traffic->more(40);
    $traffic->finish;

    my $mids = [$in[0], @device];
    $traffic->arrives('each gets its own, once and in order', room => \@in,
        all => \@all, keys => [@in[0, 1], $device[1]], mids => $mids);
    is(scalar grep({ $_->{pushes} && @{ $_->{pushes} } } @all), 0,
        'nothing besides');
    ok(!(grep { $_->{traffic}{1}{room} } @device, $out),
        'nobody else gets what is for the room');
    ok(!(grep { $_->{traffic}{1}{keys} } @in[2 .. 5], $device[0], $out),
        'nobody else what is for keys');
    $out->pump;
    is(scalar @{ $out->{pushes} }, 0, 'who wants another operation: nothing');
    $c->job(1)->start;

    # ---- counts

    online($c, 8, 'who came is counted', @in);
    is($in[0]->change_room('live://2')->{body}, 'live://2', 'changes room');
    is((pop @in)->close, 1000, 'leaves') for 1 .. 2;
    online($c, 5, 'who left the room, or left, is not', @in[1 .. 5]);
    eventually { total($api) == 9 } 15, 'connections are counted too';
    is($in[0]->change_room('live://1')->{body}, 'live://1', 'comes back');
    online($c, 6, 'and is counted', @in);

    # ---- a key on another node

    my $first = $in[2];
    my $again = $c->client(node => 0, mid => $first->{auth}{mid},
        key => $first->{auth}{key}, room => 'live://1', accepts => [1000]);
    is($first->closed, 1008, 'a key that comes on another node replaces');
    is($first->transport->reason, 'replaced', 'and says so');
    is($c->node(1)->status->{counters}{replaced}, 1, 'it is counted');
    $in[2] = $again;
    is($api->keys(1000, ['in3'], 'to the newer')->{code}, 0, 'accepted');
    is($again->push->{body}, 'to the newer', 'pushes reach the newer one');
    online($c, 6, 'the room\'s number stays', @in);

    # the late goodbye of the older one takes nothing from the newer
    is($c->redis->cmd('HLEN', 'mid_3'), 1, 'the user has one key');
    is($c->redis->cmd('GET', 'key_in3'), 'comet-1', 'on this node');

    # ---- the same server_id twice

    allow_log(qr/\[emerg\].*"server_id" comet-1 is held by another/);
    my $twin = Goim::Nginx->new(server_id => 'comet-1',
        redis => $c->redis->addr, logic => [map { $_->rpc_addr }
        @{ $c->{logics} }], goim => { handshake_timeout => '1s' });
    eventually { $twin->error_log =~ /\[emerg\].*"server_id" comet-1 is held/ }
        10, 'another instance of the same server_id is refused';
    is($twin->status->{registered}, 0, 'it is not registered');
    my $lost = Goim::Client->new(port => $twin->{port}, mid => 1, key => 'x',
        auth => 0);
    $lost->send(7, '{"mid":1,"key":"x"}');
    isnt($lost->closed, undef, 'and lets nobody in');
    is(scalar @{ $lost->{replies} }, 0, 'no answer to auth');
    is($api->all(1000, 'last')->{code}, 0, 'accepted');
    is_deeply([map { $_->push->{body} } @in, @device], [('last') x 8],
        'the first one is not disturbed');

    # it gets the name when that is free
    $_->drop for @in, @device, $out;
    $c->node(0)->stop;
    $twin->wait_registered(30);
    my $heir = Goim::Client->new(port => $twin->{port}, mid => 1, key => 'heir',
        accepts => [1000]);
    is($api->keys(1000, ['heir'], 'hello')->{code}, 0, 'accepted');
    is($heir->push->{body}, 'hello', 'the name is the other\'s now');
    is($heir->close, 1000, 'goodbye');

    my @counters = map { $_->status->{counters} } $c->node(1), $twin;
    is_deeply([map { $_->{holes} } @counters], [0, 0], 'no holes');
    $_->stop for $twin, $c->node(1), @{ $c->{jobs} }, @{ $c->{logics} };
}

each_bus(sub {
    ($bus) = @_;
    family();
});

done_testing;
