# Many sessions end at once: logic hears of all of them, in few calls, also
# when worker_shutdown_timeout ends every connection there is.

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Packet qw(pack_packet);
use Goim::Socket;
use Goim::Test;
use Goim::WS;

my $n = 3000;
my $c = Goim::Cluster->new(workers => 1, nginx => { connections => 8000,
    main => 'worker_shutdown_timeout 1s;' });
my ($node, $redis, $logic) = ($c->node, $c->redis, $c->logic);

# clients that log in and then do nothing
sub crowd {
    my ($name) = @_;
    my @sockets = map {
        my $s = Goim::Socket->new(port => $node->{port});
        $s->write("GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            . Goim::WS::frame(binary => pack_packet(7,
                qq({"mid":$_,"key":"$name-$_"}), seq => 1)));
        $s } 1 .. $n;
    wait_for { $node->status->{authorized} == $n } 60, 'all are in';
    return \@sockets;
}


sub left {
    my ($name) = @_;
    return $redis->cmd('EXISTS', map { ("sess_$name-$_", "key_$name-$_",
        "mid_$_") } 1 .. $n);
}

sub metric { return $logic->metrics->{"goim_logic_$_[0]_total"} }

sub ends {
    my ($name, $end) = @_;
    my $sockets = crowd($name);
    is left($name), 3 * $n, "$name: all are stored";
    my ($calls, $heard) = (metric('rpc_calls'), metric('disconnects'));

    $end->($sockets);
    eventually { left($name) == 0 } 20, "$name: nothing is left of them";
    is metric('disconnects') - $heard, $n, 'logic has heard of each';
    cmp_ok metric('rpc_calls') - $calls, '<', $n / 4, 'in few calls';
    return $sockets;
}

ends('reload', sub {
    my ($old) = $node->workers;
    $node->signal('HUP');
    wait_for { !kill 0, $old } 30, 'the old worker has gone';
});

ends('clients', sub { $_->drop for splice @{ $_[0] } });

# those whom logic does not hear are told when it is back
my $sockets = crowd('away');
$logic->pause;
$_->drop for splice @$sockets;
wait_for { $node->status->{sessions} == 0 } 20, 'all have gone';
$logic->resume;
eventually { left('away') == 0 } 30, 'away: nothing is left of them';
is $node->status->{counters}{ends_dropped}, 0, 'none was dropped';

# the last of a node that stops, which says goodbye in the same sweep
ends('quit', sub {
    my ($old) = $node->workers;
    $node->signal('QUIT');
    wait_for { !kill 0, $old } 30, 'the worker has gone';
});
eventually { !@{ $c->api->nodes_instances->{data} } } 5,
    'the node has left the registry';

done_testing;
