# logic's HTTP API for backends: every route, parameter rule and error form.
# Nodes are in http_nodes.t, what the comets call in logic_rpc.t.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::HTTP;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;

my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    push => { timeout => '2s', max_keys => 2000, max_pending => '3m' },
    redis => { timeout => '1s' }, http => { max_body => '200k',
    max_header => '64k', timeout => '2s' },
    registry => { ttl => '20s', renew => '1s' }, online => { cache => 0 } });
my $api = Goim::RPC::ready($logic)->api;
my $rpc = Goim::RPC->new($logic->{rpc_port});
my $other = Goim::RPC->new($logic->{rpc_port}, server => 'comet-2',
    zone => 'b1');

sub fresh {
    $redis->cmd('DEL', map { "goim:bus:$_" } 0 .. 7);
}

sub records { return Goim::RPC::pushes($redis) }

sub online {
    my ($comet, $session, $token) = @_;
    my $r = $comet->call(connect => { session => $session,
        token => $token });
    die "connect: $r->{error}\n" if $r->{code};
}

# the route answers with this status and code, and the message names what
sub refused {
    my ($method, $path, $query, $http, $code, $named) = @_;
    my $r = $api->request($method, $path, $query,
        $method eq 'POST' ? (content => 'x') : ());
    my $name = join ' ', $method, $path, map { ref $_ ? @$_ : $_ } @$query;
    is $r->{http}, $http, "$name: HTTP $http";
    is $r->{code}, $code, "$name: code $code";
    like $r->{message}, $named, "$name: says why" if $named;
}

sub raw {
    my ($data, $timeout) = @_;
    my $s = Goim::Socket->new(port => $logic->{http_port});
    eval { $s->write($data) };
    my $end = Time::HiRes::time() + ($timeout || 10) * slow();
    while (!$s->eof) {
        $s->wait_read($end) or last;
    }
    return $s->{buf};
}

# ---- push/keys ---------------------------------------------------------------

online($rpc, 1, '{"mid":1,"key":"k1"}');
online($rpc, 2, '{"mid":1,"key":"k2"}');
online($other, 1, '{"mid":1,"key":"k3"}');
online($other, 2, '{"mid":2,"key":"k4","room_id":"live://1"}');

subtest 'push/keys' => sub {
    fresh();
    my $body = join '', map { chr } 0 .. 255;
    my $r = $api->keys(1000, ['k1'], $body);
    is $r->{text}, '{"code":0,"message":""}', 'the answer to the byte';
    is $r->{http}, 200, 'HTTP 200';
    is $r->{headers}{'content-type'}, 'application/json; charset=utf-8',
        'JSON';

    my @got = records();
    is @got, 1, 'one record';
    is_deeply [@{ $got[0] }{qw(type operation server msg kafka_key)}],
        ['PUSH', 1000, 'comet-1', $body, 'k1'], 'its fields';
    is_deeply $got[0]{keys}, ['k1'], 'its key';

    fresh();
    is $api->keys(1000, ['nobody', ''], 'x')->{code}, 0,
        'offline targets are success';
    is $api->keys(1000, ['x' x 300], 'x')->{code}, 0,
        'also what cannot be a key';
    is records(), 0, 'and nothing is written for them';

    is $api->keys(1000, ['k1', 'nobody', 'k3', 'k1'], 'x')->{code}, 0,
        'keys of two nodes';
    my %to;
    push @{ $to{ $_->{server} } }, @{ $_->{keys} } for records();
    is_deeply \%to, { 'comet-1' => ['k1', 'k1'], 'comet-2' => ['k3'] },
        'each to its own, twice what is given twice';

    fresh();
    is $api->keys(undef, ['k1'], '')->{code}, 0, 'no operation, empty body';
    is $api->keys('', ['k1'], '')->{code}, 0, 'an empty operation';
    is $api->keys(-2147483648, ['k1'], '')->{code}, 0, 'the least';
    is $api->keys(2147483647, ['k1'], '')->{code}, 0, 'the largest';
    is_deeply [map { $_->{operation} } records()],
        [0, 0, -2147483648, 2147483647], 'operations, in order';

    my $path = '/goim/push/keys';
    refused(POST => $path, [operation => 1], 200, -400, qr/^keys/);
    refused(POST => $path, [operation => 'x', keys => 'k1'], 400, -400,
        qr/^operation/);
    refused(POST => $path, [operation => 2147483648, keys => 'k1'], 400,
        -400, qr/^operation/);
    refused(POST => $path, [operation => -2147483649, keys => 'k1'], 400,
        -400, qr/^operation/);
    refused(POST => $path, [operation => 1, keys => "a\0b"], 400, -400,
        qr/^keys: a NUL/);
    refused(POST => $path, [operation => 1, keys => [1 .. 2001]], 400, -400,
        qr/^keys: more than 2000/);
    refused(POST => $path, [operation => 1, keys => [1 .. 2100]], 400, -400,
        qr/2101 parameters/);

    my $r400 = $api->request('POST', "$path?operation=1&keys=%zz", []);
    is $r400->{http}, 400, 'a broken escape';
    like $r400->{message}, qr/^keys: a broken %/, 'is named';
};

