# ASAN: no (ten thousand connections)
#
# Ten thousand handshakes that are begun and never ended, of each kind: they cost
# little, others are served meanwhile, and all of them are closed in time; also
# when there are more of them than the node has connections.

use strict;
use warnings;

use Socket qw(PF_INET SOCK_STREAM inet_aton pack_sockaddr_in);
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Packet qw(pack_packet);
use Goim::Test;

# some are only dropped when the node has no place, which nginx says
allow_log(qr/\d+ worker_connections are not enough/);

my $upgrade = "GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
my $auth = pack_packet(7, '{"mid":1}', seq => 1);

my @kinds = (
    ['nothing at all', 'port', ''],
    ['half a head', 'port', substr $upgrade, 0, 90],
    ['an upgrade, and no auth', 'port', $upgrade],
    ['an upgrade, and half a frame', 'port', $upgrade . "\x82"],
    ['nothing over TCP', 'tcp_port', ''],
    ['half a packet over TCP', 'tcp_port', substr $auth, 0, 20],
);

# $n connections, of each kind as many
sub flood {
    my ($node, $n) = @_;
    my @all;

    for my $i (0 .. $n - 1) {
        my (undef, $port, $data) = @{ $kinds[$i % @kinds] };
        socket my $s, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
        connect $s, pack_sockaddr_in($node->{$port}, inet_aton('127.0.0.1'))
            or die "connect: $!";
        local $SIG{PIPE} = 'IGNORE';
        syswrite $s, $data if length $data;
        IO::Handle::blocking($s, 0);
        push @all, $s;
    }
    return \@all;
}

# how many are still open
sub open_ones {
    my ($all) = @_;

    @$all = grep {
        my $got;
        1 while $got = sysread $_, my $buf, 4096;
        !defined $got && $!{EAGAIN};
    } @$all;
    return scalar @$all;
}

sub memory {
    my ($node) = @_;
    my $kb = 0;
    $kb += slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die
        for $node->workers;
    return $kb;
}

sub cluster {
    my ($connections) = @_;
    my $time = 3 * slow() . 's';
    return Goim::Cluster->new(workers => 2, nginx => { tcp => 1,
        connections => $connections, http => "client_header_timeout $time;",
        goim => { handshake_timeout => $time } });
}

sub served {
    my ($c, $client, $name) = @_;
    is $c->api->room(1000, 'live', '1', $name)->{code}, 0, "$name: accepted";
    my $p = $client->push;
    is $p && $p->{body}, $name, "$name: who was there is served";
}

my %who = (accepts => [1000], room => 'live://1');

subtest 'ten thousand' => sub {
    my $n = 10_000;
    my $c = cluster($n);
    my $node = $c->node;
    my $there = $c->client(%who, mid => 1);

    served($c, $there, 'before');
    my $before = memory($node);
    my $all = flood($node, $n);
    cmp_ok open_ones($all), '>', $n / 2, 'most of them are open';

    served($c, $there, 'meanwhile');
    my $new = $c->client(%who, mid => 2, transport => 'tcp');
    served($c, $new, 'who comes');
    cmp_ok memory($node) - $before, '<', $n * 8, 'less than 8 KB each'
        or diag memory($node) - $before;

    eventually { open_ones($all) == 0 } 20, 'all are closed in time';
    eventually { $node->status->{sessions} == 2 } 10, 'nothing is left of them';
    $there->pushes(1);
    served($c, $_, 'after') for $there, $new;
};

subtest 'more than the node takes' => sub {
    my $c = cluster(200);
    my $node = $c->node;
    my $there = $c->client(%who, mid => 1);

    served($c, $there, 'before');
    my $all = flood($node, 1_000);
    served($c, $there, "meanwhile $_") for 1 .. 3;
    eventually { open_ones($all) == 0 } 20, 'all are closed';

    my $new = $c->client(%who, mid => 2);
    served($c, $new, 'who comes');
};

done_testing;
