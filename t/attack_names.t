# Names that clients and backends choose (rooms, keys, mids) and that nodes say
# (server_id, hostname), with all that would mean something to Redis, Lua, JSON,
# Prometheus, HTTP, printf or a log: they are names of themselves and of nothing
# else, everywhere.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Bus;
use Goim::Cluster;
use Goim::HTTP;
use Goim::RPC;
use Goim::Test;

my $c = Goim::Cluster->new(nodes => 4, workers => 2, nginx => { tcp => 1,
    goim => { trace_log => 'trace.log', trace => join ' ', 1000 .. 1020 } },
    logic => { conf => { logic => { log_level => 'debug' } } },
    job => { conf => { job => { log_level => 'debug' },
        history => { live => '20 10m' } } });
my ($api, $redis) = ($c->api, $c->redis);
my $json = JSON::PP->new->utf8->canonical;

$redis->cmd('SET', 'sentinel', 'here');
eventually { 4 == grep { $_->status->{listed} } @{ $c->{nodes} } } 20,
    'rooms are listed';

# at most 256 bytes with live:// before them
my @evil = ("\r\nFLUSHALL\r\n", "*1\r\n\$8\r\nFLUSHALL\r\n",
    q{'..redis.call('FLUSHALL')..'}, q{"]] redis.call('FLUSHALL') --[[},
    '*', '?', '[a-z]', '{0}', '{3}:done', ':meta:live://1', '%s%n%s%n', '%00',
    '"}],"x":[{"y":"', '\\', '\\"', '\\u0000', "1\n# TYPE evil counter\nevil 1\n",
    '"} 1', '../../../../etc/passwd', '<script>alert(1)</script>',
    "\e[31mred\a", ' 1', '1 ', "\t", "\xc3\xa4\xe2\x80\xa8", "\xff\xfe",
    "\x7f", '1/2', '$(reboot)', '`reboot`', '%(x)s', '^$', '%', '-1', '0',
    "1\r\nHTTP/1.1 200 OK\r\n\r\n", 'x' x 200);

sub text { return $_[0] =~ /^[\x20-\x7e]*$/ ? "'" . substr($_[0], 0, 40) . "'"
    : "'" . substr(join('', map { /[\x20-\x7e]/ ? $_
        : sprintf '\\x%02x', ord } split //, $_[0]), 0, 40) . "'" }

# an auth packet in bytes, whatever they are
sub token {
    my ($n, $key, $room) = @_;
    my ($k, $r) = map { s/([\\"]|[\x00-\x1f])/sprintf '\\u%04x', ord $1/ger }
        $key, $room;
    return qq({"mid":$n,"key":"$k","room_id":"$r","accepts":[1000]});
}

# ---- each in its own room, with a key like it ---------------------------------

my (%client, @all);

for my $i (0 .. $#evil) {
    my $evil = $evil[$i];
    my $valid = utf8::decode(my $copy = $evil);

    # JSON is UTF-8, so keys and rooms of a login are; another room is bytes
    my ($key, $room) = $valid ? ("k$evil", "live://$evil")
        : ("k$i", "live://plain");
    my $client = $c->client(node => $i % 4, transport => $i % 2 ? 'ws' : 'tcp',
        token => token(1000 + $i, substr($key, 0, 200), $room));
    is $client->change_room("live://$evil")->{body}, "live://$evil",
        'enters by its bytes' if !$valid;
    $client{$i} = { client => $client, key => substr $key, 0, 200 };
    push @all, $client;
}

for my $i (0 .. $#evil) {
    my ($client, $key, $evil) = (@{ $client{$i} }{qw(client key)}, $evil[$i]);
    my $name = text($evil);

    is $api->room(1000, 'live', $evil, "room $i")->{code}, 0,
        "$name: a room";
    is $api->keys(1000, [$key], "key $i")->{code}, 0, "$name: a key";
    is_deeply [sort map { $_->{body} } $client->pushes(2)],
        ["key $i", "room $i"], "$name: each arrives";
    is $redis->cmd('HGET', "sess_$key", 'mid'), 1000 + $i,
        "$name: is stored as it is";
    is $redis->cmd('HLEN', "goim:rooms:live://$evil"), 1,
        "$name: is listed as it is";
    is scalar(@{ $redis->cmd('KEYS', 'goim:{?}:items:live://' . ($evil
        =~ s/([*?\[\]\\^])/\\$1/gr)) }), 1, "$name: has its history";
}
for my $i (0 .. $#evil) {
    my $client = $client{$i}{client};
    $client->pump;
    is_deeply [map { $_->{body} } @{ $client->{pushes} }], [],
        text($evil[$i]) . ': and nothing else does';
}

# ---- what is said of them -----------------------------------------------------

my @valid = grep { utf8::decode(my $copy = $_) } @evil;
my %top;

eventually {
    my $top = $api->online_top('live', 100)->{data} || [];
    %top = map { $_->{room_id} => $_->{count} } @$top;
    !grep { my $u = $_; utf8::decode($u); ($top{$u} || 0) != 1 } @valid;
} 20, 'they are counted, each by its own name, in JSON';
is scalar(grep { $_ eq 'y' || $_ eq 'x' } keys %top), 0, 'and no other';

my $rooms;
eventually {
    $rooms = $api->online_room('live', \@valid)->{data} || {};
    !grep { $_ != 1 } values %$rooms;
} 20, 'asked for by name';
is scalar(keys %$rooms), scalar(@valid), 'all of them';

for my $node (@{ $c->{nodes} }) {
    is ref $node->status, 'HASH', 'a node\'s page is JSON';
}

# ---- what nodes say -----------------------------------------------------------

my $instances = @{ $api->nodes_instances->{data} };
my @servers = map { s/[\x00-\x20\x7f]//gr } grep { !/[\x80-\xff]/ } @evil;
for my $i (0 .. $#servers) {
    my $server = $servers[$i] =~ m{^[^/]+$} ? $servers[$i] : next;
    my $rpc = eval { Goim::RPC->new($c->logic->{rpc_port}, server => $server,
        zone => "z$i") } or next;
    is $rpc->register(hostname => $evil[$i] =~ s/[\x80-\xff]//gr,
        addrs => [$evil[$i] =~ s/[\x80-\xff,]//gr], weight => 0)->{code}, 0,
        text($server) . ': a server';
}
eventually { @{ $api->nodes_instances->{data} || [] } > $instances + 20 } 20,
    'they are told of, in JSON';
is ref $api->nodes_weighted('web')->{data}, 'HASH',
    'what browsers ask is JSON, too';

# ---- NUL ------------------------------------------------------------------------

for (['room', [type => 'live', room => "a\0b"]], ['room', [type => "a\0b",
    room => 1]], ['keys', [keys => "a\0b"]], ['mids', [mids => "1\0002"]])
{
    my ($route, $query) = @$_;
    my $r = $api->post("/goim/push/$route", [operation => 1000, @$query], 'x');
    isnt $r->{code}, 0, "NUL in the $query->[-2] of push/$route: refused";
}
for my $token (token(1, "a\0b", 'live://1'), token(1, 'k', "live://a\0b")) {
    my $client = $c->client(auth => 0);
    $client->send(7, $token);
    is $client->closed, 1008, 'NUL in a login: refused';
}
{
    my $client = $client{1}{client};
    $client->send(12, "live://a\0b");
    is $client->closed, 1008, 'NUL in another room: closed';
}

# ---- nothing has come of it -------------------------------------------------------

is $redis->cmd('GET', 'sentinel'), 'here', 'Redis has not been told anything';

# a line of Prometheus's text, whole
my $label = qr/[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"/;
my $line = qr/\A(?:\#\ (?:HELP|TYPE)\ [a-z_]+\ [^\n]*
    |[a-z_]+(?:\{$label(?:,$label)*\})?\ [-+.0-9eInfNa]+)\z/x;

for (map({ ["nginx", "http://127.0.0.1:$_->{port}/goim/status"
        . '?format=prometheus', $_] } @{ $c->{nodes} }),
    map { [$_->{name}, "http://127.0.0.1:$_->{http_port}/metrics", $_] }
        $c->logic, $c->job)
{
    my ($name, $url, $who) = @$_;
    my $text = Goim::HTTP::get($url)->{content};
    is_deeply [grep { !/$line/ } split /\n/, $text], [],
        "$name: each metric is one";
    unlike $text, qr/^evil/m, "$name: and none is made up";

    my @lines = split /\n/, $name eq 'nginx' ? $who->error_log : $who->logs;
    is_deeply [grep { !m{^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] } } @lines], [],
        "$name: each line of the log is one";
    is_deeply [grep { /[^\x20-\x7e]/ } @lines], [], "$name: and printable";
}

done_testing;
