# The TCP front: packets back to back, plain and under TLS, behind proxies, and
# what a stream { } with goim_subscribe may hold.

use strict;
use warnings;

use lib 't/lib';

use Goim::Client;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Packet qw(pack_packet parse_packet);
use Goim::TCP;
use Goim::Test;

my @modules = ('ngx_goim_module.so', Goim::Nginx::stream_modules());
my %port = map { $_ => free_port() } qw(tcp tcps preread proxy proxys plain);

my $stream = <<"CONF";
stream {
    log_format goim '\$remote_addr \$status \$bytes_received \$bytes_sent';
    access_log stream.log goim;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;

    server { listen 127.0.0.1:$port{tcp}; goim_subscribe; }
    server { listen 127.0.0.1:$port{tcps} ssl; goim_subscribe; }
    server {
        listen 127.0.0.1:$port{preread};
        ssl_preread on;
        goim_subscribe;
    }
    server {
        listen 127.0.0.1:$port{proxy} proxy_protocol;
        listen 127.0.0.1:$port{proxys} proxy_protocol ssl;
        set_real_ip_from 127.0.0.1;
        goim_subscribe;
    }
    server { listen 127.0.0.1:$port{plain} proxy_protocol; goim_subscribe; }
}
CONF

my $c = Goim::Cluster->new(workers => 2, nginx => { ssl => 1,
    modules => \@modules, tail => $stream, goim => { max_per_addr => 500 } });
my $api = $c->api;

sub client {
    my ($kind, %arg) = @_;
    return $c->client(transport => $kind =~ /s$/ ? 'tcps' : 'tcp',
        port => $port{$kind}, %arg);
}

sub raw {
    my ($kind, %arg) = @_;
    return Goim::TCP->new(port => $port{$kind}, ssl => $kind =~ /s$/ ? 1 : 0, %arg);
}

# ---- packets ---------------------------------------------------------------------

my %answer = (7 => 8, 2 => 3, 4 => 5, 14 => 15, 16 => 17, 12 => 13);

sub requests {
    my ($n) = @_;
    my @op = (2, 4, 14, 100, 2, 16, 4, 12);
    my %body = (12 => 'live://1', 14 => '1,2', 16 => '1', 4 => 'message',
        100 => 'any');
    return ([7, 1, '{"mid":1}'],
        map { my $op = $op[$_ % @op]; [$op, $_ + 1, $body{$op}] } 1 .. $n);
}

sub bytes {
    return join '', map { pack_packet($_->[0], $_->[2], seq => $_->[1]) } @_;
}

sub answered {
    my ($name, $t, @requests) = @_;
    my @want = map { [exists $answer{$_->[0]} ? $answer{$_->[0]} : $_->[0],
        $_->[1]] } @requests;
    my @got;
    while (@got < @want) {
        my $m = $t->recv or last;
        my $p = parse_packet(\$m->{data});
        push @got, [@$p{qw(op seq)}];
    }
    is_deeply(\@got, \@want, $name);
}

for my $kind (qw(tcp tcps preread)) {
    for my $n (0, 1, 10, 3000) {
        my @requests = requests($n);
        my $t = raw($kind);
        $t->send_raw(bytes(@requests));
        answered("$kind: $n behind auth, at once", $t, @requests);
        $t->drop;
    }
    for my $size (1, 3, 15, 16, 17, 40) {
        my @requests = requests(12);
        my $t = raw($kind);
        $t->send_raw($_) for bytes(@requests) =~ /.{1,$size}/sg;
        answered("$kind: pieces of $size bytes", $t, @requests);
        $t->drop;
    }
    {
        my @requests = (requests(1), [4, 9, 'x' x 4096], [2, 10, '']);
        my $t = raw($kind);
        $t->send_raw($_) for bytes(@requests) =~ /.{1,700}/sg;
        answered("$kind: a long packet in pieces", $t, @requests);
        $t->drop;
    }
}

# ---- what is wrong closes at once, before the packet is there ----------------------

for my $kind (qw(tcp tcps)) {
    my $bystander = client($kind, mid => 5);
    my $errors = $c->node->status->{counters}{protocol_errors};
    my $n = 0;

    for my $auth (0, 1) {
        for (
            ['length 0', pack 'N', 0],
            ['length 15', pack 'N', 15],
            ['length 4113', pack 'N', 4113],
            ['length -1', pack 'N', 0xffffffff],
            ['length -2^31', pack 'N', 0x80000000],
            ['header length 15', pack 'Nn', 16, 15],
            ['header length 0', pack 'Nn', 16, 0],
            ['header length 0x1010', pack 'Nn', 20, 0x1010],
            ['text', "GET / HTTP/1.1\r\n\r\n"],
        ) {
            my ($name, $bytes) = @$_;
            my $client = client($kind, auth => $auth);
            $client->transport->send_raw($bytes);
            ok($client->closed, "$kind: $name, auth $auth: closed");
            is_deeply($client->{replies}, [], "$kind: $name: no reply");
            $n++;
        }
    }
    {
        my $t = raw($kind);
        $t->send_raw(bytes(requests(3)) . pack('N', 4113));
        # more behind it, which must not hide the answers
        eval { $t->send_raw('x' x 50_000) };
        answered("$kind: what came before is answered", $t, requests(3));
        ok($t->closed, "$kind: then it is closed");
        $n++;
    }
    is($c->node->status->{counters}{protocol_errors} - $errors, $n,
        "$kind: they are counted");
    is($bystander->heartbeat, 0, "$kind: another is not disturbed");
    $bystander->drop;
}

