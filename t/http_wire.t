# The HTTP server of logic and job on the wire: what people's clients do is
# understood, what one server could read otherwise than another is refused
# and the connection closed, and everything has a bound.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::Job;
use Goim::Logic;
use Goim::Proc;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;
use IO::Socket::UNIX;

my $redis = Goim::Redis->new;
my %http = (max_body => '64k', max_header => '8k', timeout => '2s',
    keepalive => '2s', max_connections => 20);
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 }, http => \%http });
my $job = Goim::Job->new(redis => $redis->addr);
my $api = Goim::RPC::ready($logic)->api;

my $path = '/goim/push/room?operation=1000&type=live&room=1';
my $host = "Host: localhost\r\n";
my $push = "POST $path HTTP/1.1\r\n$host";
my $next = "GET /health HTTP/1.1\r\n$host\r\n";

sub fresh { $redis->cmd('DEL', map { "goim:bus:$_" } 0 .. 7) }

# the messages that were written, in order
sub messages {
    return map { $_->{msg} } Goim::RPC::pushes($redis);
}

sub socket_to { return Goim::Socket->new(port => $_[0] || $logic->{http_port}) }

# All that comes until the server closes; '' and not closed: undef
sub talk {
    my ($data, $port) = @_;
    my $s = ref $data ? $data : socket_to($port);
    eval { $s->write($data) } if !ref $data;
    my $end = Time::HiRes::time() + 15 * slow();
    while (!$s->eof) {
        $s->wait_read($end) or return undef;
    }
    return $s->{buf};
}

# The first answer of a connection that stays open: head and body
sub answer {
    my ($s) = @_;
    my $end = Time::HiRes::time() + 15 * slow();
    while (1) {
        if ($s->{buf} =~ /^(.*?\r\n\r\n)/s) {
            my $head = $1;
            my ($n) = $head =~ /^Content-Length: (\d+)/mi;
            $n //= 0;
            if (length $s->{buf} >= length($head) + $n) {
                return substr $s->{buf}, 0, length($head) + $n, '';
            }
        }
        $s->wait_read($end) or return "nothing: $s->{buf}";
        return "closed: $s->{buf}" if $s->eof && $s->{buf} eq '';
    }
}

