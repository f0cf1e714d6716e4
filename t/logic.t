# goim-logic as a process: options, configuration, start, log, and the
# application behind it (auth and receive by HTTP).

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;

# ---- options and configuration -----------------------------------------------

subtest 'options and configuration' => sub {
    my $logic = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1);
    my ($rc, $said);

    ($rc, $said) = $logic->run('--version');
    is $rc, 0, '--version';
    like $said, qr/^logic \d+\.\d+/, 'says the version';
    ($rc, $said) = $logic->run('--help');
    is $rc, 0, '--help';
    ($rc) = $logic->run('--nonsense');
    is $rc, 2, 'an unknown option';
    ($rc, $said) = $logic->test_conf;
    is $rc, 0, '--test' or diag $said;
    ($rc, $said) = $logic->run('--config',
        root_dir() . '/conf/logic.conf', '--test');
    is $rc, 0, 'the example' or diag $said;

    for my $case (
        ['logic', 'http', 'nowhere'], ['logic', 'http', 'localhost:3111'],
        ['logic', 'rpc', '127.0.0.1'], ['logic', 'rpc', '127.0.0.1:99999'],
        ['logic', 'threads', '-1'], ['logic', 'threads', 'many'],
        ['logic', 'log_level', 'loud'], ['logic', 'drain', '1y'],
        ['logic', 'nonsense', '1'], ['nonsense', 'x', '1'],
        ['http', 'max_body', '1t'], ['http', 'max_body', '-1'],
        ['http', 'trusted_proxies', '10.0.0.0/33'],
        ['http', 'timeout', '0'],
        ['push', 'timeout', '1ms'], ['push', 'max_keys', '0'],
        ['session', 'ttl', '0'], ['session', 'heartbeat_max', '0'],
        ['registry', 'renew', '20s'],
        ['nodes', 'tcp_port', '65536'], ['nodes', 'region_weight', 'x'],
        ['backoff', 'jitter', '1.5'], ['backoff', 'factor', '0.5'],
        ['regions', 'sh', '10.0.0.0/8, x'],
        ['auth', 'mode', 'maybe'], ['auth', 'url', 'https:///x'], ['auth', 'url', 'http://x y/'],
        ['auth', 'url', 'x'], ['auth', 'url', 'http:///x'],
        ['auth', 'url', 'http://u@h/x'], ['auth', 'connections', '0'],
        ['receive', 'url', 'ftp://x/'], ['receive', 'url', 'http://x:0/'],
        ['redis', 'addr', 'nowhere'], ['redis', 'prefix', 'x' x 65],
        ['bus', 'driver', 'pigeon'], ['bus', 'partitions', '0'])
    {
        my ($section, $key, $value) = @$case;
        my $bad = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1,
            conf => { $section => { $key => $value } });
        ($rc, $said) = $bad->test_conf;
        is $rc, 1, "[$section] $key = $value is refused";
        like $said, qr/\Q$key\E|log level "loud"|nonsense|regions/,
            'and named' or diag $said;
    }

    my $bad = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1,
        conf => { auth => { mode => 'http' } });
    ($rc, $said) = $bad->test_conf;
    is $rc, 1, 'mode http without url';
    like $said, qr/\[auth\] url/, 'is named';

    $bad = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1,
        conf => { regions => { sh => '10.0.0.0/8', bj => '10.1.0.0/8' } });
    ($rc, $said) = $bad->test_conf;
    is $rc, 1, 'a network of two regions';
    like $said, qr/"bj"/, 'names them';
};

# ---- start and log -----------------------------------------------------------