# gone in the middle of anything
for my $bytes ('', "\0", pack('N', 100), bytes(requests(5)),
    bytes(requests(5)) . 'x')
{
    for my $reset (0, 1) {
        for my $kind (qw(tcp tcps)) {
            my $t = raw($kind);
            $t->send_raw($bytes) if length $bytes;
            $t->drop(reset => $reset);
        }
    }
}
eventually { $c->node->status->{sessions} == 0 } 10, 'all are gone';

# ---- pushes ------------------------------------------------------------------------

for my $kind (qw(tcp tcps)) {
    my @in = map { client($kind, mid => $_, key => "$kind$_",
        room => "live://$kind", accepts => [1000]) } 1 .. 5;
    my $ws = $c->client(mid => 9, room => "live://$kind", accepts => [1000]);

    eventually { !grep { $_->heartbeat != 6 } @in } 10,
        "$kind: a room is one for both fronts";

    is($api->room(7, 'live', $kind, 'one')->{code}, 0, "$kind: room");
    is($api->keys(1000, ["${kind}1"], 'two')->{code}, 0, "$kind: key");
    my @got = sort { $a->{body} cmp $b->{body} } $in[0]->pushes(2);
    is_deeply(\@got, [
        { op => 7, ver => 1, seq => 0, body => 'one' },
        { op => 1000, ver => 1, seq => 0, body => 'two' },
    ], "$kind: inner packets only");
    is_deeply([map { $_->push->{body} } @in[1 .. 4], $ws], [('one') x 5],
        "$kind: all in the room have it");

    # many of a turn, which share a frame on WebSocket
    my @many = map { "message $_" } 1 .. 300;
    my $accepted = grep { $api->room(1000, 'live', $kind, $_)->{code} == 0 }
        @many;
    is($accepted, 300, "$kind: 300 pushes in a row");
    for my $client (@in, $ws) {
        is_deeply([map { $_->{body} } $client->pushes(300)], \@many,
            "$kind: in order, none lost, none twice");
    }

    my $bytes = join '', map { chr($_ % 256) } 0 .. 99_999;
    is($api->room(1000, 'live', $kind, $bytes)->{code}, 0, "$kind: room");
    is_deeply([map { ($_->push || {})->{body} eq $bytes } @in], [(1) x 5],
        "$kind: 100,000 bytes of every value");

    # operation 9 is not answered here, and nothing waits for it
    $in[0]->send(9, 'whatever');
    is($in[0]->call(4, 'next')->{op}, 5, "$kind: operation 9: no answer");

    $_->close for @in, $ws;
}

# ---- addresses ---------------------------------------------------------------------

sub proxied {
    my ($kind, $from, %arg) = @_;
    my $family = $from =~ /:/ ? 'TCP6' : 'TCP4';
    my $to = $from =~ /:/ ? '::1' : '127.0.0.1';
    return client($kind, proxy => "PROXY $family $from $to 5000 3101\r\n",
        %arg);
}

sub totals {
    my $data = $api->online_total->{data} || {};
    return join ' ', map { defined $data->{$_} ? $data->{$_} : '-' }
        qw(conn_count ip_count);
}

{
    eventually { totals() eq '0 0' } 15, 'nobody is there';

    my @clients = (proxied('proxy', '203.0.113.1', mid => 1),
        proxied('proxy', '203.0.113.2'), proxied('proxy', '203.0.113.2'),
        proxied('proxys', '203.0.113.3'), proxied('proxy', '2001:db8::5'));

    # version 2 of that protocol
    push @clients, client('proxy', proxy => "\r\n\r\n\0\r\nQUIT\n"
        . pack('CCn', 0x21, 0x11, 12) . pack('C4C4nn', 203, 0, 113, 4,
        127, 0, 0, 1, 5000, 3101));

    is($c->node->status->{addrs}, 5, 'realip: distinct addresses');
    eventually { totals() eq '6 5' } 15, 'realip: logic counts them';

    # the address is not believed without set_real_ip_from
    my $plain = proxied('plain', '203.0.113.77');
    eventually { totals() eq '7 6' } 15, 'no realip: the proxy is the client';

    $clients[0]->send(5, 'x' x 5000);
    ok($clients[0]->closed, 'closed');
    my $log = $c->node->error_log;
    ok($log =~ /length out of range.*client: 203\.0\.113\.1, front: tcp/,
        'the log names the address');
    ok($log !~ /203\.0\.113\.77, front/, 'and not one that is not believed');
    $_->close for @clients, $plain;

    eventually { slurp($c->node->{dir} . '/stream.log')
        =~ /^203\.0\.113\.2 200 [1-9]\d* [1-9]\d*$/m } 10,
        'stream\'s access log: address, status, bytes';
    eventually { totals() eq '0 0' } 15, 'all are gone';
}

