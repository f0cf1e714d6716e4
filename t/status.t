# goim_status, and what nginx -t says about the directives of locations.

use strict;
use warnings;

use lib 't/lib';
use Goim::HTTP;
use Goim::Nginx;
use Goim::Redis;
use Goim::Test;
use Goim::WS;

my $redis = Goim::Redis->new;
my $nginx = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
    server_id => 'a"b\\c', workers => 2,
    server => 'location = /if { goim_echo; if ($http_host) { set $x 1; } }');
my $url = "http://127.0.0.1:$nginx->{port}/goim/status";

# ---- JSON --------------------------------------------------------------------

my $res;
wait_for { ($res = Goim::HTTP::get($url))->{json}{workers} == 2 } 10,
    'both workers have begun';
is($res->{status}, 200, 'status');
is($res->{headers}{'content-type'}, 'application/json', 'is JSON');

my $st = $res->{json};
is($st->{server_id}, 'a"b\\c', 'server_id, escaped');
like($st->{zone_id}, qr/^[0-9a-f]{16}$/, 'zone_id');
is($st->{workers}, 2, 'workers');
is($st->{registered}, 0, 'not registered without logic');
cmp_ok($st->{started}, '<=', time, 'started');
is_deeply($st->{trace}, [], 'nobody is traced');

# an "if" of the location is the location's
{
    my $ws = Goim::WS->new(port => $nginx->{port}, path => '/if');
    $ws->send('to and fro');
    is($ws->recv->{data}, 'to and fro', 'a location with if');
    $ws->close;
    eventually { $nginx->status->{sessions} == 0 } 5, 'closed';
}

my $accepted = $nginx->status->{counters}{accepted};
my @ws = map { Goim::WS->new(port => $nginx->{port}) } 1 .. 5;
is($nginx->status->{sessions}, 5, 'sessions');
is($nginx->status->{addrs}, 1, 'of one address');
is($nginx->status->{authorized}, 0, 'none has said who it is');
is($nginx->status->{counters}{accepted} - $accepted, 5, 'counters: accepted');
$_->close for @ws;
eventually { $nginx->status->{sessions} == 0 } 5, 'gone';
is($nginx->status->{counters}{closed}, 6, 'counters: closed');

# ---- for Prometheus ----------------------------------------------------------

$res = Goim::HTTP::get("$url?format=prometheus");
is($res->{status}, 200, 'for Prometheus');
is($res->{headers}{'content-type'},
    'text/plain; version=0.0.4; charset=utf-8', 'its type');

my $labels = qr/\{(?:[a-z_]+="(?:[^"\\]|\\["\\])*",?)+\}/;
my (%help, %type, %value);
for my $line (split /\n/, $res->{content}) {
    if ($line =~ /^# HELP (\S+) (.+)$/) {
        $help{$1}++;
    } elsif ($line =~ /^# TYPE (\S+) (counter|gauge)$/) {
        $type{$1} = $2;
    } elsif ($line =~ /^([a-z_]+)($labels)? (\d+)$/) {
        $value{$1} = $3;
    } else {
        fail("a line that is none: $line");
    }
}
is_deeply([sort keys %help], [sort keys %value], 'each with its help');
is_deeply([sort keys %type], [sort keys %value], 'each with its type');
is(scalar(grep { $_ != 1 } values %help), 0, 'once');
is_deeply([grep { ($type{$_} eq 'counter') != /_total$/ } keys %type], [],
    'counters end in _total');
like($res->{content}, qr/^goim_comet_info\{.*server_id="a\\"b\\\\c"/m,
    'the label is escaped');
is($value{goim_comet_accepted_total}, 6, 'a counter');
is($value{goim_comet_workers}, 2, 'a gauge');

for my $name (keys %{ $nginx->status->{counters} }) {
    ok(defined $value{"goim_comet_${name}_total"}, "$name in both");
}

is(Goim::HTTP::get("$url?format=$_")->{headers}{'content-type'},
    'application/json', "format=$_ is JSON") for qw(json xml prometheu);

# ---- methods -----------------------------------------------------------------

for my $format ('', '?format=prometheus') {
    $res = Goim::HTTP::request('HEAD', "$url$format");
    is($res->{status}, 200, "HEAD $format");
    is($res->{content}, '', 'no body');
    cmp_ok($res->{headers}{'content-length'}, '>', 500, 'but its length');
}

for my $method (qw(PUT DELETE)) {
    $res = Goim::HTTP::request($method, $url, content => 'body');
    is($res->{status}, 405, $method);
    is($res->{headers}{allow}, 'GET, HEAD, POST', 'Allow');
}

# ---- nginx -t ----------------------------------------------------------------

# those that are refused say so in their logs
allow_log(qr{\[emerg\] .* in .*/nginx\.conf:\d+});

sub says {
    my ($what, $goim, $server, $like) = @_;
    my $text = "%%MODULES%%\npid %%DIR%%/nginx.pid;\n$goim\nevents { }\n"
        . "http { access_log off; server {\n"
        . "listen 127.0.0.1:%%PORT%%;\n$server\n} }\n";
    my $n = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
        port => 1, conf => $text, stopped => 1);
    my ($rc, $said) = $n->test_conf;
    if (ref $like) {
        isnt($rc, 0, "refused: $what");
        like($said, $like, 'and why');
    } else {
        is($rc, 0, "taken: $what") or diag($said);
    }
}

my $goim = '%%GOIM%%';

says($_, '', "location / { $_; }",
    qr/\[emerg\] .*"$_" needs a "goim" block in .*nginx\.conf:\d+/)
    for qw(goim_subscribe goim_echo goim_status);
says('no goim, and nobody needs one', '', 'location / { }', '');
says('all three', $goim, 'location /a { goim_subscribe; }
    location /b { goim_echo; } location /c { goim_status; }', '');
says('twice', $goim, 'location / { goim_echo; goim_echo; }',
    qr/\[emerg\] .*"goim_echo" directive is duplicate/);
says('two of them', $goim, 'location / { goim_echo; goim_subscribe; }',
    qr/\[emerg\] .*"goim_subscribe" conflicts with "goim_echo"/);
says('behind another handler', $goim,
    'location / { proxy_pass http://127.0.0.1:1; goim_echo; }',
    qr/\[emerg\] .*"goim_echo" directive conflicts with another handler/);
says('before another handler', $goim,
    'location /x { goim_status; proxy_pass http://127.0.0.1:1; }',
    qr{\[emerg\] .*"goim_status" is not the only handler of location "/x"});
says('a parameter', $goim, 'location / { goim_echo on; }',
    qr/\[emerg\] .*"goim_echo"/);
says('outside a location', $goim, 'goim_subscribe;',
    qr/\[emerg\] .*"goim_subscribe" directive is not allowed here/);
says('with if and limit_except', $goim, 'location /a { goim_echo;
    if ($http_x) { set $y 1; } limit_except GET { deny all; } }', '');
says('an if with a handler of its own', $goim, 'location /a { goim_echo;
    if ($http_x) { proxy_pass http://127.0.0.1:1; } }', '');
says('not inherited', $goim, 'location /a { goim_echo;
    location /a/b { proxy_pass http://127.0.0.1:1; } }', '');

done_testing;