subtest 'start' => sub {
    my $port = free_port();

    # without Redis: it starts, says so, and goes on trying
    my $logic = Goim::Logic->new(redis => "127.0.0.1:$port", conf => {
        redis => { prefix => 'pre:' } });
    is $logic->health->{status}, 503, 'no Redis: not healthy';
    is $logic->api->room(1, 'a', 'b', 'x')->{code}, -500, 'pushes fail';
    is $logic->api->keys(1, ['a'], 'x')->{code}, -500, 'keys too';
    like $logic->logs, qr/\[warn\].*Connection refused/, 'said';

    my $redis = Goim::Redis->new(port => $port, conf => {
        appendfsync => 'everysec', 'maxmemory-policy' => 'allkeys-lru' });
    eventually { $logic->health->{status} == 200 } 20, 'Redis comes: healthy';
    eventually { $logic->logs =~ /\[warn\].*"appendfsync everysec"/ } 10,
        'a Redis that may lose pushes is told of';
    eventually { $logic->logs =~ /\[warn\].*allkeys-lru/ } 10,
        'one that may evict too';
    Goim::RPC::ready($logic);
    is $logic->api->room(1, 'a', 'b', 'x')->{code}, 0, 'pushes work';
    like $logic->logs, qr/\[warn\].*\[auth\] mode = trust: any client may /,
        'trust is warned of';

    my $rpc = Goim::RPC->new($logic->{rpc_port});
    $rpc->call(connect => { token => '{"mid":1,"key":"k"}' });
    is $redis->cmd('GET', 'pre:key_k'), 'comet-1', 'the prefix';
    for my $key (qw(pre:key_k pre:mid_1)) {
        my $ttl = $redis->cmd('PTTL', $key);
        ok $ttl > 1_700_000 && $ttl <= 1_800_000, "$key: 30 minutes";
    }
    is_deeply [grep { !/^pre:/ } @{ $redis->cmd('KEYS', '*') }], [],
        'stands before every key';

    # another one on the same ports
    allow_log(qr/\[emerg\] \d+: (?:cannot listen on|logic: could not start)/);
    for my $key (qw(http rpc)) {
        my $twin = Goim::Logic->new(redis => "127.0.0.1:$port",
            stopped => 1, conf => { logic => {
            $key => "127.0.0.1:$logic->{qq(${key}_port)}" } });
        my ($rc, $said) = $twin->run('--config', "$twin->{dir}/logic.conf");
        is $rc, 1, "the $key port is taken";
        like $said, qr/\[emerg\].*127\.0\.0\.1:$logic->{qq(${key}_port)}/,
            'and named';
    }

    # the log is opened again
    my $log = "$logic->{dir}/own.log";
    $logic->stop;
    $logic->configure({ logic => { log => $log, log_level => 'info' } });
    $logic->start;
    like slurp($log), qr/\[notice\].*started/, 'a log file';
    rename $log, "$log.1" or die;
    $logic->signal('HUP');
    eventually { -s $log } 10, 'SIGHUP opens it again';
    is Goim::RPC::ready($logic)->health->{status}, 200, 'and it goes on';
    is $logic->stop, 0, 'ends with 0';
    like slurp($log), qr/\[notice\].*stopped/, 'says so';

    # a second signal ends it at once, whatever is under way
    $logic->configure({ redis => { timeout => '60s' },
        push => { timeout => '60s' } });
    Goim::RPC::ready($logic->start);
    $redis->pause;
    my $s = Goim::Socket->new(port => $logic->{http_port});
    $s->write("POST /goim/push/all?operation=1 HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Length: 1\r\n\r\nx");
    eventually { $logic->metrics->{goim_logic_push_waiting} == 1 } 10,
        'a push waits';
    $logic->signal('TERM');
    Time::HiRes::sleep(0.5);
    ok $logic->alive, 'waits with it';
    $logic->signal('TERM');
    is $logic->wait_exit(10), 0, 'a second signal';
    $redis->resume;

    # the drain time bounds it
    $logic->configure({ logic => { drain => '500ms' } });
    Goim::RPC::ready($logic->start);
    $redis->pause;
    $s = Goim::Socket->new(port => $logic->{http_port});
    $s->write("POST /goim/push/all?operation=1 HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Length: 1\r\n\r\nx");
    eventually { $logic->metrics->{goim_logic_push_waiting} == 1 } 10,
        'a push waits';
    $logic->signal('TERM');
    is $logic->wait_exit(10), 0, 'the drain time is over';
    like slurp($log), qr/still busy after the drain time/, 'said';
    $redis->resume;
};

# ---- the application ---------------------------------------------------------

my $redis = Goim::Redis->new;
my $app = Goim::App->new(sub {
    my ($path, $head, $body, $nth) = @_;

    return if $body eq 'cut';
    return (200, '{"mid":7,"key":"cut-2"}') if $body eq 'keep' && $nth == 1;
    return ($1, '{}') if $body =~ /^status (\d+)/;
    return (200, $1) if $body =~ /^say (.*)/s;
    return (200, 'x' x 100_000) if $body eq 'much';
    if ($body eq 'slow') { Time::HiRes::sleep(1); }
    return (200, '{"mid":7,"key":"app","room_id":"live://9","accepts":[1]}',
        $body eq 'closing');
});

sub seen { return $app->seen }

my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 },
    auth => { mode => 'http', url => "http://localhost:$app->{port}/auth?v=1",
        timeout => '500ms', connections => 4, waiting => 4 },
    receive => { url => $app->url('/receive'),
        timeout => '500ms' } });
Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});

sub ask {
    my ($token, %more) = @_;
    return $rpc->call(connect => { session => 1, token => $token, %more });
}

