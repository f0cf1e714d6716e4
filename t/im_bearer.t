# Users by HTTP, with their own tokens, on both listeners: each acts for itself
# alone; backends go on with keys and the parameter mid.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::Sender;
use Goim::Test;

my $public = free_port();
my ($backend, $other) = ('b' x 40, 'c' x 40);
my $keys = folder('api') . '/keys';
spew($keys, "shop $backend im,control\nads $other push\n");
my $origin = 'https://app.example.com';

my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(logic => { Goim::Sender::logic(%im,
    http => { public => "127.0.0.1:$public", origins => $origin },
    send => { max_size => 1000 }, api => { keys => $keys }) },
    job => { conf => { %im } });
my $port = $c->logic->{http_port};

# HTTP status and code, and the answer
sub asks {
    my ($method, $path, $query, %arg) = @_;
    my $at = delete $arg{port} || $port;
    my $shown = delete $arg{shown};
    my $res = Goim::HTTP::request($method, "http://127.0.0.1:$at/goim/im/$path?"
        . Goim::HTTP::query(@$query), timeout => 30,
        headers => { %{ $arg{headers} || {} },
            defined $shown ? (Authorization => "Bearer $shown") : () },
        content => defined $arg{body} ? $arg{body} : '');
    my $json = ref $res->{json} ? $res->{json} : {};
    return ("$res->{status} " . ($json->{code} // 'none'), $json, $res);
}

my %token = map { $_ => token(mid => $_, im => {}) } 1 .. 3;
my $two = enters($c, mid => 2, accepts => [20], im => {}, room => '');

for my $at ($port, $public) {
    my $name = $at == $port ? 'the API' : 'the public listener';
    my ($is, $sent) = asks(POST => 'send', [to => 2, id => "c$at"],
        port => $at, shown => $token{1}, body => "by $name");
    is($is, '200 0', "$name: sent");
    is($sent->{data}{conv}, 'p1.2', 'by who shows the token');
    like($two->push->{body}, qr/"mid":1,.*\nby $name$/, 'it comes');

    ($is, $sent) = asks(GET => 'sync', [after => 0], port => $at,
        shown => $token{2});
    is($is, '200 0', 'the inbox');
    is($sent->{data}{items}[-1]{body}, "by $name", 'of who shows the token');

    my $group = "g1.g$at";
    is((asks(POST => 'group/create', [id => "g$at", mids => 2], port => $at,
        shown => $token{1}))[0], '200 0', 'a group');
    $two->push;
    is((asks(POST => 'group/member', [conv => $group, mid => 2,
        role => 'admin'], port => $at, shown => $token{1}))[0], '200 0',
        'mid is whom it is about, as by sockets');
    $two->push;
    is((asks(POST => 'group/dismiss', [conv => $group], port => $at,
        shown => $token{2}))[0], '403 -403', 'one does what one may');
    is((asks(GET => 'history', [conv => 'p1.2'], port => $at,
        shown => $token{3}))[0], '403 -403', "nothing of others'");
    is((asks(POST => 'send', [mid => 1, to => 2, id => 'x'], port => $at,
        shown => $token{3}))[0], '400 -400', 'as somebody else: no');
    is((asks(GET => 'sync', [after => 0], port => $at,
        shown => token(mid => 1)))[0], '403 -403', 'a token without "im"');
    is((asks(GET => 'sync', [after => 0], port => $at,
        shown => token(mid => 1, im => {}, exp => 1000)))[0], '401 -401',
        'one that has ended');
    is((asks(GET => 'sync', [after => 0], port => $at,
        shown => $token{1} =~ s/.$//r))[0], '401 -401', 'none');
    is((asks(GET => 'sync', [after => 0], port => $at))[0], '401 -401',
        'without any');
}

is((asks(POST => 'send', [mid => 3, to => 2, id => 'b'], shown => $backend))[0],
    '200 0', 'a backend, for anybody');
like($two->push->{body}, qr/"mid":3,/, 'it comes from that user');
is((asks(POST => 'send', [mid => 3, to => 2, id => 'b2'], port => $public,
    shown => $backend))[0], '401 -401', 'but not on the public listener');
is((asks(POST => 'send', [mid => 3, to => 2, id => 'b3'], shown => $other))[0],
    '403 -403', 'nor with a key for something else');

# ---- pages -------------------------------------------------------------------

my (undef, undef, $res) = asks(GET => 'convs', [], port => $public,
    shown => $token{1}, headers => { Origin => $origin });
is($res->{headers}{'access-control-allow-origin'}, $origin,
    'a page of a listed origin');
(undef, undef, $res) = asks(OPTIONS => 'convs', [], port => $public,
    headers => { Origin => $origin });
like($res->{headers}{'access-control-allow-headers'}, qr/Authorization/,
    'may ask with a token');

# ---- a token that is revoked, a user that sends too often --------------------

is(Goim::HTTP::post("http://127.0.0.1:$port/goim/im/send?to=2&id=z",
    headers => { Authorization => 'Bearer ' . token(mid => 5, im => {},
        limits => { mid_rate => 0.01, mid_burst => 1 }) }, content => 'x')
    ->{json}{code}, 0, 'one message');
my $often = Goim::HTTP::post("http://127.0.0.1:$port/goim/im/send?to=2&id=y",
    headers => { Authorization => 'Bearer ' . token(mid => 5, im => {},
        limits => { mid_rate => 0.01, mid_burst => 1 }) }, content => 'x');
is("$often->{status} $often->{json}{code}", '429 -429', 'no more at once');

is(Goim::HTTP::post("http://127.0.0.1:$port/goim/revoke?mids=3",
    headers => { Authorization => "Bearer $backend" }, content => '')
    ->{json}{code}, 0, 'tokens of a user are revoked');
is((asks(GET => 'convs', [], shown => token(mid => 3, im => {},
    iat => time - 10)))[0], '401 -401', 'and taken no more');

done_testing;
