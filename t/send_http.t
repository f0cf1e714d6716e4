# POST /goim/send: a client's message by a request with its own token, on both
# listeners: what is sent, what is refused and how, for pages of which origins.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Cluster;
use Goim::HTTP;
use Goim::JWT;
use Goim::Sender;

my $public = free_port();
my $backend = 'b' x 40;
my $api_keys = folder('api') . '/keys';
spew($api_keys, "shop $backend push,read\n");

my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return $body eq 'ads' ? (200, '{"allow":false,"reason":"no ads"}')
        : $body eq 'gone' ? () : (204, '');
});
my $origin = 'https://app.example.com';

# keys with names, in a directory that the test changes
my %named = map { $_ => Goim::JWT->new('ES256', kid => $_) } qw(one two);
my $set = folder('set') . '/keys.json';
spew($set, Goim::JWT::jwks($named{one}));

my $c = Goim::Cluster->new(job => { conf => { history => { live => '300 10m' } } },
    logic => { Goim::Sender::logic(
        auth => { algorithms => 'HS256 ES256', keys => $set,
            refresh_min => '1h' },
        before => { url => $app->url('/before') },
        http => { public => "127.0.0.1:$public", origins => $origin },
        api => { keys => $api_keys }, send => { max_size => 1000 }) });
my $listener = enters($c, mid => 999, send => { rooms => ['live://*'] });
my %may = (send => { rooms => ['live://*'], mids => JSON::PP::true });

wait_for {
    my $res = Goim::HTTP::get("http://127.0.0.1:$c->{logics}[0]{http_port}"
        . '/goim/room/position?type=live&room=any',
        headers => { Authorization => "Bearer $backend" });
    $res->{json}{data}
} 20, 'logic knows which rooms have a history';

my $port = $c->logic->{http_port};

# [HTTP status, code], and the answer
sub asks {
    my ($body, %head) = @_;
    my $at = delete $head{port} || $port;
    my $path = delete $head{path} || '/goim/send';
    my $res = Goim::HTTP::post("http://127.0.0.1:$at$path",
        headers => \%head, content => $body);
    my $answer = ref $res->{json} ? $res->{json} : {};
    return ([$res->{status}, $answer->{code}], { %$answer,
        headers => $res->{headers} });
}

sub bearer { return (Authorization => 'Bearer ' . token(@_)) }

my $hello = say({ to => 'live://1' }, 'hello');

# ---- it is sent --------------------------------------------------------------

for my $at ($port, $public) {
    my $name = $at == $port ? 'the API' : 'the public listener';
    my ($is) = asks($hello, port => $at, bearer(mid => 7, %may));
    is_deeply $is, [200, 0], "$name: sent";
    is $listener->push->{body}, 'hello', "$name: comes";

    ($is) = asks(say({ mids => [999] }, "\0\xff\n"), port => $at,
        bearer(mid => 7, %may));
    is_deeply $is, [200, 0], "$name: to a user";
    is $listener->push->{body}, "\0\xff\n", "$name: byte for byte";
}

# by the socket and by a request: one user
{
    my $line = { to => 'live://1', id => 'x1' };
    my $client = enters($c, mid => 7, room => 'live://2', %may);
    is send_to($client, $line, 'once')->{code}, 0, 'by its socket';
    is_deeply +(asks(say($line, 'twice'), bearer(mid => 7, %may)))[0], [200, 0],
        'the same by a request';
    is_deeply +(asks(say($line, 'another'), bearer(mid => 8, %may)))[0],
        [200, 0], 'with the id of another user';
    is_deeply [map { $_->{body} } $listener->pushes(2)], [qw(once another)],
        'a repeat comes once';
}

# ---- by whom -----------------------------------------------------------------

{
    my $good = token(mid => 7, %may);
    my %no = (
        'nothing' => {},
        'an empty one' => { Authorization => 'Bearer ' },
        'no token' => { Authorization => 'Bearer x' },
        'another scheme' => { Authorization => "Basic $good" },
        'a cookie' => { Cookie => "token=$good" },
        'a query' => { path => "/goim/send?token=$good" },
        'a backend\'s key' => { Authorization => "Bearer $backend" },
        'expired' => { bearer(mid => 7, %may, exp => time - 60) },
        'not yet valid' => { bearer(mid => 7, %may, nbf => time + 600) },
        'another\'s' => { Authorization => 'Bearer '
            . Goim::JWT->new('HS256')->token({ sub => '7', %may }) },
        'altered' => { Authorization => 'Bearer ' . ($good =~ s/.\z/-/r
            eq $good ? $good =~ s/.\z/A/r : $good =~ s/.\z/-/r) },
        'a claim that is none' => { bearer(mid => 7, send => ['live://1']) },
    );
    for my $what (sort keys %no) {
        my ($is, $answer) = asks($hello, %{ $no{$what} });
        is_deeply $is, [401, -401], "$what: refused";
        is $answer->{headers}{'www-authenticate'}, 'Bearer',
            "$what: it says how";
        unlike $answer->{message}, qr/\Q$good\E/, "$what: not by the token";
    }
    my ($is) = asks($hello, path => '/goim/push/room?operation=1&type=live'
        . '&room=1', bearer(mid => 7, %may));
    is_deeply $is, [401, -401], 'a token is no key of a backend';

    for my $who ([mid => 7], [mid => 7, send => {}], [key => 'k', %may]) {
        is_deeply +(asks($hello, bearer(@$who)))[0], [403, -403],
            'who may not send';
    }
}

