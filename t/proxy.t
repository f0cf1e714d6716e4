# TLS with several names, and proxies in front: the client's address and its
# cookies, as they reach logic, the application that decides about logins,
# counts, limits and the log, on both fronts.

use strict;
use warnings;

use lib 't/lib';
use Goim::App;
use Goim::Client;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Test;

my %port = map { $_ => free_port() } qw(sni forwarded chain header
    headers none through header_through tcp_believed tcp_ssl tcp_none
    tcp_through tcp_sni);
my %cert = map { $_ => folder('cert') } qw(one.example two.example);
Goim::Nginx::cert($cert{$_}, $_) for keys %cert;

sub certificate {
    my ($name) = @_;
    return "ssl_certificate $cert{$name}/cert.pem;"
        . " ssl_certificate_key $cert{$name}/key.pem;";
}

my $sub = 'location = /sub { goim_subscribe; }';
my $real = 'set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8;';
my $one = certificate('one.example');
my $two = certificate('two.example');

my $http = <<"CONF";
    large_client_header_buffers 4 16k;
    server {
        listen 127.0.0.1:$port{sni} ssl;
        server_name one.example;
        $one
        $sub
    }
    server {
        listen 127.0.0.1:$port{sni} ssl;
        server_name two.example;
        $two
        location = /two { goim_subscribe; }
    }
    server {
        listen 127.0.0.1:$port{forwarded};
        $real
        real_ip_header X-Forwarded-For;
        $sub
    }
    server {
        listen 127.0.0.1:$port{chain};
        $real
        real_ip_header X-Forwarded-For;
        real_ip_recursive on;
        $sub
    }
    server {
        listen 127.0.0.1:$port{header} proxy_protocol;
        listen 127.0.0.1:$port{headers} ssl proxy_protocol;
        $one
        $real
        real_ip_header proxy_protocol;
        $sub
    }
    server { listen 127.0.0.1:$port{none} proxy_protocol; $sub }

    # a proxy of nginx's own in front
    server {
        listen 127.0.0.1:$port{through};
        location / {
            proxy_pass http://127.0.0.1:$port{forwarded};
            proxy_http_version 1.1;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header X-Forwarded-For \$remote_addr;
        }
    }
CONF

my $stream = <<"CONF";
stream {
    server {
        listen 127.0.0.1:$port{tcp_believed} proxy_protocol;
        listen 127.0.0.1:$port{tcp_ssl} ssl proxy_protocol;
        $two
        $real
        goim_subscribe;
    }
    server {
        listen 127.0.0.1:$port{tcp_none} proxy_protocol;
        goim_subscribe;
    }
    server {
        listen 127.0.0.1:$port{tcp_through};
        proxy_pass 127.0.0.1:$port{tcp_believed};
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$port{header_through};
        proxy_pass 127.0.0.1:$port{header};
        proxy_protocol on;
    }

    # still encrypted
    server {
        listen 127.0.0.1:$port{tcp_sni};
        proxy_protocol on;
        proxy_pass 127.0.0.1:$port{tcp_ssl};
    }
}
CONF

# the key says who asks: the answer is made of the token
my $app = Goim::App->new(sub { return (200, $_[2]) });
my $c = Goim::Cluster->new(workers => 2,
    logic => { conf => { auth => { mode => 'http',
        url => $app->url('/auth') } } },
    nginx => { http => $http, tail => $stream,
        modules => ['ngx_goim_module.so', Goim::Nginx::stream_modules()],
        goim => { max_per_addr => 2 } });
my ($node, $api, $made) = ($c->node, $c->api, 0);

sub client {
    my ($port, %arg) = @_;
    my $key = 'k' . ++$made;
    return Goim::Client->new(port => $port{$port}, key => $key,
        token => qq({"mid":$made,"key":"$key","accepts":[1]}), %arg);
}

# what the application was told of the last login
sub told {
    my ($name) = @_;
    my ($value) = ($app->seen)[-1]{head} =~ /^\Q$name\E: (.*?)\r?$/m;
    return defined $value ? $value : '';
}

sub totals {
    my $data = $api->online_total->{data} || {};
    return join ' ', map { defined $data->{$_} ? $data->{$_} : '-' }
        qw(conn_count ip_count);
}

sub header {
    my ($from) = @_;
    return $from =~ /:/ ? "PROXY TCP6 $from ::1 5000 80\r\n"
        : "PROXY TCP4 $from 127.0.0.1 5000 80\r\n";
}