subtest 'many keys' => sub {
    fresh();
    online($_ % 2 ? $rpc : $other, 100 + $_, qq({"key":"many-$_"}))
        for 1 .. 1500;

    is $api->keys(7, [map { "many-$_" } 1 .. 1500], 'x')->{code}, 0,
        '1,500 of them';
    my @got = records();
    is @got, 16, 'a record for each node and partition';

    my (%seen, $order);
    for my $rec (@got) {
        my $last = 0;
        for (@{ $rec->{keys} }) {
            my ($n) = /(\d+)/;
            $seen{$n}++;
            $order = "$n after $last" if $n < $last;
            $last = $n;
            $order = "$n on $rec->{server}"
                if $rec->{server} ne ($n % 2 ? 'comet-1' : 'comet-2');
        }
        is $rec->{kafka_key}, $rec->{keys}[0], 'the first key is the key'
            if $rec == $got[0];
    }
    is keys %seen, 1500, 'each key';
    is_deeply [grep { $_ != 1 } values %seen], [], 'once';
    is $order, undef, 'in the order of the request, on its node';

    # a key is always in the same partition
    my %partition = map { my $r = $_; map { $_ => $r->{partition} }
        @{ $r->{keys} } } @got;
    fresh();
    $api->keys(7, ["many-$_"], 'x') for 1 .. 40;
    is_deeply [grep { $partition{ $_->{keys}[0] } != $_->{partition} }
        records()], [], 'alone in the same partition as in a list';
};

# ---- push/mids ---------------------------------------------------------------

subtest 'push/mids' => sub {
    fresh();
    is $api->mids(1000, [1], 'x')->{text}, '{"code":0,"message":""}',
        'a user';
    my %to;
    push @{ $to{ $_->{server} } }, sort @{ $_->{keys} } for records();
    is_deeply { map { $_ => [sort @{ $to{$_} }] } keys %to },
        { 'comet-1' => ['k1', 'k2'], 'comet-2' => ['k3'] },
        'all devices, on all nodes';

    fresh();
    is $api->mids(1000, [2, 2, 99, 0, -5], 'x')->{code}, 0,
        'one twice, others without sessions';
    is_deeply [map { @{ $_->{keys} } } records()], ['k4'], 'once';

    fresh();
    is $api->mids(1000, [], 'x')->{text}, '{"code":0,"message":""}',
        'no mids';
    is $api->mids(1000, '', 'x')->{code}, 0, 'an empty one';
    is $api->mids(1000, ['9223372036854775807', '-9223372036854775808'],
        'x')->{code}, 0, '64 bits';
    is records(), 0, 'nothing to write';

    my $path = '/goim/push/mids';
    for my $bad ('x', '1x', '9223372036854775808', '1.5', ' 1') {
        refused(POST => $path, [operation => 1, mids => [1, $bad]], 400,
            -400, qr/^mids/);
    }
    refused(POST => $path, [operation => 'x', mids => 1], 400, -400,
        qr/^operation/);

    # what is broken in Redis hurts nobody else
    $redis->cmd('SET', 'mid_77', 'junk');
    $redis->cmd('HSET', 'mid_78', 'k-odd', '', '', 'comet-1', "n\0ul",
        'comet-1', 'k-good', 'comet-1');
    is $api->mids(1000, [77, 78, 2], 'x')->{code}, 0, 'broken mappings';
    is_deeply [sort map { @{ $_->{keys} } } records()], ['k-good', 'k4'],
        'the others get it';

    # more keys than allowed
    $redis->cmd('HSET', 'mid_79', map { ("d$_", 'comet-1') } 1 .. 2001);
    fresh();
    my $r = $api->mids(1000, [79], 'x');
    is_deeply [@$r{qw(http code)}], [200, -500], 'a mid of too many keys';
    like $r->{message}, qr/max_keys/, 'says so';
    is records(), 0, 'and nothing is written';
};

