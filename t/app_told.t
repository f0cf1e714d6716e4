# What the application is told of a session: headers of its upgrade, those that
# the location names, too; and the data that it has given the session itself, with
# each packet and before each message.
#
# ASAN: no (send.t, proxy.t take these ways there)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Sender;
use Goim::WS;
use JSON::PP ();

my $json = JSON::PP->new->canonical->allow_nonref;
my $long = 'x' x 1022;                      # with its quotes as long as may be

# the token of a client is what it is answered
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return (200, $body) if $path =~ m{^/auth};
    return (204, '');
});

allow_log(qr/\[emerg\] .*"goim_pass" /);
my @named = map { "X-N$_" } 1 .. 15;
my $c = Goim::Cluster->new(
    nginx => { tcp => 1, server =>
        "location = /told { goim_subscribe; goim_pass X-Tenant @named; }" },
    logic => { Goim::Sender::logic(
        auth => { mode => 'http', url => $app->url('/auth'), pass => 'Origin' },
        receive => { url => $app->url('/receive') },
        before => { url => $app->url('/before') }) });

# the last request there; a header of it, undef: there is none
sub told {
    my ($where, $name) = @_;
    my ($seen) = reverse grep { $_->{path} =~ m{^/$where\b} } $app->seen;
    my @all = $seen->{head} =~ /^\Q$name\E: (.*?)\r?$/mig;
    return @all ? join '|', @all : undef;
}

sub logs_in {
    my ($answer, %arg) = @_;
    return $c->client(path => '/told', token => ref $answer
        ? $json->encode($answer) : $answer, %arg);
}

# ---- headers -----------------------------------------------------------------

{
    my $client = logs_in({ mid => 1 }, headers => ['x-TENANT' => 'a, "b"',
        'X-N15' => 'n', 'X-Other' => 'no', Origin => 'http://one.example',
        'User-Agent' => 'not passed', 'X-Tenant' => 'c']);
    is told('auth', 'X-Tenant'), 'a, "b"|c', 'one that the location names, twice';
    is told('auth', 'X-N15'), 'n', 'the last that it names';
    is told('auth', 'X-Other'), undef, 'no other one';
    is told('auth', 'Origin'), 'http://one.example', 'and those of [auth] pass';
    is told('auth', 'User-Agent'), undef, 'which has not all';
    $client->close;

    $client = $c->client(token => '{"mid":1}', headers => ['X-Tenant' => 'a']);
    is told('auth', 'X-Tenant'), undef, 'not by a location that names none';
    $client->close;

    for ([32, 1], [33, 0]) {
        my ($n, $fits) = @$_;
        my $in = eval { logs_in({ mid => 1 }, headers =>
            [map { ('X-Tenant' => $_) } 1 .. $n]) };
        is !!$in, !!$fits, "$n of them";
        like $@, qr/\b400\b/, 'are too many' if !$fits;
        is told('auth', 'X-Tenant'), join('|', 1 .. $n), 'all are told' if $fits;
    }
}

# ---- goim_pass is checked ----------------------------------------------------

{
    my $conf = Goim::Nginx->new(stopped => 1);
    my $says = sub {
        my ($location, $like, $name) = @_;
        $conf->configure(redis => '127.0.0.1:1', logic => '127.0.0.1:1',
            server => "location = /x { $location }");
        my ($rc, $said) = $conf->test_conf;
        $like ? like($said, $like, $name) : is($rc, 0, $name);
    };

    $says->("goim_subscribe; goim_pass $_;",
        qr/"goim_pass" takes names of headers, .*, not "/, $_)
        for 'Host', 'content-length', 'Content-Encoding', 'cookie', 'Connection',
        'Transfer-Encoding', 'X-Goim-Addr', 'Sec-WebSocket-Key', 'query', 'a:b',
        '"a b"', '""', 'x' x 65;
    $says->("goim_subscribe; goim_pass $_;",
        qr/"goim_pass" takes each name once, and none that/, $_)
        for 'Origin', 'user-agent', 'X-A x-a';
    $says->('goim_subscribe; goim_pass ' . join(' ', map { "A$_" } 1 .. 17) . ';',
        qr/"goim_pass" takes at most 16 names, not "A17"/, '17 names');
    $says->('goim_subscribe; goim_pass A; goim_pass B;',
        qr/"goim_pass" directive is duplicate/, 'twice');
    $says->("$_ goim_pass A;", qr/"goim_pass" needs "goim_subscribe"/, $_)
        for '', 'goim_echo;';
    $says->('goim_subscribe; goim_pass Host-Name Contents;', undef,
        'what is only like those');
}

# ---- data of the application's answer ----------------------------------------

for (['an object', { plan => 'pro', n => [1, undef] },
        '{"n":[1,null],"plan":"pro"}'],
    ['text', "\xe4\n", '"\u00E4\n"'], ['a number', 7, 7], ['false',
        JSON::PP::false, 'false'], ['empty', '', '""'],
    ['as long as may be', $long, qq("$long")], ['none', undef, undef])
{
    my ($name, $data, $want) = @$_;
    my $client = logs_in({ mid => 1, data => $data });
    is $client->call(4, 'hello')->{op}, 5, 'a packet is taken';
    is told('receive', 'X-Goim-Data'), $want, "$name: told with it";
    $client->close;
}

ok !eval { logs_in({ mid => 1, data => "x$long" }) }, 'longer: no login';
like $c->logic->logs, qr/is no login: data is longer than 1024 bytes/, 'said';

# ---- of tokens ---------------------------------------------------------------

restart($c, auth => { mode => 'jwt' });

for my $transport (qw(ws tcp)) {
    my %claims = (mid => 7, key => $transport, rooms => ['live://*'],
        send => { rooms => ['live://*'] });
    my $client = enters($c, %claims, data => { plan => 'free' },
        transport => $transport);
    is send_to($client, { to => 'live://1' }, 'x')->{code}, 0, 'it sends';
    is told('before', 'X-Goim-Data'), '{"plan":"free"}', 'told before';
    is $client->call(24, 'x')->{op}, 24, 'another packet';
    is told('receive', 'X-Goim-Data'), '{"plan":"free"}', 'told with it';

    my $other = token(%claims, data => 'new');
    is $client->call(7, $json->encode({ token => $other }))->{op}, 8,
        'it has another token';
    send_to($client, { to => 'live://1' }, 'x');
    is told('before', 'X-Goim-Data'), '"new"', 'which says something else';
    is $client->call(7, $json->encode({ token => token(%claims) }))->{op}, 8,
        'and another';
    send_to($client, { to => 'live://1' }, 'x');
    is told('before', 'X-Goim-Data'), undef, 'which says nothing';
    $client->close;
}

my $res = Goim::HTTP::request('POST',
    "http://127.0.0.1:$c->{logics}[0]{http_port}/goim/send",
    headers => { Authorization => 'Bearer ' . token(mid => 7, data => [1],
        send => { rooms => ['live://*'] }) },
    content => say({ to => 'live://1' }, 'x'));
is $res->{json}{code}, 0, 'a message by a request' or diag $res->{content};
is told('before', 'X-Goim-Data'), '[1]', 'told before';

ok !eval { enters($c, mid => 7, data => "x$long") }, 'longer: no login';
like $c->node->error_log, qr/data is longer than 1024 bytes/, 'said';

# ---- not a client's to say ---------------------------------------------------

restart($c, auth => { mode => 'trust' });
my $client = $c->client(token => '{"mid":7,"data":"mine"}');
is $client->call(4, 'x')->{op}, 5, 'a client that is believed';
is told('receive', 'X-Goim-Data'), undef, 'has no data';

done_testing;