sub gone { eventually { $node->status->{sessions} == 0 } 10, 'all are gone' }

subtest 'names' => sub {
    for (['one.example', '/sub'], ['two.example', '/two']) {
        my ($name, $path) = @$_;
        my $client = client('sni', transport => 'wss', path => $path,
            ssl => { SSL_hostname => $name },
            headers => [Cookie => "at=$name"],
            name => $name);
        is $client->transport->socket->{sock}
            ->peer_certificate('commonName'), $name, "$name: its certificate";
        is told('Cookie'), "at=$name", 'its cookie';
        is $api->keys(1, ["k$made"], "to $name")->{code}, 0, 'accepted';
        is $client->push->{body}, "to $name", 'a push';
        is $client->close, 1000, 'goodbye';
    }
    my $ws = Goim::WS->new(port => $port{sni}, path => '/two', any => 1,
        name => 'one.example',
        ssl => { SSL_hostname => 'one.example' });
    is $ws->status, 404, 'each has its own locations';
    $ws->drop;

    my $client = client('tcp_sni', transport => 'tcps',
        ssl => { SSL_hostname => 'two.example' });
    is $client->transport->socket->{sock}->peer_certificate('commonName'),
        'two.example', 'TCP, passed on by a proxy: its certificate';
    is told('X-Goim-Addr'), '127.0.0.1', 'its address';
    $client->drop;
    gone();
};

subtest 'cookies' => sub {
    for (['several', 'a=1; b=2; c="3;4"', 'a=1', 'b=2; c="3;4"'],
        ['an empty one', 'a=1; b=2', '', 'a=1', 'b=2'],
        ['long ones', join('; ', ('c' x 2000) x 3), ('c' x 2000) x 3],
        ['all that nginx takes', join('; ', 'a=1', ('x' x 15000) x 3, 'b=2'),
            'a=1', ('x' x 15000) x 3, 'b=2'],
        ['none', ''])
    {
        my ($name, $want, @send) = @$_;
        my $client = client('forwarded',
            headers => [map { (Cookie => $_) } @send]);
        is told('Cookie'), $want, $name;
        is $client->close, 1000, 'goodbye';
    }
    my $client = client('forwarded', headers => [cOOkIe => 'a=1']);
    is told('Cookie'), 'a=1', 'the name in any case';
    is $client->close, 1000, 'goodbye';
    gone();
};

subtest 'the upgrade request' => sub {
    my %header = (Origin => 'https://one.example', 'User-Agent' => 'Test/1 (x)',
        Authorization => 'Bearer a.b-c', 'X-Request-Id' => 'f00');
    my $client = client('forwarded', path => '/sub?room=1&token=a%20b',
        headers => [%header, 'X-Other' => 'no']);
    is told($_), $header{$_}, $_ for sort keys %header;
    is told('X-Goim-Query'), 'room=1&token=a%20b', 'the query';
    is told('X-Other'), '', 'no other header';
    is $client->close, 1000, 'goodbye';

    $client = client('forwarded', headers => ['user-agent' => 'x' x 15000]);
    is told('User-Agent'), 'x' x 15000, 'long, in any case';
    is told($_), '', "no $_" for qw(Origin Authorization X-Request-Id
        X-Goim-Query);
    is $client->close, 1000, 'goodbye';

    # many at once, each with its own
    my @clients = map { client('forwarded', path => "/sub?n=$_",
        headers => [Cookie => "n=$_", 'X-Forwarded-For' => "203.0.113.$_"]) }
        1 .. 20;
    my %said = map { my ($q) = $_->{head} =~ /^X-Goim-Query: n=(\d+)\r?$/m;
        my ($n) = $_->{head} =~ /^Cookie: n=(\d+)\r?$/m;
        defined $q ? ($q => $n) : () } $app->seen;
    is_deeply \%said, { map { $_ => $_ } 1 .. 20 }, 'each its own';
    $_->drop for @clients;

    $client = client('tcp_believed', transport => 'tcp',
        proxy => header('203.0.113.30'));
    is told($_), '', "TCP has no $_" for sort(keys %header), 'X-Goim-Query';
    $client->drop;
    gone();
};