# ---- push/room, push/all -----------------------------------------------------

subtest 'push/room' => sub {
    fresh();
    my $body = 'b' x 100_000;
    is $api->room(1000, 'live', '1000', $body)->{text},
        '{"code":0,"message":""}', 'accepted';
    my @got = records();
    is_deeply [@{ $got[0] }{qw(type operation room kafka_key)}],
        ['ROOM', 1000, 'live://1000', 'live://1000'], 'its fields';
    is $got[0]{msg}, $body, '100,000 bytes';

    fresh();
    is $api->room(1000, 'a b/&', "\xe4\xb8\xad", '')->{code}, 0,
        'names of any bytes';
    is((records())[0]{room}, "a b/&://\xe4\xb8\xad", 'as they are');

    my $path = '/goim/push/room';
    my @all = (operation => 1, type => 'live', room => 1);
    for my $i (0, 2, 4) {
        my @less = @all;
        my ($name) = splice @less, $i, 2;
        refused(POST => $path, \@less, 400, -400, qr/^$name/);
        refused(POST => $path, [@less, $name => ''], 400, -400,
            qr/^$name/);
    }
    refused(POST => $path, [operation => 0, @all[2 .. 5]], 400, -400,
        qr/^operation/);
    refused(POST => $path, [@all[0 .. 3], room => 'x' x 4096], 400, -400,
        qr/^room/);
    refused(POST => $path, [@all[0 .. 3], room => "\0"], 400, -400,
        qr/^room/);
};

subtest 'rooms of a type of our own' => sub {
    my @room = (type => 'im', room => 'inbox');
    fresh();
    refused(POST => '/goim/push/room', [operation => 9, @room], 400, -400,
        qr/^type: "im"/);
    refused(GET => $_, [@room, rooms => 1, limit => 1], 400, -400,
        qr/^type: "im"/)
        for qw(/goim/room/position /goim/room/history /goim/online/room
            /goim/online/top);
    is scalar(records()), 0, 'nothing was pushed';
    is $api->room(9, 'imx', '1', 'x')->{code}, 0, 'another type';
};

subtest 'push/all' => sub {
    fresh();
    is $api->all(9, 'x')->{text}, '{"code":0,"message":""}', 'accepted';
    is $api->all(9, 'x', 100)->{code}, 0, 'with speed';
    is $api->all(9, 'x', '')->{code}, 0, 'with an empty speed';
    my @got = records();
    is_deeply [map { $_->{speed} } @got], [0, 100, 0], 'speeds';
    is_deeply [@{ $got[0] }{qw(type operation kafka_key)}],
        ['BROADCAST', 9, '9'], 'its fields';

    my $path = '/goim/push/all';
    for my $op (6, 23) {
        refused(POST => $path, [operation => $op], 400, -400,
            qr/^operation: 6 and 23/);
        refused(POST => '/goim/push/room', [operation => $op, type => 'live',
            room => 1], 400, -400, qr/^operation: 6 and 23/);
        refused(POST => '/goim/push/keys', [operation => $op, keys => 'k'],
            400, -400, qr/^operation: 6 and 23/);
        refused(POST => '/goim/push/mids', [operation => $op, mids => 1],
            400, -400, qr/^operation: 6 and 23/);
    }
    refused(POST => $path, [], 400, -400, qr/^operation/);
    refused(POST => $path, [operation => 0], 400, -400, qr/^operation/);
    refused(POST => $path, [operation => ''], 400, -400, qr/^operation/);
    refused(POST => $path, [operation => 1, speed => -1], 400, -400,
        qr/^speed/);
    refused(POST => $path, [operation => 1, speed => 'x'], 400, -400,
        qr/^speed/);
    refused(POST => $path, [operation => 1, speed => 2147483648], 400, -400,
        qr/^speed/);
    is records(), 3, 'nothing more was written';
};

# ---- online ------------------------------------------------------------------

