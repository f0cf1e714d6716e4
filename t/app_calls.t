# logic's calls to the application: https, every address of a name, answers
# as servers send them; and nothing else on the thread waits for them.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Logic;
use Goim::Nginx;
use Goim::RPC;
use Goim::Redis;
use IO::Socket::INET;

my $redis = Goim::Redis->new;
my $cert = folder('cert');
Goim::Nginx::cert($cert);

my $agrees = '{"mid":7,"key":"app"}';
my $http = Goim::App->new(\&answer);
my $https = Goim::App->new(\&answer, ssl => $cert);

sub answer {
    my ($path, $head, $body, $nth) = @_;
    my $ok = "HTTP/1.1 200 OK\r\nContent-Length: " . length($agrees)
        . "\r\n\r\n$agrees";

    return \"HTTP/1.1 100 Continue\r\n\r\n$ok" if $body eq 'continue';
    return \("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" x 3 . $ok)
        if $body eq 'hints';
    return (\("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" x 1000 . $ok), 1)
        if $body eq 'endless';
    return (\("HTTP/1.1 200 OK\r\n" . join('', map { "X-$_: "
        . 'x' x 1000 . "\r\n" } 1 .. 20) . "\r\n$agrees"), 1)
        if $body eq 'headers';
    return \join '', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        (map { sprintf "1;x=y\r\n%s\r\n", $_ } split //, $agrees),
        "0\r\nTrailer: x\r\n\r\n" if $body eq 'chunked';
    return (\"HTTP/1.0 200 OK\r\n\r\n$agrees", 1) if $body eq 'old';
    return (\"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n$agrees", 1)
        if $body eq 'short';
    return (\"NONSENSE $agrees", 1) if $body eq 'nonsense';
    return \("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
        . "Content-Length: 0\r\n\r\n") if $body eq 'redirect';
    return ($1, $2) if $body =~ /^(\d+) (.*)/s;
    return (200, $agrees);
}

# a logic with [auth] as given; hosts, resolv: its own /etc/hosts and the like
sub logic {
    my ($auth, %file) = @_;
    my $logic = Goim::Logic->new(redis => $redis->addr, stopped => 1,
        conf => { logic => { threads => 1 }, auth => { mode => 'http',
            timeout => '5s', connections => 4, %$auth } });
    my @mount;

    for my $name (sort keys %file) {
        spew("$logic->{dir}/$name", $file{$name});
        push @mount, "mount --bind '$logic->{dir}/$name' '/etc/$name'";
    }
    $logic->{cmd} = ['unshare', $> ? '-rm' : '-m', 'sh', '-c',
        join(' && ', @mount, 'exec "$@"'), 'sh', @{ $logic->{cmd} }]
        if @mount;

    # a proxy of the environment's, which nobody is
    $logic->{env}{$_} = 'http://127.0.0.1:1'
        for qw(http_proxy https_proxy ALL_PROXY);
    $logic->start;
    Goim::RPC::ready($logic);
    return ($logic, Goim::RPC->new($logic->{rpc_port}));
}

my $session = 0;

sub ask {
    my ($rpc, $token) = @_;
    return $rpc->call(connect => { session => ++$session, token => $token });
}

subtest 'answers' => sub {
    my ($logic, $rpc) = logic({ url => $http->url('/auth') });

    is ask($rpc, $_)->{connected}{mid}, 7, $_
        for qw(continue hints chunked old plain);
    is ask($rpc, $_)->{code}, 1, "$_: fails"
        for qw(endless headers short nonsense redirect);
    is scalar(grep { $_->{path} eq '/elsewhere' } $http->seen), 0,
        'a redirect is not followed';
    like $logic->logs, qr/the application does not answer: /, 'why is said';
    is ask($rpc, 'x')->{code}, 0, 'and it goes on';

    my @seen = $http->seen;
    unlike join('', map { $_->{head} } @seen), qr/^Expect:/mi,
        'nobody is made to wait for a body';
    is $logic->stop, 0, 'ends';
};

subtest 'what is a login' => sub {
    for (['a page', '200 <html>We are back soon</html>', 'not JSON'],
        ['nothing', '200 ', 'empty'], ['204', '204 ', 'empty'],
        ['gzip', "200 \x1f\x8b\x08\0\0", 'not JSON'],
        ['a byte order mark', "200 \xef\xbb\xbf$agrees", 'not JSON'],
        ['null', '200 null', 'not a JSON object'],
        ['a list', "200 [$agrees]", 'not a JSON object'],
        ['text', '200 "ok"', 'not a JSON object'],
        ['half of it', '200 {"mid":7', 'not JSON'],
        ['an error in JSON', '200 {"code":401,"error":"who?"}',
            'neither mid nor key, and no guest'],
        ['an empty object', '201 {}', 'neither mid nor key, and no guest'],
        ['nobody', '200 {"mid":0,"key":"","guest":false}',
            'neither mid nor key, and no guest'],
        ['a wrong mid', '200 {"mid":"x"}', 'mid is not an integer of 64 bits'])
    {
        my ($name, $answer, $why) = @$_;
        my ($logic, $rpc) = logic({ url => $http->url('/auth') });

        is ask($rpc, $answer)->{code}, 1, "$name fails: one may try again";
        is $logic->metrics->{goim_logic_denied_total}, 0, 'nobody is denied';
        is $logic->metrics->{goim_logic_connects_total}, 0, 'nobody is in';
        my $said = sprintf 'auth: the application\'s answer of %d bytes is no'
            . ' login: %s', length($answer) - 4, $why;
        like $logic->logs, qr/\[warn\] .*: \Q$said\E$/m, 'and why is said';
        $logic->stop;
    }

    my ($logic, $rpc) = logic({ url => $http->url('/auth') });
    my $r = ask($rpc, '200 {"guest":true}');
    is $r->{code}, 0, 'a guest';
    is $r->{connected}{mid}, 0, 'is nobody';
    like $r->{connected}{key}, qr/^[0-9a-f-]{36}$/, 'with a made-up key';
    is ask($rpc, '200 {"mid":"9007199254740993","id":9e999,"name":"\\ud800"'
        . ",\"raw\":\"\xff\"}")->{connected}{mid}, '9007199254740993',
        'a mid in text, and whatever else it says';
    is ask($rpc, '200 {"key":"only"}')->{connected}{key}, 'only', 'a key only';
    $logic->stop;
};

subtest 'what is passed on' => sub {
    my @names = qw(Origin User-Agent Authorization X-Request-Id);
    my $asks = sub {
        my ($pass) = @_;
        my ($logic, $rpc) = logic({ url => $http->url('/auth'),
            pass => $pass });
        $rpc->call(connect => { session => ++$session, token => 'x',
            query => 'a=b', headers => [(map { { name => $_,
                value => "the $_" } } @names, 'X-Tenant'),
                (map { { name => $_, value => 'evil' } } 'Content-Length',
                    'Transfer-encoding', 'cookie', 'X-Goim-Addr', 'X-Evil: 1',
                    "X-Evil\r\nX", 'query', '', 'x' x 65),
                { name => 'Origin', value => "x\r\nX-Evil: 1" }] });
        $logic->stop;
        my $head = ($http->seen)[-1]{head};
        unlike $head, qr/evil/i, 'nothing else';
        like $head, qr/^X-Tenant: the X-Tenant\r$/m, 'one of goim_pass';
        return join ' ', $head =~ /^(X-Goim-Query|@{[join '|', @names]}):/mg;
    };
    is $asks->(undef), "X-Goim-Query @names", 'all of it';
    is $asks->(''), '', 'nothing';
    is $asks->('origin,QUERY'), 'X-Goim-Query Origin', 'some';

    my $bad = Goim::Logic->new(redis => $redis->addr, stopped => 1,
        conf => { auth => { pass => 'Origin, X-Forwarded-For' } });
    my ($rc, $said) = $bad->test_conf;
    is $rc, 1, 'another header';
    like $said, qr/\[auth\] pass = .*: "X-Forwarded-For" is none of query, Origin/,
        'is named';
};

subtest 'https' => sub {
    my ($logic, $rpc) = logic({ url => $https->url('/auth?v=1', 'localhost'),
        ca => "$cert/cert.pem" });
    is ask($rpc, 'x')->{connected}{mid}, 7, 'a CA of one\'s own' for 1 .. 3;
    my @seen = $https->seen;
    is $seen[-1]{nth}, 3, 'one connection for all';
    is $seen[-1]{path}, '/auth?v=1', 'where';
    is ask($rpc, 'y' x 4000)->{code}, 0, 'a large token';
    is +($https->seen)[-1]{body}, 'y' x 4000, 'as it was';
    $logic->stop;

    ($logic, $rpc) = logic({ url => $https->url('/auth', 'localhost') });
    is ask($rpc, 'x')->{code}, 1, 'a CA that nobody knows';
    like $logic->logs, qr/does not answer: .*certificate/, 'said';
    $logic->stop;

    ($logic, $rpc) = logic({ url => $https->url('/auth', 'other.test'),
        ca => "$cert/cert.pem" }, hosts => "127.0.0.1 other.test\n");
    is ask($rpc, 'x')->{code}, 1, 'another name\'s certificate';
    like $logic->logs, qr/does not answer: .*(?:certificate|subject)/, 'said';
    $logic->stop;

    is scalar($https->seen), 4, 'neither of them told the token';
    my $bad = Goim::Logic->new(redis => $redis->addr, stopped => 1,
        conf => { auth => { mode => 'http', ca => '/nowhere',
            url => 'https://localhost/' } });
    my ($rc, $said) = $bad->test_conf;
    is $rc, 1, 'a CA file that is not there';
    like $said, qr{\[auth\] ca = "/nowhere" cannot be read: No such file}, 'is named';
};

subtest 'every address of a name' => sub {
    my ($logic, $rpc) = logic({ url => $http->url('/auth', 'App.test') },
        hosts => join '', map { "$_ app.test\n" } '::1', '127.0.0.77',
            '127.0.0.78', '127.0.0.1');
    is ask($rpc, 'x')->{code}, 0, 'the last one answers' for 1 .. 5;
    is $logic->metrics->{goim_logic_hook_failed_total}, 0, 'none failed';
    like +($http->seen)[-1]{head}, qr/^Host: App\.test:$http->{port}\r?$/m,
        'Host';
    $logic->stop;

    ($logic, $rpc) = logic({ url => $http->url('/auth', 'app.test') },
        hosts => "127.0.0.77 app.test\n127.0.0.78 app.test\n");
    is ask($rpc, 'x')->{code}, 1, 'none answers';
    like $logic->logs, qr/does not answer: .*connect/, 'said';

    # it moves
    spew("$logic->{dir}/hosts", "127.0.0.1 app.test\n");
    eventually { ask($rpc, 'x')->{code} == 0 } 10, 'its new address is found';
    $logic->stop;
};

subtest 'a name server that says nothing' => sub {
    my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.99',
        LocalPort => 53, Proto => 'udp') or die "port 53: $!";
    my ($logic, $rpc) = logic({ url => 'http://app.test/', timeout => '3s' },
        hosts => '', 'resolv.conf' => "nameserver 127.0.0.99\n");

    my @id = map { $rpc->send(connect => { session => 1, token => 'x' }) }
        1 .. 20;
    my $m;
    eventually { $m = $logic->metrics;
        $m->{goim_logic_hook_requests_total} == 20 } 10, 'they wait';
    is $m->{goim_logic_hook_failed_total}, 0, 'and the loop goes on';
    my $threads = () = glob "/proc/$logic->{pid}/task/*";
    cmp_ok $threads, '<=', 4, 'one lookup for all';
    is_deeply [map { $rpc->reply($_)->{code} } @id], [(1) x 20],
        'in their time they fail';
    like $logic->logs, qr/its name was not found in time/, 'why is said';

    $rpc->send(connect => { session => 1, token => 'x' });
    is $logic->stop, 0, 'a stop does not wait for it';
};

done_testing;
