# The keys of signed tokens from a URL and from files: asked for again, when a
# token needs another one, too; what vanishes or turns hostile leaves those of
# before in force.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::JWT;
use Goim::Logic;
use Goim::Nginx;
use Goim::RPC;
use Goim::Redis;

my $redis = Goim::Redis->new;
my $cert = folder('cert');
Goim::Nginx::cert($cert);

# what the URL answers stands in a file
my $answer = folder('answer') . '/answer';

sub answers { spew("$answer.new", $_[0]); rename "$answer.new", $answer or die }

my $app = Goim::App->new(sub {
    my ($status, $body) = slurp($answer) =~ /^(\S+) (.*)/s or return;
    return $status =~ /^\d+$/ ? ($status, $body) : ();
}, ssl => $cert);

my %key = map { $_ => Goim::JWT->new($_ =~ /^r/ ? 'RS256' : 'ES256',
    kid => $_) } qw(e1 e2 e3 r1);
my $evil = Goim::JWT->new('HS256', kid => 'oct');

# a logic with these keys, and a call of its RPC
sub logic {
    my (%auth) = @_;
    my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
        logic => { threads => 2 },
        auth => { mode => 'jwt', algorithms => 'HS256 RS256 ES256',
            ca => "$cert/cert.pem", %auth } });
    Goim::RPC::ready($logic);
    return $logic;
}

sub url { return (jwks => $app->url('/jwks', 'localhost')) }

my $session = 0;

# 0: in, 1: try again, 2: no
sub login {
    my ($logic, $key, $rpc) = @_;
    $rpc ||= Goim::RPC->new($logic->{rpc_port});
    return $rpc->call(connect => { session => ++$session,
        token => '{"token":"' . $key->token({ sub => '7' }) . '"}' })->{code};
}

# it stands in the log, behind what was said before
sub said {
    my ($logic, $what, $name) = @_;
    eventually {
        my $log = substr $logic->logs, $logic->{said} || 0;
        $log =~ /\[error\].*\Q$what\E.*\n/ or return;
        $logic->{said} += $+[0];
    } 20, $name || $what;
}

sub seen { return scalar(my @list = $app->seen) }

subtest 'not there yet' => sub {
    $app->stop;
    my $logic = logic(url(), refresh => '1h', refresh_min => '200ms');
    said($logic, 'there are none of it yet', 'no keys: it starts, and says so');
    is login($logic, $key{e1}), 1, 'who comes may try again';
    is $logic->metrics->{goim_logic_jwt_keys}, 0, 'none are in force';

    answers('200 ' . Goim::JWT::jwks(@key{qw(e1 r1)}));
    $app->start;
    eventually { login($logic, $key{e1}) == 0 } 20, 'it is asked again soon';
    is $logic->metrics->{goim_logic_jwt_keys}, 2, 'two are in force';
    is login($logic, $key{r1}), 0, 'the other one';
    cmp_ok $logic->metrics
        ->{'goim_logic_jwt_refreshes_total{result="failed"}'}, '>=', 1,
        'failures are counted';
    like +($app->seen)[0]{head}, qr{^GET /jwks HTTP/1\.1\r\n}, 'GET';
    is $logic->stop, 0, 'ends';
};

subtest 'another key' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $logic = logic(url(), refresh => '1h', refresh_min => '300ms');
    eventually { login($logic, $key{e1}) == 0 } 20, 'in';

    # it is asked for when a token needs it, and the login waits for that
    select undef, undef, undef, 0.4 * slow();
    answers('200 ' . Goim::JWT::jwks(@key{qw(e1 e2)}));
    is login($logic, $key{e2}), 0, 'a new key: in at once';

    # one that nobody has
    select undef, undef, undef, 0.4 * slow();
    is login($logic, $key{e3}), 2, 'one that it does not have: no';
    is $logic->stop, 0, 'ends';
};

subtest 'how often' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $logic = logic(url(), refresh => '1h', refresh_min => '1h');
    eventually { login($logic, $key{e1}) == 0 } 20, 'in';
    my $before = seen();
    my @rpc = map { Goim::RPC->new($logic->{rpc_port}) } 1 .. 8;
    my %codes;
    for my $n (1 .. 40) {
        my $other = Goim::JWT->new('HS256', kid => "x$n");
        $codes{ login($logic, $other, $rpc[$n % 8]) }++;
    }
    is_deeply \%codes, { 1 => 40 }, 'unknown keys: may try again later';
    is seen(), $before, 'as it was asked just now, nobody asks for them';
    is $logic->stop, 0, 'ends';
};

subtest 'many at once' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $logic = logic(url(), refresh => '1h', refresh_min => '500ms');
    eventually { login($logic, $key{e1}) == 0 } 20, 'in';
    select undef, undef, undef, 0.6 * slow();

    answers('200 ' . Goim::JWT::jwks(@key{qw(e1 e2)}));
    my $before = seen();
    my $token = '{"token":"' . $key{e2}->token({ sub => '7' }) . '"}';
    my @rpc = map { Goim::RPC->new($logic->{rpc_port}) } 1 .. 8;
    my @ids = map { my $r = $_; map { [$r, $r->send(connect => {
        session => ++$session, token => $token })] } 1 .. 10 } @rpc;
    my %codes;
    $codes{ $_->[0]->reply($_->[1])->{code} }++ for @ids;
    is_deeply \%codes, { 0 => 80 }, 'all that wait for it are in';
    is seen() - $before, 1, 'by one request';
    is $logic->stop, 0, 'ends';
};

