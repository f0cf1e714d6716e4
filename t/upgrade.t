# The upgrade: what is refused and how, and that a connection lives on when its
# request is gone, whatever nginx did with that request before.

use strict;
use warnings;

use lib 't/lib';
use Goim::HTTP;
use Goim::Nginx;
use Goim::Redis;
use Goim::Socket;
use Goim::Test;
use Goim::WS;

my $redis = Goim::Redis->new;
my $slow_port = free_port();

my $nginx = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
    ssl => 1, http2 => 1, workers => 1,
    http => <<"CONF",
    log_format goim '\$remote_addr "\$request" \$status \$http_cookie';
    limit_req_zone \$binary_remote_addr zone=req:1m rate=1r/m;
    large_client_header_buffers 4 16k;
CONF
    server => <<"CONF",
        access_log %%DIR%%/goim.log goim;
        location = /mirrored {
            mirror /slow;
            goim_echo;
        }
        location = /slow {
            internal;
            proxy_pass http://127.0.0.1:$slow_port;
        }
        location = /rate { limit_rate 10; goim_echo; }
        location = /asked { auth_request /yes; goim_echo; }
        location = /denied { auth_request /no; goim_echo; }
        location = /yes { return 204; }
        location = /no { return 403; }
        location = /closed { deny all; goim_echo; }
        location = /req { limit_req zone=req; goim_echo; }
        location = /real {
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Real-IP;
            goim_echo;
        }
        location = /error { error_page 404 /echo; return 404; }
        location = /after { post_action /echo; return 200; }
        location = /sub-request { auth_request /echo; goim_status; }
        location = /proxied {
            proxy_pass http://127.0.0.1:%%PORT%%/echo;
            proxy_http_version 1.1;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
        }
        location = /basic { stub_status; }
CONF
    stopped => 1);

# server and http texts have the placeholders too
my $text = $nginx->conf_text;
$text =~ s/%%DIR%%/$nginx->{dir}/g;
$text =~ s/%%PORT%%/$nginx->{port}/g;
spew("$nginx->{dir}/nginx.conf", $text);
$nginx->start;

my $port = $nginx->{port};
my %good = (Upgrade => 'websocket', Connection => 'Upgrade',
    'Sec-WebSocket-Version' => '13',
    'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==');

# request with the good headers changed; undef leaves one out, an array gives
# it several times
sub ask {
    my ($change, %arg) = @_;
    my %h = (%good, %$change);
    my $method = $arg{method} || 'GET';
    my $path = $arg{path} || '/sub';
    my $version = $arg{version} || '1.1';
    my $request = "$method $path HTTP/$version\r\nHost: localhost\r\n"
        . join('', map { my $n = $_;
            map { "$n: $_\r\n" } ref $h{$n} ? @{ $h{$n} }
                : defined $h{$n} ? $h{$n} : () } sort keys %h)
        . "\r\n" . ($arg{body} || '');
    my $ws = Goim::WS->new(port => $port, request => $request, any => 1);
    my $response = $ws->response;
    my $status = $ws->status;
    $ws->drop;
    return wantarray ? ($status, $response) : $status;
}

sub echoes {
    my ($ws, $name, $text) = @_;
    $text = 'hello' if !defined $text;
    $ws->send_text($text);
    is_deeply($ws->recv, { opcode => 1, data => $text }, $name);
}

# ---- what is taken, what is refused ------------------------------------------

{
    my ($status, $response) = ask({});
    is($status, 101, 'the example of RFC 6455');
    like($response,
        qr/^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/m,
        'its answer');
    like($response, qr/^Upgrade: websocket\r$/mi, 'Upgrade');
    like($response, qr/^Connection: upgrade\r$/mi, 'Connection');
    unlike($response, qr/^(Content-|Transfer-)/mi, 'no body is announced');
}

for my $change (
    { Upgrade => 'WebSocket' },
    { Upgrade => 'h2c, websocket' },
    { Upgrade => ['h2c', 'websocket'] },
    { Connection => 'keep-alive, Upgrade' },
    { Connection => "\tUPGRADE , keep-alive" },
    { Connection => ['keep-alive', 'upgrade'] },
    { Connection => 'close, upgrade' },
    { 'Content-Length' => 0 },
    { 'Sec-WebSocket-Protocol' => 'chat' },
    { 'Sec-WebSocket-Extensions' => 'permessage-deflate' },
) {
    my ($name) = map { my $v = $change->{$_};
        "$_: " . (ref $v ? "@$v" : $v) } keys %$change;
    my ($status, $response) = ask($change);
    is($status, 101, "taken: $name");
    unlike($response, qr/Sec-WebSocket-(Protocol|Extensions)/i, 'no more');
}