subtest 'auth by the application' => sub {
    my $r = ask("to\0ken", cookie => 'a=b; c=d', addr => '192.0.2.9');
    is $r->{code}, 0, 'it agrees';
    is_deeply [@{ $r->{connected} }{qw(mid key room)},
        @{ $r->{connected}{accepts} }], [7, 'app', 'live://9', 1],
        'and says who that is';
    my ($s) = seen();
    is $s->{path}, '/auth?v=1', 'it was asked at its URL';
    is $s->{body}, "to\0ken", 'with the token';
    like $s->{head}, qr/^Host: localhost:$app->{port}\r?$/m, 'Host';
    like $s->{head}, qr/^Cookie: a=b; c=d\r?$/m, 'the cookie';
    like $s->{head}, qr/^X-Goim-Addr: 192\.0\.2\.9\r?$/m, 'the address';
    like $s->{head}, qr/^X-Goim-Server: comet-1\r?$/m, 'the node';

    ask('x', cookie => "a=b\r\nX-Evil: 1");
    unlike +(seen())[-1]{head}, qr/X-Evil/, 'no header of the client\'s own';

    is ask('status 401')->{code}, 2, '401 denies';
    is ask('status 403')->{code}, 2, '403 too';
    is ask("status $_")->{code}, 1, "$_ fails" for 404, 500, 302;
    is ask('say {"mid":1,"room_id":"x"}')->{code}, 1, 'a wrong room';
    is ask('say {"mid":1,"rooms":["a://b",1]}')->{code}, 1,
        'or list of rooms fails';
    is_deeply [@{ ask('say {"mid":1,"rooms":["a://*","b://1"]}')->{connected}
        }{qw(limited rooms)}], [1, ['a://*', 'b://1']], 'rooms to enter';
    is_deeply [@{ ask('say {"mid":1}')->{connected} }{qw(limited rooms)}],
        [1, []], 'none are told: none';
    like ask('say {"mid":1}')->{connected}{key}, qr/^[0-9a-f-]{36}$/,
        'no key: a made-up one';
    is ask('cut')->{code}, 1, 'no answer fails';
    is ask('much')->{code}, 1, 'an endless answer too';
    is ask('slow')->{code}, 1, 'a late one too';
    eventually { ask('x')->{code} == 0 } 10, 'the next one is asked';

    # the connection is kept; one that ended meanwhile costs nothing
    is ask('keep')->{code}, 0, 'kept' for 1 .. 3;
    cmp_ok +(seen())[-1]{nth}, '>', 1, 'a connection serves several';
    for (1 .. 10) {
        last if !is ask('closing')->{code}, 0, 'and may end';
    }

    # more than wait
    my @id = map { $rpc->send(connect => { session => 1, token => 'slow' }) }
        1 .. 20;
    my @codes = map { $rpc->reply($_)->{code} } @id;
    is_deeply [grep { $_ != 1 } @codes], [], 'too many at once fail';
    eventually { ask('x')->{code} == 0 } 20, 'and then it goes on';

    # a comet that goes before the answer
    my $gone = Goim::RPC->new($logic->{rpc_port}, server => 'gone');
    my $n = seen();
    $gone->send(connect => { session => 1,
        token => 'say {"key":"gone"}' }) for 1 .. 3;
    $gone->close;
    eventually { seen() >= $n + 3 } 10, 'is asked for';
    eventually { $logic->metrics->{goim_logic_rpc_links} == 1 } 10, 'gone';
    is ask('x')->{code}, 0, 'hurts nobody';
};

subtest 'packets for the application' => sub {
    my $r = $rpc->call(receive => { mid => 7, key => 'k&1', room => 'a://b',
        operation => 4, sequence => 9, body => "bo\0dy" });
    is $r->{code}, 0, 'taken';
    my ($s) = (seen())[-1];
    is $s->{path},
        '/receive?mid=7&operation=4&seq=9&key=k%261&room=a%3A%2F%2Fb',
        'who, what and where';
    is $s->{body}, "bo\0dy", 'the packet\'s body';
    is $rpc->call(receive => { operation => 4, body => 'status 500' })
        ->{code}, 1, 'a 500 fails';
    is $rpc->call(receive => { operation => 4, body => 'slow' })->{code}, 1,
        'so does lateness';
    eventually { $rpc->call(receive => { operation => 4 })->{code} == 0 } 10,
        'then it goes on';
    my @id = map { $rpc->send(receive => { operation => 4, body => $_ }) }
        1 .. 300;
    is_deeply [grep { $rpc->reply($_)->{code} } @id], [], '300 at once';

    $app->stop;
    is $rpc->call(receive => { operation => 4 })->{code}, 1,
        'an application that is away';
    is ask('x')->{code}, 1, 'no logins then';
    $app->start;
    eventually { ask('x')->{code} == 0 } 10, 'it is back';
    like $logic->logs, qr/\[warn\].*the application/, 'the log knew';
    is $logic->stop, 0, 'ends with 0';
};

done_testing;
