# What goim's own programs put on the wire, byte for byte where it matters: the
# TCP client of its benchmarks, their push tools, the page of its JavaScript
# example. They are not run here, as their source is not at hand where tests
# run; what they do was read in it.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();

use Goim::Chromium;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Packet qw(pack_packet parse_packet);
use Goim::TCP;
use Goim::Test;
use Goim::Traffic;
use Goim::WS;

my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 });
my ($node, $api) = ($c->node, $c->api);
my $logic = "http://127.0.0.1:$c->{logics}[0]{http_port}";
my $done = '{"code":0,"message":""}';

sub counter { return $node->status->{counters}{$_[0]} }

sub next_packet {
    my ($t) = @_;
    my $m = $t->recv or return undef;
    return parse_packet(\$m->{data});
}

# ---- benchmarks/client: TCP ----------------------------------------------------

# An empty key, and 0 for the sequence of auth.
sub bench_token {
    my ($mid) = @_;
    return qq({"mid":$mid,"key":"","room_id":"test://1","platform":"ios",)
        . '"accepts":[1000,1001,1002]}';
}

# The first packet it reads is to it the answer to auth, whatever it is.
sub bench_client {
    my ($mid) = @_;
    my $t = Goim::TCP->new(port => $node->{tcp_port});
    $t->send(pack_packet(7, bench_token($mid), seq => 0));
    return { t => $t, mid => $mid, seq => 1 };
}

# It leaves the version of its heartbeats at 0.
sub bench_heartbeat {
    my ($b) = @_;
    my $seq = $b->{seq}++;
    $b->{t}->send(pack_packet(2, '', seq => $seq, ver => 0));
    return { op => 3, ver => 0, seq => $seq };
}

# everybody's next packets, which are pushes
sub bench_pushes {
    my ($n, @clients) = @_;
    return map { my $t = $_->{t}; [map { next_packet($t) } 1 .. $n] } @clients;
}

sub push_packet {
    my ($body) = @_;
    return { op => 1000, ver => 1, seq => 0, body => $body };
}

my @bench = map { bench_client($_) } 1 .. 50;

is_deeply([map { next_packet($_->{t}) } @bench],
    [map { { op => 8, ver => 1, seq => 0, body => '' } } @bench],
    'benchmarks/client: 50 auths of sequence 0, each is answered');
is($node->status->{sessions}, 50, 'all of them stay');
is(counter('replaced'), 0, 'an empty key is nobody else\'s');

for my $round (1, 2) {
    my @want = map { bench_heartbeat($_) } @bench;
    my @got = map { next_packet($_->{t}) } @bench;
    is_deeply([map { length delete $_->{body} } @got], [(4) x 50],
        'heartbeats are answered with a number');
    is_deeply(\@got, \@want, 'of the version and the sequence of each');
}
eventually {
    bench_heartbeat($bench[0]);
    unpack('N', next_packet($bench[0]{t})->{body}) == 50;
} 20, 'the number is 50';

# ---- benchmarks' push tools ------------------------------------------------------

# a request as Go's client makes it
sub tool {
    my ($path, $type, $body) = @_;
    return Goim::HTTP::post("$logic$path", content => $body, headers => {
        'User-Agent' => 'Go-http-client/1.1', 'Content-Type' => $type,
        'Accept-Encoding' => 'gzip' });
}

sub tool_done {
    my ($name, @answers) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([map { "$_->{status} $_->{content}" } @answers],
        [map { "200 $done" } @answers], "$name: accepted");
}

my $form = 'application/x-www-form-urlencoded';
my @texts = map { qq({"test":$_}) } 0 .. 19;

tool_done('push_room', map { tool('/goim/push/room?operation=1000&type=test'
    . '&room=1', 'application/json', $_) } @texts);
is_deeply([bench_pushes(20, @bench)], [map { [map { push_packet($_) } @texts] }
    @bench], 'push_room: all 50 get the 20, bare, in their order');

tool_done('push_rooms', map { tool("/goim/push/room?operation=1000&type=test"
    . "&room=$_", 'application/json', '{"test":1}') } 0 .. 9);
is_deeply([bench_pushes(1, @bench)],
    [map { [push_packet('{"test":1}')] } @bench],
    'push_rooms: once for each in one of its rooms');

# the body goes as it is, though its type says that it is a form; nobody is 0
tool_done('push', map { tool("/goim/push/mids?operation=1000&mids=$_", $form,
    qq({"m":{"test":1},"u":$_})) } 0 .. 50);
is_deeply([bench_pushes(1, @bench)],
    [map { [push_packet(qq({"m":{"test":1},"u":$_->{mid}}))] } @bench],
    'push: to each user');

tool_done('a body that looks like parameters',
    tool('/goim/push/mids?operation=1000&mids=1', $form,
        'operation=1001&mids=2'));
is_deeply([bench_pushes(1, $bench[0])],
    [[push_packet('operation=1001&mids=2')]], 'is the message');

# multi_push asks for a path that goim's own logic has not either, and goes on
is(tool('/goim/push/mids=0', $form, '{"m":{"test":1},"u":[0,1]}')->{status},
    404, 'multi_push: no such route');

bench_heartbeat($_) for @bench;
is_deeply([map { next_packet($_->{t})->{op} } @bench], [(3) x 50],
    'nothing else has come');
$_->{t}->drop for @bench;
eventually { $node->status->{sessions} == 0 } 20, 'they go';

# ---- the answer to auth comes first ------------------------------------------------

{
    my $traffic = Goim::Traffic->new(apis => [$api], every => 0.001,
        to => { room => ['test', '1'], all => [], mids => [1 .. 5] });
    my %first;
    my $pushes = 0;

    # a few stay, so that there is always somebody whom pushes go to
    my @stay = map { bench_client($_) } 1 .. 5;

    for my $n (1 .. 150) {
        my $mid = 1 + $n % 5;
        my $ws = Goim::WS->new(port => $node->{port});
        $ws->send(pack_packet(7, bench_token($mid), seq => 0));
        my $tcp = bench_client($mid);

        for my $t ($ws, $tcp->{t}) {
            my $p = next_packet($t);
            $first{$p ? $p->{op} : 'none'}++;
            $pushes++ if next_packet($t);
            $t->drop;
        }
    }
    is_deeply(\%first, { 8 => 300 },
        'the first packet is the answer to auth, while pushes come');
    is($pushes, 300, 'and they come');
    $_->{t}->drop for @stay;
    $traffic->finish;
    is($traffic->refused, '', 'all pushes were accepted');
}
eventually { $node->status->{sessions} == 0 } 20, 'all are gone';

# ---- examples/javascript -----------------------------------------------------------

my $chromium = Goim::Chromium->new;
my $page = $chromium->page("http://127.0.0.1:$node->{port}/");

sub js { return $page->eval($_[0]) }

# the same auth in two tabs, without a key: both stay
js(slurp(root_dir() . '/t/web/goim_client.js') . ';'
    . " globalThis.tabs = [1, 2].map(() =>"
    . " new GoimPage('ws://127.0.0.1:$node->{port}/sub')); 0");

$page->wait_js('tabs.every((t) => t.replies.length === 2)');
is_deeply(js('tabs.map((t) => t.replies)'), [([[8, 1, 0], [3, 1, 4]]) x 2],
    'the page: auth, then a heartbeat, both of sequence 1');
js('tabs.forEach((t) => { t.heartbeat(); t.heartbeat(); }); 0');
$page->wait_js('tabs.every((t) => t.replies.length === 4)');
eventually { js('tabs[0].heartbeat(); tabs[0].online') == 2 } 20,
    'two are in the room';

# what was said while job stood still comes in one go
my @said = map { "message $_ \xe5\x8c\x97\xe4\xba\xac" } 1 .. 20;

$c->job->pause;
is(scalar(grep { $api->room(1000, 'live', '1000', $_)->{code} } @said), 0,
    'pushes to the room');
$c->job->resume;
$page->wait_js('tabs.every((t) => t.messages.length === 20)');
utf8::decode($_) for @said;
is_deeply(js('tabs.map((t) => t.messages)'),
    [([map { [1000, 1, 0, $_] } @said]) x 2], 'both have them, in order');
ok(js('tabs.every((t) => t.frames.some((n) => n > 1))'),
    'several packets in a frame');

# by user and to all: what it accepts
is($api->mids($_, [123], "user $_")->{code}, 0, "a push of $_")
    for 999 .. 1002;
is($api->all($_, "all $_")->{code}, 0, "a broadcast of $_")
    for 1000 .. 1003;
is($api->room(1003, 'live', '1000', 'last')->{code}, 0,
    'a room, any operation');
my $want = [sort((map { "$_ user $_" } 1000 .. 1002),
    (map { "$_ all $_" } 1000 .. 1002), '1003 last')];
eventually {
    my $got = js('tabs.map((t) => t.messages.slice(20)'
        . '.map((m) => m[0] + " " + m[3]).sort())');
    !grep { "@$_" ne "@$want" } @$got;
} 20, 'what is accepted comes, and what goes to the room';

is_deeply(js('tabs.map((t) => t.closed)'), [JSON::PP::false(),
    JSON::PP::false()], 'both are open');
is_deeply([grep { !/Failed to load/ } $page->errors], [],
    'nothing in the console');
$page->close;
eventually { $node->status->{sessions} == 0 } 20, 'who closes is gone';

done_testing;
