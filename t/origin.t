# Which pages may connect (goim_origin), which subprotocol is agreed on
# (goim_subprotocol), and that a login by cookie (goim_cookie) needs the first.

use strict;
use warnings;

use lib 't/lib';
use Goim::Nginx;
use Goim::Redis;
use Goim::Test;
use Goim::WS;

my %lines = (
    none   => '',
    any    => 'goim_origin any;',
    same   => 'goim_origin same;',
    name   => 'goim_origin example.com [::1];',
    below  => 'goim_origin *.example.com;',
    whole  => 'goim_origin https://example.com:8443 http://a.test;',
    many   => 'goim_origin same *.example.com https://a.test;',
    agreed => 'goim_subprotocol goim.v2 goim;',
);
my $redis = Goim::Redis->new;
my $nginx = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
    server => join '', map { "location = /$_ { goim_subscribe; $lines{$_} }\n" }
        sort keys %lines);
my $own = "127.0.0.1:$nginx->{port}";

sub asks {
    my ($path, @headers) = @_;
    return Goim::WS->new(port => $nginx->{port}, path => "/$path", any => 1,
        headers => \@headers);
}

sub counts {
    my ($name) = @_;
    return $nginx->status->{counters}{$name};
}

my @cases = (
    # the value; the locations that take it beside none and any
    ["http://$own", qw(same many)],
    ["https://$own", qw(same many)],
    ['http://127.0.0.1'],
    ["http://$own.example.com", qw(below many)],
    ['http://example.com', 'name'],
    ['HTTPS://EXAMPLE.COM', 'name'],
    ['https://example.com:8443', qw(name whole)],
    ['https://example.com:8444', 'name'],
    ['http://example.com:8443', 'name'],
    ['https://example.com:', 'name'],
    ['http://[::1]:8080', 'name'],
    ['http://[::1]', 'name'],
    ['https://www.example.com', qw(below many)],
    ['https://a.b.Example.com:444', qw(below many)],
    ['https://.example.com'],
    ['https://notexample.com'],
    ['https://example.com.evil.test'],
    ['https://evil.test/example.com'],
    ['https://evil.test?www.example.com'],
    ['https://evil.test#www.example.com'],
    ['https://example.com@evil.test'],
    ['http://a.test', 'whole'],
    ['http://a.test:80'],
    ['https://a.test', 'many'],
    ['https://a.test.'],
    ['null'],
    ['file://'],
    ['example.com'],
    [''],
);

for my $case (@cases) {
    my ($origin, @taken) = @$case;
    my %taken = map { $_ => 1 } @taken, qw(none any agreed);

    for my $path (sort keys %lines) {
        is asks($path, Origin => $origin)->status, $taken{$path} ? 101 : 403,
            "'$origin' at $path";
    }
}

is asks($_)->status, 101, "no origin at $_" for sort keys %lines;
is asks(same => Origin => "http://$own", Origin => 'http://evil.test')->status,
    403, 'two origins';

{
    my ($refused, $all) = map { counts($_) } qw(origin_refused refused);
    is asks(same => Origin => 'http://evil.test')->status, 403, 'another page';
    is counts('origin_refused'), $refused + 1, 'counted';
    is counts('refused'), $all + 1, 'as a refused upgrade too';
}

# ---- subprotocols ------------------------------------------------------------

sub agreed {
    my (@headers) = @_;
    my $ws = asks(@headers);
    return "status " . $ws->status if $ws->status != 101;
    my @said = $ws->response =~ /^Sec-WebSocket-Protocol: (.*)\r$/mgi;
    return "@said";
}

my $offer = 'Sec-WebSocket-Protocol';
is agreed(agreed => $offer => 'goim'), 'goim', 'the one offered';
is agreed(agreed => $offer => 'a, goim ,goim.v2'), 'goim',
    'the first one that the client offers';
is agreed(agreed => $offer => 'a', $offer => 'goim.v2'), 'goim.v2',
    'in a second line';
is agreed(agreed => $offer => 'GOIM, goim.v, oim'), '', 'none of ours';
is agreed(agreed => $offer => ' , ,,'), '', 'nothing but commas';
is agreed('agreed'), '', 'none offered';
is agreed(none => $offer => 'goim'), '', 'none listed';

# ---- configuration -----------------------------------------------------------

my $conf = Goim::Nginx->new(port => free_port(), stopped => 1);
allow_log(qr{\[emerg\] });

sub says {
    my ($location, $like, $name) = @_;
    $conf->configure(redis => '127.0.0.1:1', logic => '127.0.0.1:1',
        server => "location = /x { $location }");
    my ($rc, $said) = $conf->test_conf;
    defined $like ? like($said, $like, $name || $location)
        : is($rc, 0, $name || $location);
}

my $takes = qr/"any" alone, "same", a name, "\*\." and a name, or scheme:/;
says("goim_subscribe; goim_origin $_;", $takes)
    for 'any same', 'example.com:80', 'example.com/x', '*', '*.', 'https://',
    'https://a/b', 'a*.example.com', '""';
says("goim_subscribe; goim_subprotocol $_;", qr/a token of RFC 7230/)
    for 'a,b', '""', 'a@b', '"a b"';
says("goim_subscribe; goim_origin any; goim_cookie $_;",
    qr/the name of a cookie, of at most 64 bytes/)
    for 'a=b', '"a b"', '""', 'x' x 65;

says("goim_subscribe; goim_cookie token;",
    qr{"goim_cookie" needs "goim_origin" in location "/x"});
says("goim_subscribe; goim_cookie token; goim_origin $_;")
    for qw(any same *.example.com);
says("goim_origin any;", qr{"goim_origin" needs "goim_subscribe" in location});
says("goim_subprotocol a;",
    qr{"goim_subprotocol" needs "goim_subscribe" in location});
says("goim_cookie a;", qr{"goim_cookie" needs "goim_subscribe" in location});
says("goim_echo; goim_cookie a; goim_origin any;",
    qr{"goim_cookie" needs "goim_subscribe" in location});
says("goim_status; goim_origin any;",
    qr{"goim_origin" needs "goim_subscribe" in location});
says("goim_echo; goim_origin same; goim_subprotocol a;", undef, 'of an echo');
says("goim_subscribe; $_->[0] $_->[1]; $_->[0] $_->[1];",
    qr/"$_->[0]" directive is duplicate/)
    for [goim_origin => 'any'], [goim_subprotocol => 'a'],
    [goim_cookie => 'a'];

done_testing;