subtest 'it vanishes' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $logic = logic(url(), refresh => '1s', refresh_min => '100ms',
        timeout => '2s');
    eventually { login($logic, $key{e1}) == 0 } 20, 'in';

    my $page = '<html>not here</html>';
    for (["404 $page", 'status 404'], ["500 $page", 'status 500'],
        ["200 $page", 'not a JWK Set: no JSON'],
        ['200 ', 'not a JWK Set: no JSON'],
        ['302 ', 'status 302'], ["204 ", 'status 204'],
        ['200 {"keys":[]}', 'no key for any of the algorithms'],
        ['200 {"keys":7}', 'not a JWK Set: it has no list of keys'],
        ["200 {\0}", 'not a JWK Set: no JSON'],
        ['nothing ', 'Empty reply from server'])
    {
        my ($text, $why) = @$_;
        answers($text);
        said($logic, "$why: the keys of before stay",
            'an answer of ' . ($text =~ s/\0/NUL/r));
        is login($logic, $key{e1}), 0, 'and they do';
    }
    $app->stop;
    said($logic, 'connect to server: the keys of before stay', 'nobody there');
    is login($logic, $key{e1}), 0, 'they stay then, too';
    $app->start;

    # what it takes away is gone
    answers('200 ' . Goim::JWT::jwks($key{e2}));
    eventually { login($logic, $key{e1}) } 20, 'a key that was withdrawn';
    is login($logic, $key{e2}), 0, 'the one that came for it';
    is $logic->stop, 0, 'ends';
};

subtest 'it turns hostile' => sub {
    answers('200 ' . Goim::JWT::jwks($key{r1}));
    my $logic = logic(url(), refresh => '1s', refresh_min => '100ms');
    eventually { login($logic, $key{r1}) == 0 } 20, 'in';

    my $one = $key{e1}->jwk;
    my $many = Goim::JWT::jwks(($key{e2}) x 65);
    my $weak = Goim::JWT::jwks($key{r1}) =~ s/"n":"[^"]{100}/"n":"/r;
    for (['an oct key', Goim::JWT::jwks($evil), 'a secret, where everybody can'
            . ' see it'],
        ['beside others', Goim::JWT::jwks($key{r1}, $evil), 'key 2: a secret,'
            . ' where everybody can see it'],
        ['65 keys', $many, '65 keys, 64 are taken'],
        ['10,000 keys', '{"keys":[' . join(',', ('{"kty":"x"}') x 10_000)
            . ']}', 'its answer is too long'],
        ['a megabyte', '{"keys":[], "x":"' . 'x' x 1_000_000 . '"}',
            'its answer is too long'],
        ['deep', '{"keys":' . '[' x 30_000, 'not a JWK Set: no JSON'],
        ['a weak key', $weak, 'RSA of '])
    {
        my ($name, $text, $why) = @$_;
        answers("200 $text");
        said($logic, $why, "$name: is refused");
        is login($logic, $key{r1}), 0, 'the keys of before stay';
        isnt login($logic, $evil), 0, 'that of a stranger is none';
        is $logic->metrics->{goim_logic_jwt_keys}, 1, 'as many as before';
    }
    is $logic->stop, 0, 'ends';
};

subtest 'https' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $logic = logic(url(), ca => undef, refresh => '1h',
        refresh_min => '200ms');
    said($logic, 'SSL certificate problem', 'a certificate of nobody');
    is login($logic, $key{e1}), 1, 'no keys of that one';
    is $logic->stop, 0, 'ends';

    my $other = folder('other');
    Goim::Nginx::cert($other, 'elsewhere.test');
    my $server = Goim::App->new(sub { return (200, Goim::JWT::jwks($key{e1})) },
        ssl => $other);
    $logic = logic(jwks => $server->url('/', 'localhost'),
        ca => "$other/cert.pem", refresh => '1h', refresh_min => '200ms');
    said($logic, 'there are none of it yet', 'a certificate of another name');
    isnt login($logic, $key{e1}), 0, 'no keys of that one';
    is $logic->stop, 0, 'ends';
};

subtest 'files' => sub {
    my $file = folder('keys') . '/jwks.json';
    spew($file, Goim::JWT::jwks($key{e1}, $evil));
    my $logic = logic(keys => "$file, " . $key{r1}->file, refresh => '1s',
        refresh_min => '100ms', issuer => '');
    is login($logic, $key{$_}), 0, $_ for qw(e1 r1);
    is login($logic, $evil), 0, 'a secret in a file of our own';

    spew("$file.new", Goim::JWT::jwks($key{e2}));
    rename "$file.new", $file or die;
    eventually { login($logic, $key{e2}) == 0 } 20, 'it is read again';
    isnt login($logic, $key{e1}), 0, 'what was withdrawn is gone';

    spew($file, '{"keys":');
    said($logic, 'the keys of before stay', 'a broken one');
    is login($logic, $key{$_}), 0, "$_ stays" for qw(e2 r1);
    unlink $file or die;
    said($logic, 'cannot be read: No such file', 'none');
    is login($logic, $key{e2}), 0, 'e2 stays';
    is $logic->stop, 0, 'ends';
};

subtest 'a stop' => sub {
    answers('200 ' . Goim::JWT::jwks($key{e1}));
    my $silent = Goim::App->new(sub { sleep 60; return });
    my $logic = logic(jwks => "https://127.0.0.1:$silent->{port}/",
        timeout => '30s');
    my $rpc = Goim::RPC->new($logic->{rpc_port});
    my $id = $rpc->send(connect => { session => ++$session,
        token => '{"token":"' . $key{e1}->token({ sub => '7' }) . '"}' });
    select undef, undef, undef, 0.3;
    $logic->stop;
    ok !$logic->alive, 'ends while keys are being asked for';
};

done_testing;