for my $change (
    { Upgrade => undef },
    { Upgrade => 'h2c' },
    { Upgrade => 'websockets' },
    { Upgrade => 'web, socket' },
    { Connection => undef },
    { Connection => 'keep-alive' },
    { Connection => 'upgraded' },
    { 'Sec-WebSocket-Key' => undef },
    { 'Sec-WebSocket-Key' => '' },
    { 'Sec-WebSocket-Key' => 'AAAA' },
    { 'Sec-WebSocket-Key' => 'AAAAAAAAAAAAAAAAAAAAAAAA' },
    { 'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ' },
    { 'Sec-WebSocket-Key' => 'dGhlIHNhbXBs!SBub25jZQ==' },
    { 'Sec-WebSocket-Key' => [($good{'Sec-WebSocket-Key'}) x 2] },
    { 'Content-Length' => 5 },
    { 'Transfer-Encoding' => 'chunked' },
) {
    my ($name) = map { my $v = $change->{$_};
        "$_: " . (ref $v ? "@$v" : defined $v ? $v : '(none)') } keys %$change;
    is(ask($change, body => "5\r\nhello\r\n0\r\n\r\n"), 400, "400: $name");
}

is(ask({}, version => '1.0'), 400, '400: HTTP/1.0');

for my $version (undef, '8', '12', '14', '013', '13, 8', ['13', '13'], '') {
    my ($status, $response) = ask({ 'Sec-WebSocket-Version' => $version });
    my $name = !defined $version ? 'none' : ref $version ? 'twice' : $version;
    is($status, 426, "426: version $name");
    like($response, qr/^HTTP\/1.1 426 Upgrade Required\r\n/, 'said in words');
    like($response, qr/^Sec-WebSocket-Version: 13\r$/m, 'names the version');
    like($response, qr/^Upgrade: websocket\r$/m, 'and the protocol');
}

for my $method (qw(HEAD POST PUT DELETE OPTIONS PATCH)) {
    my ($status, $response) = ask({}, method => $method);
    is($status, 405, "405: $method");
    like($response, qr/^Allow: GET\r$/m, 'Allow');
}

is(ask({}, path => '/error'), 404, 'an error page is no upgrade');
is(ask({}, path => '/after'), 200, 'post_action is no upgrade');
is(ask({}, path => '/sub-request'), 500, 'a subrequest is no upgrade');
is(ask({}, path => '/denied'), 403, 'auth_request denies');
is(ask({}, path => '/closed'), 403, 'deny');
is(ask({}, path => '/req'), 101, 'limit_req: one');
is(ask({}, path => '/req'), 503, 'limit_req: two');

# HTTP/2 beside: an answer there, the upgrade over HTTP/1.1
{
    my $url = "https://localhost:$nginx->{wss_port}/sub";
    my $what = '%{http_version} %{http_code}';
    my $said = `curl -sk --http2 -o /dev/null -w '$what' '$url' 2>&1`;
    is($said, '2 400', 'HTTP/2: 400');

    my $ws = Goim::WS->new(port => $nginx->{wss_port}, ssl => 1,
        path => '/echo');
    echoes($ws, 'wss beside http2');
    is($ws->close, 1000, 'closed');
}

# refused ones are counted, and the connection stays usable
{
    my $before = $nginx->status->{counters}{refused};
    ask({ Upgrade => undef });
    is($nginx->status->{counters}{refused}, $before + 1, 'counted');

    my $s = Goim::Socket->new(port => $port);
    my $version = "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket"
        . "\r\nConnection: upgrade\r\n\r\n";
    for (1 .. 2) {
        my $res = Goim::HTTP::exchange($s, $version, 'GET', time + 10);
        is($res->{status}, 426, 'kept alive after 426');
    }
}

# ---- the request goes, the connection stays ----------------------------------

# what is already there, in one packet with the request
for my $n (1, 10, 3000) {
    my $early = join '', map { Goim::WS::frame(text => "early $_") } 1 .. $n;
    my $ws = Goim::WS->new(port => $port, path => '/echo', early => $early);
    my @got = map { my $m = $ws->recv; $m ? $m->{data} : 'nothing' } 1 .. $n;
    is_deeply(\@got, [map { "early $_" } 1 .. $n], "$n frames come early");
    echoes($ws, 'and more later');
    is($ws->close, 1000, 'closed');
}

# a frame in pieces around the end of the request
{
    my $frame = Goim::WS::frame(text => 'x' x 300);
    for my $n (1, 2, 3, 8, 9, 100) {
        my $ws = Goim::WS->new(port => $port, path => '/echo',
            early => substr($frame, 0, $n));
        $ws->send_raw(substr $frame, $n);
        is_deeply($ws->recv, { opcode => 1, data => 'x' x 300 },
            "$n bytes of a frame come early");
        $ws->close;
    }
}

