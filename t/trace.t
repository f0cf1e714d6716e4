# Users that are traced: a line for each step of their sessions, and the list
# of them, by directive and by POST.

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Nginx;
use Goim::Test;

my ($port, $slow) = (free_port(), free_port());
my %spread = (events => 'accept_mutex off;', tcp => 1, server => <<"CONF");
    listen 127.0.0.1:$port reuseport;
    listen 127.0.0.1:$slow sndbuf=4k;
    location = /denied { goim_status; deny all; }
    location = /reader { goim_status; limit_except GET { deny all; } }
    location = /writer { goim_status; limit_except GET { allow 127.0.0.1;
        deny all; } }
CONF

# ---- reading it --------------------------------------------------------------

my $text = qr/(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\x[0-9A-F]{2})*/;

# every line of a trace: { pid, session, mid, key, step, what belongs to it }
sub lines {
    my ($node, @file) = @_;
    my @lines;

    for my $file (@file ? @file : 'trace.log') {
        for (split /\n/, slurp("$node->{dir}/$file")) {
            my ($at, $pid, $session, $mid, $key, $step, $more) =
                /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d)
                \ (\d+)\ (\d+)\ (\d+)\ "($text)"\ ([a-z]+)
                ((?:\ [a-z]+=(?:"$text"|[^"\ ]*))*)$/x
                or fail("a line: $_"), next;
            my %of = $more =~ / ([a-z]+)=("$text"|[^" ]*)/g;
            s/^"(.*)"$/$1/ for values %of;
            push @lines, { at => $at, pid => $pid, session => $session,
                mid => $mid, key => $key, step => $step, %of };
        }
    }
    return @lines;
}

sub of_key {
    my ($node, $key, @file) = @_;
    return grep { $_->{key} eq $key } lines($node, @file);
}

sub steps { return map { $_->{step} } of_key(@_) }

# a step of a key is there, $n times; the last of them
sub traced {
    my ($node, $key, $step, $n) = @_;
    my @found;
    eventually {
        @found = grep { $_->{step} eq $step } of_key($node, $key);
        @found >= ($n || 1);
    } 15, "$key: $step" or diag join ' ', steps($node, $key);
    return $found[-1] || {};
}

sub post {
    my ($node, $args, %arg) = @_;
    return Goim::HTTP::request('POST', "http://127.0.0.1:$node->{port}"
        . ($arg{path} || '/goim/status') . $args,
        content => defined $arg{body} ? $arg{body} : '');
}

sub set {
    my ($node, @mids) = @_;
    my $res = post($node, '?trace=' . join ',', @mids);
    is_deeply($res->{json}, { trace => [map { $_ + 0 } @mids] },
        "trace @mids") or diag($res->{content});
    is_deeply($node->status->{trace}, [map { $_ + 0 } @mids], 'and it is so');
}

my $c = Goim::Cluster->new(workers => 3, nginx => { %spread, goim => {
    trace_log => 'trace.log', trace => ['7 9223372036854775807', '7'],
    queue_size => '64k drop' } });
my ($node, $api) = ($c->node, $c->api);

# ---- each step ---------------------------------------------------------------

for my $front (qw(ws tcp)) {
    my $key = "key $front";
    my %user = (transport => $front, mid => 7, key => $key,
        room => 'live://1', accepts => [1000, 1001]);
    my $client = $c->client(%user);
    my $other = $c->client(%user, mid => 6, key => 'other');

    my $push = sub {
        my ($what) = @_;
        is($client->push->{body}, $what, "$front: $what");
    };

    $client->heartbeat;
    $client->change_room('live://2');
    $client->sub([1002, 1003]);
    $client->unsub([1001]);
    $client->call(4, 'to the application');
    $api->keys(1000, [$key], 'by key');
    $push->('by key');
    $api->keys(1001, [$key], 'left out');
    traced($node, $key, 'filtered');
    $api->room(1001, 'live', '2', 'by room');
    $push->('by room');
    $api->all(1002, 'to all');
    $push->('to all');
    $client->close;
    traced($node, $key, 'disconnected');
    traced($node, $key, 'closed');

    my @lines = of_key($node, $key);
    my @steps = map { $_->{step} } @lines;
    my $end = 0;
    $end++ while $steps[$end] ne 'close';
    is_deeply([@steps[0 .. $end]], [
        qw(login reply flush),
        qw(packet heartbeat reply flush),
        qw(packet room reply flush),
        qw(packet sub reply flush),
        qw(packet unsub reply flush),
        qw(packet receive received reply flush),
        qw(push flush filtered push flush push flush),
        'close'], "$front: each step, in order");
    is_deeply([sort @steps[$end + 1 .. $#steps]], [
        $front eq 'ws' ? qw(closed disconnect disconnected flush)
        : qw(closed disconnect disconnected)], "$front: and those of its end");

    my ($session) = map { $_->{session} } @lines;
    is_deeply([grep { $_->{session} ne $session || $_->{mid} ne 7 } @lines],
        [], "$front: of one session");
    is_deeply([map { $_->{at} } @lines], [sort map { $_->{at} } @lines],
        "$front: times do not go back");

    my %first;
    $first{ $_->{step} } ||= $_ for @lines;
    my $has = sub {
        my ($step, %want) = @_;
        is_deeply({ map { $_ => $first{$step}{$_} } keys %want }, \%want,
            "$front: $step tells");
    };
    $has->('login', addr => '127.0.0.1', room => 'live://1',
        front => $front eq 'ws' ? 'websocket' : 'tcp',
        accepts => '1000,1001', heartbeat => 480000, logic => 0);
    $has->('packet', op => 2, seq => 2, bytes => 0);
    $has->('room', from => 'live://1', to => 'live://2');
    $has->('sub', ops => '1002,1003', accepts => 4);
    $has->('unsub', ops => '1001', accepts => 3);
    $has->('reply', op => 8, seq => 1, bytes => 0);
    $has->('receive', logic => 0);
    $has->('push', kind => 'keys', op => 1000, bytes => 6);
    like($first{push}{position}, qr{^\d+/\d+-\d+$}, "$front: its position");
    $has->('filtered', kind => 'keys', op => 1001);
    like($first{filtered}{position}, qr{^\d+/\d+-\d+$}, "$front: that too");
    is_deeply([map { "$_->{kind} $_->{op} $_->{bytes}" }
        grep { $_->{step} eq 'push' } @lines],
        ['keys 1000 6', 'room 1001 7', 'all 1002 6'], "$front: its pushes");
    $has->('flush', left => 0);
    $has->('close', code => $front eq 'ws' ? 1000 : 0, waiting => 0);
    $has->('closed', unsent => 0);
    $has->('disconnect', logic => 0);

    $other->close;
    is_deeply([steps($node, 'other')], [], "$front: of nobody else");
}

# messages of one frame: a line each, the position with the last
{
    my $client = $c->client(mid => 7, key => 'many', room => 'live://3');
    $api->room(1000 + $_, 'live', '3', 'x' x $_) for 1 .. 200;
    $client->pushes(200);
    my @push = grep { $_->{step} eq 'push' } of_key($node, 'many');
    is_deeply([map { "$_->{op} $_->{bytes}" } @push],
        [map { 1000 + $_ . " $_" } 1 .. 200], 'each message of a frame');
    ok($push[-1]{position}, 'the last has a position');
    $client->close;
}

# no byte from outside forges a line or ends a value
{
    my $key = "a\n2026\x{7f}\"\\ \x{e9}";
    my $room = "live://\r\n\" x";
    my $client = $c->client(mid => 7, key => $key, room => $room);
    $client->change_room('y' x 256);
    $client->call(14, "1,\n2");
    $client->call(14, ',' x 4096);
    $client->close;
    my $escaped = 'a\x0A2026\x7F\x22\x5C \xC3\xA9';
    traced($node, $escaped, 'disconnected');
    my %of = map { $_->{step} => $_ } reverse of_key($node, $escaped);
    is($of{login}{room}, 'live://\x0D\x0A\x22 x', 'a room, escaped');
    is_deeply([@{ $of{room} }{qw(from to)}], [$of{login}{room}, 'y' x 256],
        'and from one to another');
    is_deeply([map { $_->{ops} } grep { $_->{step} eq 'sub' }
        of_key($node, $escaped)], ['1,\x0A2', ',' x 256 . '...'],
        'a long text is cut');
}

# many operations, the longest names
{
    my $key = '\x01' x 256;
    my $client = $c->client(token => '{"mid":9223372036854775807,"key":"'
        . '\u0001' x 256 . '","room_id":"a://' . "\xc3\xa9" x 126 . '","accepts":['
        . join(',', map { -2147483648 + $_ } 1 .. 40) . ']}');
    my $line = traced($node, $key, 'login');
    is($line->{room}, 'a://' . '\xC3\xA9' x 126, 'a room of 256 bytes');
    is($line->{mid}, '9223372036854775807', 'the largest mid');
    like($line->{accepts}, qr/^(?:-\d+,){31}-\d+\.\.\.$/, '32 operations');
    $client->change_room("\x03" x 256);
    is(traced($node, $key, 'room')->{to}, '\x03' x 256, 'and another');
    $client->close;
}

# ---- replaced, dropped, cut --------------------------------------------------

{
    my $first = $c->client(mid => 7, key => 'twice');
    my $second = $c->client(mid => 7, key => 'twice');
    $first->closed;
    is(traced($node, 'twice', 'close')->{reason}, 'replaced', 'replaced');
    $second->close;
}

sub stalled {
    my ($key, $step) = @_;
    my $client = Goim::Client->new(port => $slow, mid => 7, key => $key,
        accepts => [1000], rcvbuf => 4096);
    wait_for {
        $api->keys(1000, [$key], 'x' x 20_000);
        grep { $_ eq $step } steps($node, $key);
    } 30, "$key: $step";
    return $client;
}

{
    my $client = stalled('full', 'dropped');
    my ($line) = grep { $_->{step} eq 'dropped' } of_key($node, 'full');
    is_deeply([@$line{qw(kind op bytes)}], ['keys', 1000, 20_000],
        'what was dropped');
    ok((grep { $_->{step} eq 'flush' && $_->{left} > 0 }
        of_key($node, 'full')), 'what was left');
    $client->drop;
}

# ---- the list, while it runs -------------------------------------------------

# users of a mid, over all workers
sub users {
    my ($mid, $n, $name) = @_;
    return map { $c->client(port => $port, mid => $mid, key => "$name$_",
        room => 'live://9') } 1 .. $n;
}

my @users = users(100, 24, 'u');
is_deeply($node->status->{trace}, [7, 0 + '9223372036854775807'],
    'the directive\'s list');
is_deeply([grep { /^u/ } map { $_->{key} } lines($node)], [],
    'these are not traced');
set($node, 7, 100);
traced($node, "u$_", 'traced') for 1 .. 24;
my %pid = map { $_->{pid} => 1 } map { of_key($node, "u$_") } 1 .. 24;
cmp_ok(scalar keys %pid, '>', 1, 'in several workers');
my ($line) = of_key($node, 'u1');
is_deeply([@$line{qw(step addr front room logic)}],
    ['traced', '127.0.0.1', 'websocket', 'live://9', 0], 'those who were there');
$_->heartbeat for @users;
is_deeply([steps($node, "u$_")], [qw(traced packet heartbeat reply flush)],
    "u$_: from then on") for 1, 24;

# who comes later
push @users, users(100, 3, 'v');
is((steps($node, "v$_"))[0], 'login', "v$_: login") for 1 .. 3;

# exactly from the answer on, whoever gave it
set($node);
is((steps($node, 'u5'))[-1], 'untraced', 'the list is empty')
    if traced($node, 'u5', 'untraced');
traced($node, $_, 'untraced') for map { $_->{auth}{key} } @users;
my $size = -s "$node->{dir}/trace.log";
$_->heartbeat for @users;
$api->room(1000, 'live', '9', 'quiet');
is($_->push->{body}, 'quiet', 'a push') for @users;
is(-s "$node->{dir}/trace.log", $size, 'nothing is written any more');

for my $round (1 .. 5) {
    set($node, 100);
    $api->room(1000, 'live', '9', "round $round");
    $_->push for @users;
    my @push = grep { $_->{step} eq 'push' } lines($node);
    is(scalar(grep { $_->{key} =~ /^[uv]/ } @push), @users * $round,
        'a push behind the POST is traced in every worker');
    set($node);
}

# ---- what a POST may say -----------------------------------------------------

set($node, 5);

my $none = 'no argument "trace" or "drain"';
for (['', $none], ['?format=json', $none], ['?trace', $none],
    ['?trac=7', $none],
    ['?trace=x', 'invalid value "x" in "trace"'],
    ['?trace=0', 'invalid value "0" in "trace"'],
    ['?trace=-7', 'invalid value "-7" in "trace"'],
    ['?trace=7,', 'invalid value "" in "trace"'],
    ['?trace=,', 'invalid value "" in "trace"'],
    ['?trace=7,,8', 'invalid value "" in "trace"'],
    ['?trace=7%208', 'invalid value "7 8" in "trace"'],
    ['?trace=9223372036854775808', 'invalid value "9223372036854775808"'
        . ' in "trace"'],
    ['?trace=7&trace=y', 'invalid value "y" in "trace"'],
    ['?trace=%0A%22%5C%00%ff', 'invalid value "\x0A\x22\x5C\x00\xFF"'
        . ' in "trace"'],
    ['?trace=' . 'z' x 2000, 'invalid value "' . 'z' x 256 . '..." in'
        . ' "trace"'],
    ['?trace=' . join(',', 1 .. 65), '"trace" is longer than 64 mids'])
{
    my ($args, $error) = @$_;
    my $res = post($node, $args);
    is($res->{status}, 400, substr($args, 0, 40) . ': 400');
    is_deeply($res->{json}, { error => $error }, 'and why')
        or diag($res->{content});
}
is_deeply($node->status->{trace}, [5], 'nothing was changed');

is_deeply(post($node, $_->[0])->{json}, { trace => $_->[1] },
    substr $_->[0], 0, 40)
    for ['?trace=9%2C8,9', [8, 9]], ['?trace=3&x=y&trace=1,2', [1, 2, 3]],
        ['?trace=' . join(',', reverse(1 .. 64), 1 .. 64), [1 .. 64]],
        ['?trace=', []], ['?trace=007', [7]];

is($node->get('/goim/status?trace=9')->{status}, 200, 'GET');
is_deeply($node->status->{trace}, [7], 'changes nothing');

# bodies are thrown away; connections go on
for my $body ('trace=8', 'x' x 300_000) {
    is(post($node, '?trace=8,9', body => $body)->{status}, 200, 'a body');
    is_deeply($node->status->{trace}, [8, 9], 'says nothing');
}
is(post($node, '?trace=1', body => 'x' x (2 << 20))->{status}, 413,
    'client_max_body_size');

# who may
for (['/denied', 403, 403], ['/reader', 200, 403], ['/writer', 200, 200]) {
    my ($path, $get, $post) = @$_;
    is($node->get($path)->{status}, $get, "$path: GET");
    is(post($node, '?trace=3', path => $path)->{status}, $post, "$path: POST");
    is_deeply($node->status->{trace}, $post == 200 ? [3] : [8, 9], 'the list');
}

# ---- USR1, reload, a worker that dies ----------------------------------------

set($node, 100);
$node->reload;
is_deeply($node->status->{trace}, [100], 'a reload keeps what was set');
my @new = users(100, 6, 'n');
ok($node->draining, 'others sit in workers of before');

my $n = 0;
sub some_pushes {
    for (1 .. 20) {
        $n++;
        $api->room(2000 + $n, 'live', '9', 'numbered');
    }
}
some_pushes();
rename "$node->{dir}/trace.log", "$node->{dir}/trace.log.1";
some_pushes();
hit 'USR1', $node->master;
some_pushes();
wait_for { -e "$node->{dir}/trace.log" } 15, 'the file is opened again';
wait_for {
    some_pushes();
    $_->pump for @users, @new;
    my %writes = map { $_->{pid} => 1 } lines($node);
    !grep { !$writes{$_} } keys %pid;
} 30, 'by all, those who leave too';

for my $client (@users, @new) {
    my @got = map { $_->{op} - 2000 } $client->pushes($n);
    is(scalar @got, $n, 'all come');
}
for my $key (qw(u1 u24 v1 n1 n6)) {
    is_deeply([map { $_->{op} - 2000 } grep { $_->{step} eq 'push'
        && $_->{op} > 2000 } of_key($node, $key, 'trace.log.1', 'trace.log')],
        [1 .. $n], "$key: no line is lost");
}

# the directive counts when it says something else than before
$node->configure(goim => { %{ $node->{goim} }, trace => ['7'] });
$node->reload;
is_deeply($node->status->{trace}, [7], 'a changed directive counts');
traced($node, 'n1', 'untraced');
set($node, 100);
traced($node, 'n1', 'traced');
$node->reload;
is_deeply($node->status->{trace}, [100], 'and the same one does not again');

allow_log(qr/exited on signal 9/, qr/was locked by/);
my %before = map { $_ => 1 } $node->workers;
my %leaving = map { $_ => 1 } $node->draining;
hit 'KILL', grep { !$leaving{$_} } keys %before;
wait_for { grep({ !$before{$_} } $node->workers) == 3 } 20, 'workers anew';
$node->wait_registered;
my ($again) = users(100, 1, 'again');
is((steps($node, 'again1'))[0], 'login', 'a worker made anew has the list');

# closed for being slow
$node->configure(goim => { %{ $node->{goim} }, queue_size => '64k',
    trace => '7 1' });
$node->reload;
{
    my $client = stalled('cut', 'cut');
    my ($line) = grep { $_->{step} eq 'cut' } of_key($node, 'cut');
    cmp_ok($line->{waiting}, '>', 20_000, 'what is thrown away');
    is(traced($node, 'cut', 'close')->{reason}, 'too slow', 'and why');
    $client->drop;
    traced($node, 'cut', 'closed');
}

# without a file
$node->configure(goim => { %{ $node->{goim} }, trace => undef,
    trace_log => undef });
$node->reload;
is_deeply($node->status->{trace}, [], 'a directive taken away');
$size = -s "$node->{dir}/trace.log";
for ('?trace=7', '?trace=') {
    my $res = post($node, $_);
    is($res->{status}, 409, "$_ without a trace_log");
    is_deeply($res->{json}, { error => 'no "trace_log" in "goim"' }, 'says so');
}
$c->client(mid => 7, key => 'nobody')->heartbeat;
is(-s "$node->{dir}/trace.log", $size, 'nobody is traced');

like($node->error_log, qr/\[notice\].*goim: mids to trace are now \[7,100\], client: 127\.0\.0\.1/,
    'changes are in the error log, with who made them');
$node->stop;

# ---- a full disk -------------------------------------------------------------

{
    allow_log(qr/\[alert\].*goim: write\(\) to "\/dev\/full" failed/);
    my $c = Goim::Cluster->new(nginx => { goim => {
        trace_log => '/dev/full', trace => '7' } });
    my $client = $c->client(mid => 7, key => 'k');
    $client->heartbeat for 1 .. 10;
    my @said = grep { m{"/dev/full" failed, lines of the trace are lost} }
        split /\n/, $c->node->error_log;
    is(scalar @said, 1, 'said once a minute');
    like($said[0], qr/\(28: No space left on device\)/, 'and why');
    is($client->call(4, 'on')->{op}, 5, 'and all goes on');
    $client->close;
}

# ---- renewals, and logic away ------------------------------------------------

{
    my $c = Goim::Cluster->new(logic => { conf => { session =>
        { ttl => '17s', heartbeat => '8s', heartbeat_max => 1 } } },
        nginx => { goim => { trace_log => 'trace.log' } });
    my $node = $c->node;
    set($node, 7);
    my $client = $c->client(mid => 7, key => 'k');
    wait_for {
        $client->heartbeat;
        grep { $_ eq 'renew' } steps($node, 'k');
    } 20, 'renew';
    is(traced($node, 'k', 'renew')->{logic}, 0, 'a renewal');

    $c->logic->stop;
    wait_for {
        $client->call(4, 'anybody?');
        grep { $_->{step} eq 'receive' && $_->{failed} } of_key($node, 'k');
    } 20, 'logic is away';
    is(traced($node, 'k', 'receive')->{failed}, 'no logic', 'no receive');
    $client->close;
    is(traced($node, 'k', 'disconnect')->{failed}, 'no logic',
        'no disconnect');
    $c->logic->start;
    traced($node, 'k', 'disconnected');
    my ($told) = reverse grep { $_->{step} eq 'disconnect' }
        of_key($node, 'k');
    is($told->{logic}, 0, 'it is told again');
}

done_testing;