subtest 'online' => sub {
    for ([$rpc, 5, 3, 10, 4], [$other, 4, 2, 20, 5]) {
        my ($comet, $conns, $ips, $live, $chat) = @$_;
        is $comet->register(conn_count => $conns, ip_count => $ips)->{code},
            0, "$comet->{server} registers";
        my $r = $comet->call(online => { reset => 1, rooms => [
            { room => 'live://1000', count => $live },
            { room => 'chat://1', count => $chat },
            { room => 'live://0', count => 0 } ] });
        is $r->{code}, 0, 'and tells its rooms';
    }
    $other->call(online => { rooms => [
        { room => 'live://7', count => 100 } ] });

    eventually {
        my $r = $api->online_total;
        $r->{data}{conn_count} && $r->{data}{conn_count} == 9;
    } 10, 'known';

    my $r = $api->online_total;
    is $r->{text},
        '{"code":0,"message":"","data":{"conn_count":9,"ip_count":5}}',
        'total';

    $r = $api->online_top('live', 10);
    is $r->{text}, '{"code":0,"message":"","data":[{"room_id":"7",'
        . '"count":100},{"room_id":"1000","count":30}]}', 'top';
    is @{ $api->online_top('live', 1)->{data} }, 1, 'limited';
    is @{ $api->online_top('l', 10)->{data} }, 2, 'by a prefix';
    is_deeply $api->online_top('none', 10)->{data}, [], 'none';
    is_deeply $api->online_top('chat://1', 1)->{data},
        [{ room_id => '1', count => 9 }], 'a whole room key is a prefix too';

    $r = $api->online_room('live', ['1000', '2000']);
    is_deeply $r->{data}, { 1000 => 30, 2000 => 0 }, 'rooms';
    is_deeply $api->online_room('chat', [1, 1])->{data}, { 1 => 9 },
        'one twice';

    refused(GET => '/goim/online/top', [limit => 1], 400, -400, qr/^type/);
    refused(GET => '/goim/online/top', [type => 'live'], 400, -400,
        qr/^limit/);
    refused(GET => '/goim/online/top', [type => 'live', limit => $_], 400,
        -400, qr/^limit/) for 0, -1, 'x', '', 99999999999;
    refused(GET => '/goim/online/room', [rooms => 1], 400, -400, qr/^type/);
    refused(GET => '/goim/online/room', [type => 'live'], 400, -400,
        qr/^rooms/);

    # sums that were broken are made anew, by those who are told so
    $redis->cmd('SET', 'goim:online', 'junk');
    is_deeply $api->online_room('live', ['1000'])->{data}, { 1000 => 0 },
        'nothing is known';
    $r = $rpc->call(online => { rooms => [
        { room => 'live://1000', count => 2 } ] });
    is $r->{onlined}{all}, 1, 'a zone is to tell all';
    $r = $other->call(online => { rooms => [
        { room => 'live://1000', count => 20 } ] });
    is $r->{onlined}{all}, 1, 'and so is the other';
    is_deeply $api->online_room('live', ['1000'])->{data}, { 1000 => 22 },
        'mended';
    eventually { my $top = $api->online_top('live', 1)->{data};
        @$top && $top->[0]{count} == 22 } 10, 'top too';

    # more of another type than are read at a time, and equals by name
    $redis->cmd('ZADD', 'goim:online', map { (-500, "many://$_") } 1 .. 2500);
    $r = $api->online_top('many', 2000)->{data};
    is_deeply [map { $_->{room_id} } @$r], [@{ [sort 1 .. 2500] }[0 .. 1999]],
        'as many as were asked for, each once';
    is_deeply $api->online_top('live', 9)->{data},
        [{ room_id => '1000', count => 22 }], 'found behind them';
};

# ---- routes, methods, HTTP ---------------------------------------------------

subtest 'routes and methods' => sub {
    for my $path ('/', '/goim', '/goim/push', '/goim/push/keys/',
        '/goim/push/Keys', '/goim//push/keys', '/metrics/x', '/favicon.ico')
    {
        refused(GET => $path, [], 404, -404);
        refused(POST => $path, [], 404, -404);
    }

    my @get = qw(/goim/online/top /goim/online/room /goim/online/total
        /goim/nodes/weighted /goim/nodes/instances /health /metrics);
    my @post = (map({ "/goim/push/$_" } qw(keys mids room all)),
        '/goim/nodes/offline');

    refused(GET => $_, [], 404, -404) for @post;
    refused(POST => $_, [], 404, -404) for @get;
    for my $method (qw(PUT DELETE PATCH OPTIONS)) {
        refused($method => $_, [], 404, -404) for $post[0], $get[2];
    }

    for my $path (@get[2 .. 6]) {
        my $get = $api->request('GET', $path, []);
        my $head = $api->request('HEAD', $path, []);
        is $head->{http}, 200, "HEAD $path";
        ok !length($head->{text} || ''), 'has no body';
        ok $head->{headers}{'content-length'}, 'and says its length';
        is $head->{headers}{'content-type'}, $get->{headers}{'content-type'},
            'with the type of the GET';
    }
    is $api->request('HEAD', '/goim/push/keys', [])->{http}, 404,
        'HEAD of a push';
    is $api->request('HEAD', '/goim/online/top', [])->{http}, 400,
        'HEAD with a wrong parameter';
};

