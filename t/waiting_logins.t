# Logins that come too early wait: for the node's registration, many at a time,
# and for a new worker's first link to logic.

# ASAN: no

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Packet qw(pack_packet);
use Goim::Proxy;
use Goim::Socket;
use Goim::Test;
use Goim::WS;

my $n = 3000;
my $c = Goim::Cluster->new(workers => 1, nginx => { connections => 8000,
    goim => { handshake_timeout => '60s', logic_timeout => '3s' } });
my ($node, $logic) = ($c->node, $c->logic);

sub auths { return $node->status->{counters}{auths} }
sub failed { return $node->status->{counters}{auth_failed} }

subtest 'thousands wait for the registration' => sub {
    $logic->stop;
    $node->stop;
    $node->start;
    $node->reader;

    my @waiting = map {
        my $s = Goim::Socket->new(port => $node->{port});
        $s->write("GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            . Goim::WS::frame(binary => pack_packet(7,
                qq({"key":"w$_"}), seq => 1)));
        $s } 1 .. $n;
    wait_for { $node->status->{sessions} == $n } 30, 'all are there';
    is auths(), 0, 'nobody is in';
    my $leases = $node->status->{counters}{leases};

    $logic->start;
    eventually { auths() == $n } 30, 'then everybody is';
    is failed(), 0, 'nobody was refused';
    is $node->status->{counters}{leases}, $leases,
        'the worker was never taken for one that hangs';
    $_->drop for @waiting;
};

subtest 'a login just after a reload' => sub {
    my $proxy = Goim::Proxy->new(to => $logic->{rpc_port}, late => 0.4);
    $node->configure(logic => [$proxy->addr]);
    my $failed = failed();

    for my $round (1 .. 3) {
        my ($old) = $node->workers;
        $node->signal('HUP');
        wait_for { grep { $_ != $old } $node->workers } 20, 'a new worker';
        my @clients = map { $c->client(auth => 0) } 1 .. 10;
        $_->send(7, qq({"key":"r$_"})) for @clients;
        is scalar(grep { ($_->reply || { op => 0 })->{op} == 8 } @clients),
            10, 'waits for the link to logic, and is in';
        $_->close for @clients;
    }
    is failed(), $failed, 'none has failed';

    # but not for a logic that is not there
    $proxy->kill9;
    wait_for {
        my $client = eval { $c->client(auth => 0) };
        $client && $client->send(7, '{}') && ($client->closed(10) || 0)
            == 1013;
    } 30, 'it is told soon that there is no logic';
    my $client = $c->client(auth => 0);
    $client->send(7, '{}');
    my $start = Time::HiRes::time();
    is $client->closed(10), 1013, 'at once, as the worker is not new';
    cmp_ok Time::HiRes::time() - $start, '<', 2 * slow(), 'that is soon';
};

done_testing;