# [port, the address that counts, what the client does]
my @ways = (
    ['forwarded', '203.0.113.1', 'X-Forwarded-For',
        headers => ['X-Forwarded-For' => '203.0.113.1']],
    ['forwarded', '203.0.113.2', 'the last of it',
        headers => ['X-Forwarded-For' => '198.51.100.66, 203.0.113.2']],
    ['forwarded', '2001:db8::3', 'IPv6, written at length',
        headers => ['X-Forwarded-For' => '2001:0db8:0:0:0:0:0:3']],
    ['forwarded', '203.0.113.4', 'with a port',
        headers => ['X-Forwarded-For' => '203.0.113.4:4711']],
    ['chain', '203.0.113.5', 'behind several proxies', headers =>
        ['X-Forwarded-For' => '198.51.100.66, 203.0.113.5, 10.1.1.1']],
    ['chain', '203.0.113.6', 'in two headers', headers =>
        ['X-Forwarded-For' => '203.0.113.6', 'X-Forwarded-For' => '10.1.1.1']],
    ['forwarded', '127.0.0.2', 'from one that is no proxy',
        local => '127.0.0.2', headers => ['X-Forwarded-For' => '203.0.113.9']],
    ['through', '127.0.0.3', 'through nginx', local => '127.0.0.3'],
    ['header', '203.0.113.10', 'PROXY protocol',
        proxy => header('203.0.113.10')],
    ['header', '2001:db8::11', 'the same, IPv6',
        proxy => header('2001:db8::11')],
    ['headers', '203.0.113.12', 'the same before TLS', transport => 'wss',
        proxy => header('203.0.113.12')],
    ['header_through', '127.0.0.4', 'the same through nginx',
        local => '127.0.0.4'],
    ['none', '127.0.0.1', 'not believed', proxy => header('203.0.113.13')],
    ['tcp_believed', '203.0.113.20', 'TCP', transport => 'tcp',
        proxy => header('203.0.113.20')],
    ['tcp_believed', '2001:db8::21', 'TCP, IPv6', transport => 'tcp',
        proxy => header('2001:db8::21')],
    ['tcp_ssl', '203.0.113.22', 'TCP, before TLS', transport => 'tcps',
        proxy => header('203.0.113.22')],
    ['tcp_through', '127.0.0.5', 'TCP through nginx', transport => 'tcp',
        local => '127.0.0.5'],
    ['tcp_believed', '127.0.0.6', 'TCP, from one that is no proxy',
        transport => 'tcp', local => '127.0.0.6',
        proxy => header('203.0.113.23')],
    ['tcp_none', '127.0.0.1', 'TCP, not believed', transport => 'tcp',
        proxy => header('203.0.113.24')],
);

subtest 'addresses' => sub {
    eventually { totals() eq '0 0' } 15, 'nobody is there';
    my (@clients, %addr);

    for (@ways) {
        my ($port, $want, $name, %arg) = @$_;
        push @clients, client($port, %arg);
        is told('X-Goim-Addr'), $want, "$name: the application is told";
        $addr{$want} = 1;
    }
    my $n = keys %addr;
    is $node->status->{addrs}, $n, 'the node has so many addresses';
    my $want = @ways . " $n";
    eventually { totals() eq $want } 15, 'and logic counts them';

    # the log knows whom it is about
    for (0 .. $#ways) {
        my ($addr, $client) = ($ways[$_][1], $clients[$_]);
        $client->transport->send_raw($client->{tcp} ? "\xff" x 20
            : "\x82\0");
        $client->closed;
        eventually { $node->error_log =~ /, client: \Q$addr\E, front: / } 10,
            "$ways[$_][2]: in the log";
    }
    unlike $node->error_log, qr/client: (?:203\.0\.113\.(?:9|13|23|24)
        |198\.51\.100\.66), front/x, 'nobody who is not believed';
    gone();
    eventually { totals() eq '0 0' } 15, 'for logic too';
};

subtest 'a limit' => sub {
    my @forwarded = (headers => ['X-Forwarded-For' => '203.0.113.1']);
    my @header = (proxy => header('203.0.113.1'));
    my @held = (client('forwarded', @forwarded),
        client('tcp_ssl', transport => 'tcps', @header));

    is(Goim::WS->new(port => $port{header}, @header, any => 1)->status, 503,
        'of an address, over both fronts: no upgrade');
    ok client('tcp_believed', transport => 'tcp', @header, auth => 0)->closed,
        'TCP too';
    push @held, client('header', proxy => header('203.0.113.2'));
    is told('X-Goim-Addr'), '203.0.113.2', 'another address is let in';

    $held[0]->close;
    eventually { $node->status->{sessions} == 2 } 10, 'one goes';
    push @held, client('header', @header);
    is told('X-Goim-Addr'), '203.0.113.1', 'one comes';
    $_->drop for @held;
    gone();
};

done_testing;