for my $size (100, 900, 3000, 7000, 12_000) {
    my $ws = Goim::WS->new(port => $port, path => '/echo',
        headers => [Cookie => 'c' x $size, Cookie => 'second=1'],
        early => Goim::WS::frame(text => 'early'));
    is(($ws->recv || {})->{data}, 'early', "cookies of $size bytes");
    echoes($ws, 'and more');
    is($ws->close, 1000, 'closed');
}

# after other requests on the same connection
{
    my $s = Goim::Socket->new(port => $port);
    my $get = "GET /yes HTTP/1.1\r\nHost: localhost\r\n";
    for my $pad ('', 'X-Pad: ' . 'p' x 3000 . "\r\n", '') {
        my $res = Goim::HTTP::exchange($s, "$get$pad\r\n", 'GET', time + 10);
        is($res->{status}, 204, 'another request');
    }
    my $upgrade = "GET /echo HTTP/1.1\r\nHost: localhost\r\n"
        . join('', map { "$_: $good{$_}\r\n" } sort keys %good) . "\r\n";
    # pipelined behind one more
    $s->write("$get\r\n$upgrade" . Goim::WS::frame(text => 'pipelined'));
    like(Goim::HTTP::until_match($s, qr/\r\n\r\n/, time + 10), qr/ 204 /,
        'one more');
    like(Goim::HTTP::until_match($s, qr/\r\n\r\n/, time + 10), qr/ 101 /,
        'the upgrade behind it');
    like(Goim::HTTP::until_match($s, qr/pipelined/, time + 10),
        qr/^\x81\x09pipelined$/s, 'and a frame behind that');
}

for my $path (qw(/rate /asked /proxied)) {
    my $ws = Goim::WS->new(port => $port, path => $path);
    echoes($ws, "$path echoes");
    echoes($ws, "$path echoes much", 'y' x 100_000);
    is($ws->close, 1000, 'closed');
}

# a subrequest in the background holds the request for as long as it lasts
{
    my $slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $slow_port, Listen => 5, ReuseAddr => 1)
        or die "listen: $!";
    my $ws = Goim::WS->new(port => $port, path => '/mirrored',
        early => Goim::WS::frame(text => 'one'));
    $ws->send_text('two');
    is($ws->recv(0.3), undef, 'mirrored: waits');
    my $held = $slow->accept;
    $held->print("HTTP/1.0 200 OK\r\n\r\nmirrored\n");
    $held->close;
    is(($ws->recv || {})->{data}, $_, "mirrored: $_") for qw(one two);
    echoes($ws, 'mirrored: and more');
    is($ws->close, 1000, 'closed');

    # gone while it waits
    $ws = Goim::WS->new(port => $port, path => '/mirrored');
    $ws->drop(reset => 1);
    $held = $slow->accept;
    $held->print("HTTP/1.0 200 OK\r\n\r\nmirrored\n");
    $held->close;
}

# the client's address is realip's, also when the request is gone
{
    my $ws = Goim::WS->new(port => $port, path => '/real',
        headers => ['X-Real-IP' => '192.0.2.77']);
    echoes($ws, 'realip');
    $ws->send_frame(text => 'unmasked', mask => 0);
    is($ws->closed, 1002, 'closed');
    eventually {
        $nginx->error_log
            =~ /closed: frame is not masked \(1002\), client: 192\.0\.2\.77,/
    } 5, 'its address is in the log';
}

like(slurp("$nginx->{dir}/goim.log"),
    qr{^192\.0\.2\.77 "GET /real HTTP/1\.1" 101 }m,
    'the access log has the upgrade');

# a limit that is reached: said by an answer, or where it is known too late, by
# a close frame
{
    my $few = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
        workers => 1, goim => { max_sessions => 3, max_per_addr => 2 });
    my @ws = map { Goim::WS->new(port => $few->{port}) } 1 .. 2;
    my $more = Goim::WS->new(port => $few->{port}, any => 1);
    is($more->status, 503, 'max_per_addr: 503');
    push @ws, Goim::WS->new(port => $few->{port}, local => '127.0.0.2');
    $more = Goim::WS->new(port => $few->{port}, local => '127.0.0.3',
        any => 1);
    is($more->status, 503, 'max_sessions: 503');
    $ws[0]->close;
    eventually { $few->status->{sessions} == 2 } 5, 'one goes';
    is(Goim::WS->new(port => $few->{port})->close, 1000, 'one comes');
    is($few->status->{counters}{refused}, 2, 'refused ones are counted');
    $_->drop for @ws;
}

# nothing of it remains
eventually { $nginx->status->{sessions} == 0 } 10, 'no session is left';
is($nginx->status->{addrs}, 0, 'no address either');

my $st = $nginx->status->{counters};
is($st->{accepted}, $st->{closed}, 'accepted and closed agree');

eventually { $nginx->get('/basic')->{content} =~ /^Active connections: [12] /
} 10, "nginx's own count agrees";

done_testing;