sub by {
    my ($key) = @_;
    return (asks($hello, Authorization => 'Bearer '
        . $key->token({ sub => '7', %may })))[0];
}

# a name of a key that is not known: they are looked at again, once
my $three = Goim::JWT->new('ES256', kid => 'three');
{
    is_deeply by($named{one}), [200, 0], 'a key with a name';
    spew($set, Goim::JWT::jwks(@named{qw(one two)}));
    is_deeply by($named{two}), [200, 0], 'another one, that is new';
    is_deeply by($three), [503, -503],
        'one that nobody knows, so soon: try again';
    $listener->pushes(2);
}

# ---- what --------------------------------------------------------------------

{
    my @me = bearer(mid => 7, send => { rooms => ['live://1'] });
    my %no = (
        400 => ['', 'x', "{}\n", say({ to => 'live' }),
            say({ to => 'live://1', operation => 6 })],
        403 => [say({ to => 'live://2' }), say({ mids => [7] }),
            say({ to => 'live://1', operation => 999 }),
            say({ to => 'live://1' }, 'ads')],
        413 => [say({ to => 'live://1' }, 'x' x 1001)],
        503 => [say({ to => 'live://1' }, 'gone')],
    );
    for my $status (sort keys %no) {
        for my $body (@{ $no{$status} }) {
            my ($is, $answer) = asks($body, @me);
            is_deeply $is, [$status, -$status], "$status: "
                . substr($body, 0, 40) =~ tr/\n/ /r;
            ok length $answer->{message}, 'it says why';
            is $answer->{message}, 'no ads', 'as the application does'
                if $body =~ /ads$/;
        }
    }
    is_deeply +(asks(say({ to => 'live://1' }, 'last'), @me))[0], [200, 0],
        'what may be';
    is $listener->push->{body}, 'last', 'comes, and nothing else did';
}

# ---- pages -------------------------------------------------------------------

{
    my $options = sub {
        my ($at, $from) = @_;
        return Goim::HTTP::request('OPTIONS', "http://127.0.0.1:$at/goim/send",
            headers => { Origin => $from,
                'Access-Control-Request-Method' => 'POST',
                'Access-Control-Request-Headers' => 'authorization' });
    };
    my $res = $options->($public, $origin);
    is $res->{status}, 200, 'a page asks first';
    is $res->{headers}{'access-control-allow-origin'}, $origin, 'it may';
    like $res->{headers}{'access-control-allow-headers'}, qr/Authorization/,
        'with its token';
    like $res->{headers}{'access-control-allow-methods'}, qr/POST/, 'send';

    my (undef, $answer) = asks($hello, port => $public, Origin => $origin,
        bearer(mid => 7, %may));
    is $answer->{headers}{'access-control-allow-origin'}, $origin,
        'and read the answer';
    (undef, $answer) = asks($hello, port => $public, Origin => $origin);
    is $answer->{headers}{'access-control-allow-origin'}, $origin,
        'which may be a refusal';

    for my $from ('https://evil.example.com', 'null') {
        is $options->($public, $from)->{headers}{'access-control-allow-origin'},
            undef, "not one of $from";
    }
    is $options->($port, $origin)->{status}, 404, 'nor on the API';
    $listener->push;
}

# ---- how often ---------------------------------------------------------------

restart($c, send => { mid_rate => '0.01', mid_burst => 2 });
is_deeply by($three), [401, -401], 'a key that nobody knows, as was looked';
{
    my @me = bearer(mid => 7, %may);
    my ($is, $answer);
    is_deeply +(asks($hello, @me))[0], [200, 0], 'so many' for 1, 2;
    ($is, $answer) = asks($hello, @me);
    is_deeply $is, [429, -429], 'are all';
    my $after = $answer->{data}{after};
    ok $after > 10_000 && $after <= 100_000, 'it says when';
    is $answer->{headers}{'retry-after'}, int(($after + 999) / 1000),
        'in seconds, too';
    is_deeply +(asks($hello, bearer(mid => 8, %may)))[0], [200, 0],
        'another user is another one';
    my $client = enters($c, mid => 7, room => 'live://2', %may);
    is send_to($client, { to => 'live://1' }, 'x')->{code}, -429,
        'the same user by its socket';
    is $c->logic->metrics->{'goim_logic_sends_total{result="often"}'}, 2,
        'are counted';
}

# ---- other modes -------------------------------------------------------------

for my $mode (qw(trust http)) {
    restart($c, auth => { mode => $mode, url => $app->url('/auth'),
        map { $_ => undef } qw(algorithms secret_file keys refresh_min) });
    is_deeply +(asks($hello, bearer(mid => 7, %may)))[0], [403, -403],
        "$mode: no";
}

done_testing;