sub statuses {
    my ($text) = @_;
    return join ' ', ($text // 'open') =~ m{HTTP/1\.[01] (\d{3}) [A-Z]}g;
}

# ---- smuggling ---------------------------------------------------------------

my $inner = length $next;
my @smuggling = (
    ['a blank before the colon', "${push}Content-Length : $inner\r\n\r\n$next"],
    ['a tab before the colon',
        "${push}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n$next"],
    ['a folded header', "${push}X: a\r\n Content-Length: 5\r\n\r\n$next"],
    ['a folded length', "${push}Content-Length:\r\n $inner\r\n\r\n$next"],
    ['a fold before all headers',
        "POST $path HTTP/1.1\r\n ${host}\r\n$next"],
    ['two lengths alike',
        "${push}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello$next"],
    ['two lengths',
        "${push}Content-Length: 0\r\nContent-Length: $inner\r\n\r\n$next"],
    ['a list of lengths', "${push}Content-Length: 5, 5\r\n\r\nhello$next"],
    ['length and chunked', "${push}Content-Length: $inner\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$next"],
    ['chunked and length', "${push}Transfer-Encoding: chunked\r\n"
        . "Content-Length: 5\r\n\r\n0\r\n\r\n$next"],
    ['chunked twice', "${push}Transfer-Encoding: chunked\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$next"],
    ['chunked in HTTP/1.0', "POST $path HTTP/1.0\r\n${host}"
        . "Connection: keep-alive\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$next"],
    map({ ["Content-Length: $_->[0]",
        "${push}Content-Length: $_->[1]\r\n\r\nhello$next"] }
        ['+5', '+5'], ['-5', '-5'], ['0x5', '0x5'], ['5 5', '5 5'],
        ['nothing', ''], ['5, NUL, 9', "5\0 9"],
        ['2^64 and more', '18446744073709551621']),
    ['NUL in a value', "${push}X: a\0b\r\n\r\n$next"],
    ['NUL in a name', "${push}X\0: a\r\n\r\n$next"],
    ['NUL in the target', "POST $path\0x HTTP/1.1\r\n${host}\r\n$next"],
    ['bare LF behind the request line', "POST $path HTTP/1.1\n${host}\r\n$next"],
    ['bare LF behind a header', "${push}X: a\n\r\n$next"],
    ['bare LF at the end', "${push}X: a\r\n\n$next"],
    ['bare CR in a value', "${push}X: a\rContent-Length: 5\r\n\r\n$next"],
    ['bare CR behind the request line',
        "POST $path HTTP/1.1\rX: y\r\n${host}\r\n$next"],
    ['two blanks in the request line',
        "POST  $path HTTP/1.1\r\n${host}\r\n$next"],
    ['a fragment in the target', "POST $path#x HTTP/1.1\r\n${host}\r\n$next"],
    ['two Hosts', "${push}${host}\r\n$next"],
    map({ ["a chunk of size $_->[0]", "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n$_->[1]\r\nhello\r\n0\r\n\r\n$next"] }
        ['-1', '-1'], ['+5', '+5'], ['0x5', '0x5'], ['" 5"', ' 5'],
        ['"5 "', '5 '], ['nothing', ''], ['5_0', '5_0'],
        ['2^64 - 1', 'ffffffffffffffff'], ['17 digits', '00000000000000005'],
        ['2^64 + 5', '10000000000000005']),
    ['a chunk longer than its size', "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n5\r\nhelloXX0\r\n\r\n$next"],
    ['bare LF behind a chunk size', "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n5\nhello\r\n0\r\n\r\n$next"],
    ['bare LF in a chunk extension', "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n5;a\nhello\r\n0\r\n\r\n$next"],
    ['bare CR behind a chunk', "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n5\r\nhello\r0\r\n\r\n$next"],
    ['a folded trailer', "${push}Transfer-Encoding: chunked\r\n"
        . "\r\n0\r\nX: a\r\n b\r\n\r\n$next"],
);

subtest 'what others may read otherwise' => sub {
    fresh();
    for (@smuggling) {
        my ($name, $data) = @$_;
        is statuses(talk($data)), 400, "$name: 400, and closed";
    }
    for (['gzip', 'gzip'], ['gzip before chunked', 'gzip, chunked'],
        ['chunked before identity', 'chunked, identity'])
    {
        is statuses(talk("${push}Transfer-Encoding: $_->[1]\r\n\r\n0\r\n\r\n"
            . $next)), 501, "coding $_->[0]: 501, and closed";
    }
    is_deeply [messages()], [], 'nothing of it was written';
    is statuses(talk("GET /health HTTP/1.1\r\nX : a\r\n$host\r\n$next",
        $job->{http_port})), 400, 'the same at job';
};

# ---- HTTP as people speak it -------------------------------------------------

subtest 'chunked' => sub {
    fresh();
    my $s = socket_to();
    $s->write("${push}Transfer-Encoding: Chunked\r\n\r\n"
        . "3;name=\"v;alue\"\r\nabc\r\n01 ; x\r\nd\r\n"
        . "0;last\r\nX-Trailer: y\r\nContent-Length: 9\r\n\r\n");
    like answer($s), qr/"code":0,/, 'extensions and trailers are read past';
    $s->write($next);
    like answer($s), qr/"status":"ok"/, 'and the connection goes on';

    # a byte a packet, and each of them a chunk
    $s->write($_) for split //, "${push}Transfer-Encoding: chunked\r\n\r\n";
    for my $byte (split //, 'one by one') {
        $s->write("1\r\n$byte\r\n");
    }
    $s->write("0\r\n\r\n");
    like answer($s), qr/"code":0,/, 'small pieces';
    is_deeply [messages()], ['abcd', 'one by one'], 'put together';

    my $long = 'x' x 9000;
    like talk("${push}Transfer-Encoding: chunked\r\n\r\n1;$long\r\na\r\n"),
        qr{^HTTP/1.1 431 }, 'extensions have a bound';
    like talk("${push}Transfer-Encoding: chunked\r\n\r\n0\r\nX: $long\r\n"),
        qr{^HTTP/1.1 431 }, 'trailers too';
};

subtest 'Expect: 100-continue' => sub {
    fresh();
    my $s = socket_to();
    $s->write("${push}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    like answer($s), qr{^HTTP/1.1 100 Continue\r\n\r\n\z}, 'to go on';
    $s->write('hello');
    like answer($s), qr/"code":0,/, 'then the answer';
    $s->write("${push}Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n"
        . "\r\n");
    like answer($s), qr{^HTTP/1.1 100 }, 'chunked, on the same connection';
    $s->write("2\r\nyo\r\n0\r\n\r\n");
    like answer($s), qr/"code":0,/, 'and its answer';
    is_deeply [messages()], ['hello', 'yo'], 'both are written';

    # refused before the body: what follows on the connection is not read
    for (['too large a body', $push, 65537, 413],
        ['no such route', "POST /nope HTTP/1.1\r\n$host", 5, 404],
        ['no such method', "PUT $path HTTP/1.1\r\n$host", 5, 404])
    {
        my ($name, $head, $n, $status) = @$_;
        my $got = talk("${head}Expect: 100-continue\r\n"
            . "Content-Length: $n\r\n\r\n");
        is statuses($got), $status, "$name: $status without 100";
        like $got, qr/^Connection: close\r$/m, 'and closed';
    }
    is statuses(talk("${push}Expect: miracle\r\nContent-Length: 5\r\n\r\n")),
        417, 'another expectation';

    # who does not wait gets no 100, as there is no need
    $s = socket_to();
    $s->write("${push}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    like answer($s), qr{^HTTP/1.1 200 }, 'the body was there already';
    like talk("GET /health HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
        qr{^HTTP/1.0 200 }, 'HTTP/1.0 has none';
};

subtest 'one behind the other' => sub {
    fresh();
    my $n = 300;
    my $s = socket_to();
    $s->write(join '', map { my $m = "m$_";
        ($_ % 7 ? '' : "\r\n") . $push . ($_ % 3
            ? 'Content-Length: ' . length($m) . "\r\n\r\n$m"
            : "Transfer-Encoding: chunked\r\n\r\n"
                . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $m, $m)) } 1 .. $n);
    my $good = 0;
    for (1 .. $n) {
        answer($s) =~ /"code":0,/ or last;
        $good++;
    }
    is $good, $n, "$n pushes in one write: each is answered";
    is_deeply [messages()], [map { "m$_" } 1 .. $n], 'in order';

    # the last one ends the connection, and what follows it is nobody's
    is statuses(talk($next . $next
        . "GET /nope HTTP/1.1\r\n${host}Connection: close\r\n\r\n$next")),
        '200 200 404', 'until one says close';

    # a client that sends and says that it has sent all
    $s = socket_to();
    $s->write($next . $next);
    shutdown $s->{sock}, 1;
    is statuses(talk($s)), '200 200', 'half closed';
};

subtest 'habits' => sub {
    fresh();
    is statuses(talk("GET /health HTTP/1.0\r\n\r\n$next")), 200,
        'HTTP/1.0 ends';
    my $s = socket_to();
    $s->write("GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    like answer($s), qr{^HTTP/1.0 200 .*^Connection: keep-alive\r$}ms,
        'unless it asks to be kept';
    $s->write("\r\nHEAD /health HTTP/1.1\r\n$host\r\n");
    my $end = Time::HiRes::time() + 10 * slow();
    while ($s->{buf} !~ /\r\n\r\n/) { $s->wait_read($end) or last }
    like $s->{buf}, qr{^HTTP/1.1 200 .*^Content-Length: 15\r\n.*\r\n\r\n\z}ms,
        'an empty line first; HEAD without a body';
    $s->{buf} = '';
    $s->write("GET http://elsewhere:1$path HTTP/1.1\r\n$host\r\n");
    like answer($s), qr{^HTTP/1.1 404 .*"code":-404}s, 'a whole URL';
    $s->write("OPTIONS * HTTP/1.1\r\n$host\r\n");
    like answer($s), qr{^HTTP/1.1 404 }, 'OPTIONS *';
    $s->write("CONNECT x:80 HTTP/1.1\r\n$host\r\n");
    like answer($s), qr{^HTTP/1.1 404 }, 'CONNECT';
    $s->write("GET /health HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello"
        . $next);
    like answer($s), qr/"status":"ok"/, 'a GET with a body';
    like answer($s), qr/^Date: \w\w\w, \d\d \w\w\w \d{4} [\d:]{8} GMT\r$/m,
        'and what follows it; a date';
    is statuses(talk("FOO / HTTP/1.1\r\n$host\r\n")), 501, 'unknown method';
    is statuses(talk("GET / HTTP/2.0\r\n$host\r\n")), 505, 'HTTP/2';
};

subtest 'job' => sub {
    my $port = $job->{http_port};
    my $s = socket_to($port);
    $s->write("GET /health HTTP/1.1\r\n$host\r\n"
        . "GET /metrics HTTP/1.1\r\n$host\r\n"
        . "POST /health HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx"
        . "GET / HTTP/1.1\r\n$host\r\n");
    like answer($s), qr{^HTTP/1.1 200 .*\r\n\r\nok\n$}s, '/health';
    like answer($s), qr/^goim_job_redis_up 1$/m, '/metrics';
    like answer($s), qr{^HTTP/1.1 404 }, 'another method';
    like answer($s), qr{^HTTP/1.1 404 }, 'another path';
    is statuses(talk("GET /health HTTP/1.1\r\n${host}X: " . 'x' x 9000
        . "\r\n\r\n", $port)), 431, 'a long header';
};

# ---- forms -------------------------------------------------------------------

my $form = 'application/x-www-form-urlencoded';

sub form {
    my ($kind, $body, $type, $query) = @_;
    return $api->request('POST', "/goim/form/$kind" . ($query || ''), [],
        content => $body, headers => { 'Content-Type' => $type || $form });
}

subtest 'forms' => sub {
    fresh();
    my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'comet-1');
    for my $i (1 .. 800) {
        my $r = $rpc->call(connect => { session => $i,
            token => qq({"mid":$i,"key":"key-$i"}) });
        die $r->{error} if $r->{code};
    }
    is form(room => 'operation=1&type=live&room=1&msg=a+b%26%00%ff%0A')
        ->{text}, '{"code":0,"message":""}', 'a room';
    is form(all => 'msg=&operation=9&speed=3', "$form; charset=utf-8")
        ->{code}, 0, 'all, an empty message';
    is form(keys => 'operation=2&keys=key-1&msg=k&keys=key-2')->{code}, 0,
        'keys';
    my @got = sort { $a->{operation} <=> $b->{operation} }
        Goim::RPC::pushes($redis);
    is $got[0]{msg}, "a b&\0\xff\n", 'any bytes';
    is_deeply [map { $_->{operation} } @got], [1, 2, 2, 9], 'operations';
    is_deeply [sort map { @{ $_->{keys} || [] } } @got], ['key-1', 'key-2'],
        'both keys';

    fresh();
    my $mids = join '&', 'operation=3', 'msg=many',
        map { "mids=$_" } 1 .. 800;
    cmp_ok length $mids, '<', 16384, 'a body of some kilobytes';
    is form(mids => $mids)->{code}, 0, '800 users';
    is_deeply [sort map { @{ $_->{keys} } } Goim::RPC::pushes($redis)],
        [sort map { "key-$_" } 1 .. 800], 'each of them';
    is $api->mids(3, [1 .. 1000], 'x')->{http}, 414,
        'which no query of 8k can hold';

    fresh();
    for (['no message', keys => 'operation=1&keys=a', undef, undef, 'msg'],
        ['another type', keys => 'operation=1&keys=a&msg=x',
            'text/plain', undef, 'Content-Type'],
        ['a longer type', keys => 'operation=1&keys=a&msg=x',
            "${form}ed", undef, 'Content-Type'],
        ['a query', keys => 'keys=a&msg=x', undef, '?operation=1', 'query'],
        ['a broken escape', keys => 'keys=%zz&msg=x', undef, undef, 'keys'],
        ['NUL in a key', keys => 'keys=a%00&msg=x', undef, undef, 'keys'],
        ['NUL as it is', keys => "keys=a\0&msg=x", undef, undef, 'keys'],
        ['mids[]', mids => 'mids[]=1&mids%5B%5D=2&msg=x', undef, undef,
            'mids\[\]'],
        ['rooms of no type', room => 'operation=1&room=1&msg=x', undef,
            undef, 'type'])
    {
        my ($name, $kind, $body, $type, $query, $named) = @$_;
        my $r = form($kind, $body, $type, $query);
        is_deeply [@$r{qw(http code)}], [400, -400], "$name: refused";
        like $r->{message}, qr/$named/, 'and named';
    }
    my $r = $api->post('/goim/push/mids?operation=1&mids[]=1', [], 'x');
    is $r->{code}, -400, 'mids[] in a query';
    like $r->{message}, qr/^mids\[\]: /, 'is named too';
    is $api->request('GET', '/goim/form/keys', [])->{http}, 404, 'GET';
    is_deeply [messages()], [], 'nothing of it was written';
};

# ---- bounds ------------------------------------------------------------------

subtest 'time' => sub {
    # slowly, a byte at a time: what counts is when it began
    my @slow = map { socket_to() } 0 .. 2;
    $slow[1]->write("${push}Content-Length: 100\r\n\r\n");
    $slow[2]->write("${push}Transfer-Encoding: chunked\r\n\r\n");
    my @bytes = ("GET /health HTTP/1.1\r\n${host}X: ", '', "1;");
    my $start = Time::HiRes::time();
    my %said;
    while (keys %said < @slow && Time::HiRes::time() - $start < 20 * slow()) {
        for my $i (grep { !defined $said{$_} } 0 .. 2) {
            my $s = $slow[$i];
            $said{$i} = talk($s), next if $s->fill || $s->eof;
            eval { $s->write(substr($bytes[$i], 0, 1, '') || 'x') };
        }
        Time::HiRes::sleep(0.1);
    }
    is statuses($said{$_}), 408, "408: $_" for 0 .. 2;
    cmp_ok Time::HiRes::time() - $start, '>=', 1.9, 'not before the time';

    my $s = socket_to();
    $s->write($next);
    answer($s);
    is talk($s), '', 'an idle connection is closed';
};

subtest 'a client that does not read' => sub {
    my $before = $logic->metrics->{goim_logic_http_requests_total};
    my $s = Goim::Socket->new(port => $logic->{http_port}, rcvbuf => 4096);
    $s->write("GET /metrics HTTP/1.1\r\n$host\r\n" x 20000);
    cmp_ok $logic->metrics->{goim_logic_http_requests_total} - $before, '<',
        5000, 'is not answered without end';
    like talk("GET /health HTTP/1.1\r\n${host}Connection: close\r\n\r\n"),
        qr{^HTTP/1.1 200 }, 'others are';
    eventually { eval { $s->write('x'); 0 } // 1 } 15, 'it is closed in time';
};

subtest 'connections' => sub {
    # nothing came yet: they are new, not idle, and are not given up
    my @busy = map { socket_to() } 1 .. 20;
    $_->write('GET /he') for @busy;
    eventually { (statuses(talk($next)) || '') eq '503' } 10,
        'more than allowed: 503';
    $_->write("alth HTTP/1.1\r\n$host\r\n") for @busy;
    like answer($_), qr/"status":"ok"/, 'who was there is served'
        for @busy[0, 19];

    # now all of them are idle: the one that was so for longest goes
    answer($_) for @busy[1 .. 18];
    my $s = socket_to();
    $s->write($next);
    like answer($s), qr/"status":"ok"/, 'an idle one makes room';
    my @gone = grep { $busy[$_]->fill; $busy[$_]->eof } 0 .. 19;
    is scalar(@gone), 1, 'one of them';
};

subtest 'a unix socket' => sub {
    my $sock = folder('sock') . '/http';
    my $conf = { logic => { threads => 3, http => "unix:$sock" } };
    my $l = Goim::Logic->new(redis => $redis->addr, conf => $conf,
        stopped => 1);
    my $j = Goim::Job->new(redis => $redis->addr, stopped => 1,
        conf => { job => { http => "unix:$sock-job" } });

    # two lives: the file of the first is replaced
    for my $life (1, 2) {
        Goim::Proc::start($_) for $l, $j;
        for my $name ($sock, "$sock-job") {
            my ($s, $text);
            eventually {
                $s = IO::Socket::UNIX->new(Peer => $name) or return 0;
                print $s "GET /health HTTP/1.1\r\n${host}"
                    . "Connection: close\r\n\r\n";
                $text = do { local $/; <$s> };
                $text =~ m{^HTTP/1.1 200 };
            } 20, "answers, life $life";
        }
        $life == 1 ? $_->kill9 : $_->stop for $l, $j;
    }
};

done_testing;