# ---- memory ------------------------------------------------------------------------

SKIP: {
    skip 'a sanitizer keeps what was freed', 1 if asan();

    my $node = Goim::Nginx->new(redis => $c->redis->addr, workers => 1,
        logic => '127.0.0.1:1', server_id => 'memory', tcp => 1,
        goim => { handshake_timeout => '60s' });
    my ($worker) = $node->workers;
    my $memory = sub {
        my ($kb) = slurp("/proc/$worker/smaps_rollup")
            =~ /^Anonymous:\s+(\d+) kB/m;
        return $kb * 1024;
    };
    my $more = sub {
        my ($n) = @_;
        my @t = map { Goim::TCP->new(port => $node->{tcp_port}) } 1 .. $n;
        my $want = $node->status->{sessions};
        return @t;
    };
    my @some = $more->(200);
    eventually { $node->status->{sessions} == 200 } 10, 'some are there';
    my $before = $memory->();
    push @some, $more->(700);
    eventually { $node->status->{sessions} == 900 } 10, 'and more';
    cmp_ok(($memory->() - $before) / 700, '<=', 2048,
        'bytes of an idle connection');
    $node->stop;
}

# ---- limits, reload, shutdown --------------------------------------------------------

{
    my $node = Goim::Nginx->new(redis => $c->redis->addr, workers => 1,
        logic => $c->logic->rpc_addr, server_id => 'limits', tcp => 1,
        goim => { max_per_addr => 2 }, main => 'worker_shutdown_timeout 3s;');
    $node->wait_registered;
    my @clients = map { Goim::Client->new(transport => 'tcp', mid => 70 + $_,
        port => $node->{tcp_port}, accepts => [1000]) } 1 .. 2;
    my $t = Goim::TCP->new(port => $node->{tcp_port});
    ok($t->closed, 'max_per_addr: one too many is closed');
    is($node->status->{counters}{refused}, 1, 'and counted');
    is($_->heartbeat, 0, 'the others stay') for @clients;

    $node->reload;
    is($api->mids(1000, [71], 'after a reload')->{code}, 0, 'accepted');
    is(($clients[0]->push || {})->{body}, 'after a reload',
        'a draining worker delivers');
    is($clients[1]->closed, 'eof', 'worker_shutdown_timeout ends them');
    eventually { $node->status->{sessions} == 0 } 10, 'and their places';
    eventually { !$node->draining } 10, 'the old worker is gone';
    $node->stop;
}

# ---- configurations ------------------------------------------------------------------

allow_log(qr/\[emerg\] .*(goim|handler|dlopen)/);

sub refused {
    my ($name, $want, %arg) = @_;
    my $nginx = Goim::Nginx->new(stopped => 1, redis => '127.0.0.1:1',
        logic => '127.0.0.1:1', modules => \@modules, %arg);
    my ($rc, $said) = $nginx->test_conf;
    is($rc, 1, "$name: refused");
    like($said, $want, "$name: said");
}

my $listen = 'listen 127.0.0.1:' . free_port();

refused('twice', qr/"goim_subscribe" directive is duplicate/,
    tail => "stream { server { $listen; goim_subscribe; goim_subscribe; } }");
refused('behind another handler', qr/"goim_subscribe".*conflicts with another/,
    tail => "stream { server { $listen; return x; goim_subscribe; } }");
refused('before another handler',
    qr/"goim_subscribe" is not the only handler of the server in .*:\d+/,
    tail => "stream { server { $listen; goim_subscribe; return x; } }");
refused('udp', qr/"goim_subscribe" cannot be used with "udp"/,
    tail => "stream { server { $listen udp; goim_subscribe; } }");
refused('outside a server', qr/"goim_subscribe" directive is not allowed/,
    tail => 'stream { goim_subscribe; }');
refused('without goim { }', qr/"goim_subscribe" needs a "goim" block/, conf => <<"CONF");
%%MODULES%%
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log;
events { }
stream { server { $listen; goim_subscribe; } }
CONF
refused('loaded before the core', qr/ngx_stream_goim_module\.so.*undefined/,
    modules => [reverse @modules], conf => <<'CONF') if !$ENV{GOIM_NGINX};
%%MODULES%%
events { }
CONF

done_testing;