subtest 'bodies' => sub {
    fresh();
    is $api->all(9, 'x' x 204_800)->{code}, 0, 'the longest body';
    my $r = $api->all(9, 'x' x 204_801);
    is $r->{http}, 413, 'a byte more';
    is $api->all(9, 'x')->{code}, 0, 'the next one is heard';

    my $head = "POST /goim/push/all?operation=9 HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: close\r\n";
    like raw("${head}Transfer-Encoding: chunked\r\n\r\n"
        . "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), qr/"code":0,/, 'chunked';
    is((records())[-1]{msg}, 'abcde', 'put together');
    like raw("${head}Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
        qr{^HTTP/1.1 413 }, 'too large in a chunk';
    like raw("${head}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        qr/"code":0,/, 'Expect: 100-continue';
    like raw("${head}Expect: miracle\r\nContent-Length: 3\r\n\r\nabc"),
        qr{^HTTP/1.1 417 }, 'another expectation';
};

subtest 'broken HTTP' => sub {
    my $host = "Host: localhost\r\n";
    my $end = "Connection: close\r\n\r\n";
    my $all = 'POST /goim/push/all?operation=9 HTTP/1.1';
    my $long = 'y' x 70_000;

    fresh();
    for (
        ['nonsense', "\0\1\2\3\r\n\r\n"],
        ['no version', "GET /health\r\n\r\n"],
        ['HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
        ['no Host', "GET /health HTTP/1.1\r\n$end"],
        ['two Hosts', "GET /health HTTP/1.1\r\n$host$host$end"],
        ['a header without colon', "GET /health HTTP/1.1\r\n${host}junk\r\n"
            . $end],
        ['length twice', "$all\r\n${host}Content-Length: 1\r\n"
            . "Content-Length: 1\r\n${end}x"],
        ['length and chunked', "$all\r\n${host}Content-Length: 3\r\n"
            . "Transfer-Encoding: chunked\r\n${end}0\r\n\r\n"],
        ['negative length', "$all\r\n${host}Content-Length: -1\r\n${end}x"],
        ['length of letters', "$all\r\n${host}Content-Length: x\r\n${end}x"],
        ['another coding', "$all\r\n${host}Transfer-Encoding: gzip\r\n"
            . "${end}x", 501],
        ['a long line', "GET /health?$long HTTP/1.1\r\n$host$end", 414],
        ['a long header', "GET /health HTTP/1.1\r\n${host}X: $long\r\n"
            . $end, 431])
    {
        my ($name, $data, $status) = @$_;
        $status ||= 400;
        like raw($data), qr{^HTTP/1.\d $status }, "$name: $status";
    }
    like raw("FOO /health HTTP/1.1\r\n$host$end"), qr{^HTTP/1.1 501 },
        'an unknown method';
    like raw("$all\r\n${host}Transfer-Encoding: chunked\r\n${end}zz\r\n"),
        qr{^HTTP/1.1 4(?:00|13) }, 'a chunk of no length';
    is records(), 0, 'nothing of it was written';

    # half a request, and one that never comes
    like raw('GET /hea'), qr{^HTTP/1.1 408 }, 'half a line, in time';
    like raw("$all\r\n${host}Content-Length: 5\r\n\r\nab"),
        qr{^HTTP/1.1 408 }, 'half a body too';
    is raw(''), '', 'silence is closed';
    is records(), 0, 'nothing of that either';

    # clients of other habits
    like raw("GET /health HTTP/1.0\r\n\r\n"), qr{^HTTP/1.0 200 },
        'HTTP/1.0';
    like raw("GET http://x/health HTTP/1.1\r\n$host$end"),
        qr{^HTTP/1.1 200 }, 'a whole URL';
    my $two = raw("GET /nope HTTP/1.1\r\n$host\r\n"
        . "GET /health HTTP/1.1\r\n$host$end");
    like $two, qr{^HTTP/1.1 404 .*HTTP/1.1 200 }s, 'one behind the other';

    # a client that has gone before its answer
    for (1 .. 20) {
        my $s = Goim::Socket->new(port => $logic->{http_port});
        $s->write("$all\r\n${host}Content-Length: 1\r\n\r\nx");
        $s->drop(reset => $_ % 2);
    }
    is $api->all(9, 'x')->{code}, 0, 'still there';
};

# ---- when something is away --------------------------------------------------

subtest 'Redis is away' => sub {
    $redis->pause;
    my $start = Time::HiRes::time();
    my $r = $api->room(9, 'live', '1', 'x');
    is_deeply [@$r{qw(http code)}], [200, -504], 'unknown: no answer in time';
    $r = $api->keys(9, ['k1'], 'x');
    is_deeply [@$r{qw(http code)}], [200, -500], 'keys: certainly not';
    $r = $api->mids(9, [1], 'x');
    is $r->{code}, -500, 'mids';
    $r = $api->online_room('live', [1]);
    is_deeply [@$r{qw(http code)}], [200, -500], 'online/room';
    is $api->online_top('live', 1)->{code}, -500, 'online/top';
    is $api->online_total->{code}, -500, 'the total is not known now';
    cmp_ok Time::HiRes::time() - $start, '<', 20 * slow(), 'in bounded time';
    $r = $logic->health;
    is $r->{status}, 503, 'not healthy';
    like $r->{content}, qr/"reason":"redis/, 'says why';
    $redis->resume;

    eventually { $logic->health->{status} == 200 } 20, 'healthy again';
    eventually { $api->keys(9, ['k1'], 'x')->{code} == 0 } 10, 'works again';

    $redis->stop;
    eventually { $logic->health->{status} == 503 } 10, 'stopped';
    $r = $api->room(9, 'live', '1', 'x');
    is_deeply [@$r{qw(http code)}], [200, -500], 'room: certainly not';
    $redis->start;
    eventually { $logic->health->{status} == 200 } 20, 'started again';
    is $api->keys(9, ['k1'], 'x')->{code}, 0, 'and works';

    # a Redis that refuses to write
    $redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
    eventually { $logic->health->{status} == 503 } 10, 'full: not healthy';
    like $logic->health->{content}, qr/"reason":"redis: OOM/, 'says why';
    is $api->room(9, 'live', '1', 'x')->{code}, -500, 'certainly not';
    $redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
    is $api->room(9, 'live', '1', 'x')->{code}, 0, 'until there is room';
};

subtest 'too much is waiting' => sub {
    my @s;
    $redis->pause;
    for (1 .. 60) {
        my $s = Goim::Socket->new(port => $logic->{http_port});
        $s->write("POST /goim/push/all?operation=9 HTTP/1.1\r\nHost: localhost\r\n"
            . "Connection: close\r\nContent-Length: 200000\r\n\r\n"
            . 'x' x 200_000);
        push @s, $s;
    }
    my %codes;
    for my $s (@s) {
        my $end = Time::HiRes::time() + 10 * slow();
        while (!$s->eof) { $s->wait_read($end) or last }
        $codes{$1}++ if $s->{buf} =~ /"code":(-?\d+)/;
    }
    $redis->resume;
    is $codes{-500} + ($codes{-504} || 0), 60, 'all are answered';
    cmp_ok $logic->metrics->{'goim_logic_push_failed_total{reason="pending"}'}, '>=', 20,
        'what is too much was refused';
    eventually { $logic->health->{status} == 200 } 20, 'healthy again';
    eventually { $logic->metrics->{goim_logic_push_waiting} == 0 } 10,
        'nothing waits';

    # /health speaks for one thread
    eventually { my $m = $logic->metrics;
        $m->{goim_logic_redis_connections} == $m->{goim_logic_threads} } 10,
        'every thread has its connection again';
};

subtest 'end' => sub {
    # pushes under way are answered at SIGTERM
    my @s = map { Goim::Socket->new(port => $logic->{http_port}) } 1 .. 4;
    $redis->pause;
    $_->write("POST /goim/push/all?operation=77 HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Length: 1\r\n\r\nx") for @s;
    wait_for { $logic->metrics->{goim_logic_push_waiting} == 4 } 10, 'wait';
    $logic->signal('TERM');
    Time::HiRes::sleep(0.3);
    ok $logic->alive, 'waits for them';
    $redis->resume;
    for my $s (@s) {
        my $end = Time::HiRes::time() + 10 * slow();
        while (!$s->eof) { $s->wait_read($end) or last }
        like $s->{buf}, qr/Connection: close.*"code":0,/s, 'answered';
    }
    is $logic->wait_exit(20), 0, 'ends with 0';
};

done_testing;
