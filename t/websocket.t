# Frames on a real connection: what Autobahn does not try, on goim_subscribe and
# goim_echo, with clients that mean no good.

use strict;
use warnings;

use lib 't/lib';
use POSIX ();

use Goim::Nginx;
use Goim::Packet;
use Goim::Redis;
use Goim::Test;
use Goim::WS;

my $redis = Goim::Redis->new;
my $nginx = Goim::Nginx->new(redis => $redis->addr, logic => '127.0.0.1:1',
    ssl => 1, workers => 1, goim => { handshake_timeout => '3s' });

my ($worker) = $nginx->workers;
my %to = (ws => { port => $nginx->{port} },
    wss => { port => $nginx->{wss_port}, ssl => 1 });

sub connect_to {
    my ($kind, $path) = @_;
    return Goim::WS->new(%{ $to{$kind} }, path => $path || '/echo');
}

# bytes of the worker that are its own
sub memory {
    my ($kb) = slurp("/proc/$worker/smaps_rollup")
        =~ /^Anonymous:\s+(\d+) kB/m;
    return $kb * 1024;
}

sub grew_less {
    my ($before, $limit, $name) = @_;
    SKIP: {
        skip "$name: a sanitizer keeps what was freed", 1 if asan();
        cmp_ok(memory() - $before, '<', $limit, $name);
    }
}

my $packet = Goim::Packet::pack_packet(7, '{}');

for my $kind (qw(ws wss)) {

    # every size around the forms of a length, in one piece and in many
    {
        my $ws = connect_to($kind);
        for my $n (0, 1, 124 .. 127, 4095, 4096, 16_383 .. 16_385,
            65_534 .. 65_537, 300_000)
        {
            my $body = join '', map { chr($_ * 7 % 251) } 1 .. $n;
            $ws->send($body);
            is_deeply($ws->recv, { opcode => 2, data => $body },
                "$kind: $n bytes");
        }
        my $frames = join '', map { Goim::WS::frame(text => "piece $_") }
            1 .. 50;
        $ws->send_raw($_) for $frames =~ /.{1,7}/sg;
        is_deeply([map { ($ws->recv || {})->{data} } 1 .. 50],
            [map { "piece $_" } 1 .. 50], "$kind: cut anywhere");
        $ws->send_raw(join '', map { Goim::WS::frame(text => "pipelined $_") }
            1 .. 5000);
        is_deeply([map { ($ws->recv || {})->{data} } 1 .. 5000],
            [map { "pipelined $_" } 1 .. 5000], "$kind: 5,000 at once");
        is($ws->close, 1000, "$kind: closed");
    }

    # fragments, with pings between and inside a character
    {
        my $ws = connect_to($kind);
        my $text = "na\xc3\xafve \xe2\x82\xac";
        my @bytes = split //, $text;
        $ws->send_frame(text => shift @bytes, fin => 0);
        while (@bytes > 1) {
            $ws->ping("between $#bytes");
            $ws->send_frame(cont => shift @bytes, fin => 0);
        }
        $ws->send_frame(cont => shift @bytes);
        is_deeply($ws->recv, { opcode => 1, data => $text },
            "$kind: fragments of a byte");
        is(scalar @{ $ws->{pongs} }, length($text) - 2,
            "$kind: pings between are answered");
        is($ws->{pongs}[0], 'between 8', "$kind: with what they said");
        $ws->ping('p' x 125);
        $ws->send_text('next');
        is(($ws->recv || {})->{data}, 'next', "$kind: and the next message");
        is($ws->{pongs}[-1], 'p' x 125, "$kind: the longest ping");
        $ws->send_frame(pong => 'nobody asked');
        $ws->send_text('still there');
        is(($ws->recv || {})->{data}, 'still there', "$kind: a pong");
        is($ws->close, 1000, "$kind: closed");
    }

    # what is wrong ends with a code, and nobody else notices
    my $bystander = connect_to($kind);
    for (
        ['not masked', [text => 'x', mask => 0], 1002],
        ['RSV1', [text => 'x', rsv => 4], 1002],
        ['RSV2', [text => 'x', rsv => 2], 1002],
        ['RSV3', [binary => 'x', rsv => 1], 1002],
        ['opcode 3', [3, 'x'], 1002],
        ['opcode 7', [7, ''], 1002],
        ['opcode 11', [11, 'x'], 1002],
        ['opcode 15', [15, 'x'], 1002],
        ['continuation of nothing', [cont => 'x'], 1002],
        ['ping in fragments', [ping => 'x', fin => 0], 1002],
        ['ping of 126 bytes', [ping => 'x' x 126], 1002],
        ['close in fragments', [close => '', fin => 0], 1002],
        ['length 5 as 16 bits', [binary => 'xxxxx', form => 16], 1002],
        ['length 5 as 64 bits', [binary => 'xxxxx', form => 64], 1002],
        ['length 300 as 64 bits', [binary => 'x' x 300, form => 64], 1002],
        ['length 2^63', [binary => '', length => 1 << 63, form => 64], 1002],
        ['length 2^62', [binary => '', length => 1 << 62, form => 64], 1009],
        ['16 MB and a byte',
            [binary => '', length => (16 << 20) + 1, form => 64], 1009],
        ['not UTF-8', [text => "a\xffb"], 1007],
        ['a surrogate', [text => "\xed\xa0\x80"], 1007],
        ['half a character', [text => "\xe2\x82"], 1007],
        ['close with half a code', [close => "\x03"], 1002],
        ['close with 1005', [close => pack 'n', 1005], 1002],
        ['close with 999', [close => pack 'n', 999], 1002],
        ['close, reason not UTF-8', [close => pack('n', 1000) . "\xff"], 1007],
    ) {
        my ($name, $frame, $code) = @$_;
        my $ws = connect_to($kind);
        $ws->send_frame(@$frame);
        # and more behind it, that must not hide the answer
        eval { $ws->send_raw("\0" x 50_000) };
        is($ws->closed, $code, "$kind: $code: $name");
    }

    for my $code (1000, 1001, 1003, 1007, 1011, 3000, 4999) {
        is(connect_to($kind)->close($code, 'a reason'), $code,
            "$kind: $code comes back");
    }
    is(connect_to($kind)->close(1002), 1002, "$kind: even 1002");
    {
        my $ws = connect_to($kind);
        $ws->send_close;
        is($ws->closed, 1000, "$kind: a close frame without a code");
    }

    # nothing is answered behind a close frame
    {
        my $ws = connect_to($kind);
        $ws->send_raw(Goim::WS::frame(text => 'before')
            . Goim::WS::frame(close => pack 'n', 1000)
            . Goim::WS::frame(text => 'behind'));
        is($ws->closed, 1000, "$kind: closed");
        is_deeply([map { $_->{data} } @{ $ws->{messages} }], ['before'],
            "$kind: what came before it is answered, and no more");
    }

    $bystander->send_text('and you?');
    is(($bystander->recv || {})->{data}, 'and you?', "$kind: a bystander");
    $bystander->close;

    # goim_subscribe: the limit is a packet's, also over fragments
    for (
        ['a frame over the limit', sub {
            $_[0]->send_frame(binary => '', length => 4113, form => 16) }],
        ['fragments over the limit', sub {
            $_[0]->send_frame(binary => 'x' x 4000, fin => 0);
            $_[0]->send_frame(cont => 'x' x 113) }],
    ) {
        my $ws = connect_to($kind, '/sub');
        $_->[1]->($ws);
        is($ws->closed, 1009, "$kind: $_->[0]");
    }
}

# one that sends and does not read is closed; what it may hold is bounded
{
    my $before = memory();
    my $ws = connect_to('ws');
    my $mb = Goim::WS::frame(binary => 'x' x (1 << 20));
    eval {
        local $SIG{PIPE} = 'IGNORE';
        $ws->send_raw($mb) for 1 .. 100;
    };
    is($nginx->status->{counters}{slow_closed}, 1,
        'a client that does not read is closed');
    grew_less($before, 80 << 20, 'in time');
    $ws->drop;
    eventually { $nginx->status->{sessions} == 0 } 10, 'and gone';
}

# auth waits for a registration at logic, which is not there: the session is busy
for my $kind (qw(ws wss)) {
    my $auth = Goim::WS::frame(binary => $packet);
    my $more = Goim::WS::frame(binary => Goim::Packet::pack_packet(2));

    my $ws = connect_to($kind, '/sub');
    $ws->send_raw($auth . $more x 100);
    $ws->send_raw($more) for 1 .. 20;
    is($ws->recv(0.2), undef, "$kind: no answer while auth waits");
    $ws->drop;
    eventually { $nginx->status->{sessions} == 0 } 2,
        "$kind: gone while busy is noticed";

    # more than is kept: reading stops, the rest waits in the socket
    my $before = memory();
    my @ws = map { connect_to($kind, '/sub') } 1 .. 20;
    $_->send_raw($auth . $more x 10_000) for @ws;
    is($nginx->status->{sessions}, 20, "$kind: all are held");
    grew_less($before, 20 * 100_000, "$kind: little of it is kept");
    is($_->closed, 1013, "$kind: until the handshake timeout") for @ws[0, -1];
    $_->drop for @ws;
    eventually { $nginx->status->{sessions} == 0 } 10, "$kind: all are gone";
}

# an announced message costs nothing before it comes
{
    my $before = memory();
    my @ws = map { connect_to('ws') } 1 .. 50;
    $_->send_frame(binary => 'x', length => 16 << 20, form => 64) for @ws;
    connect_to('ws')->close;
    grew_less($before, 1 << 20, 'announcing is not enough');
    $_->drop for @ws;
}

# many at rest after big messages hold no more than they did before
{
    my @ws = map { connect_to('ws') } 1 .. 300;
    my $once = sub {
        my ($text) = @_;
        for (@ws) {
            $_->send_text($text);
            $_->recv or die "no echo\n";
        }
        return memory();
    };
    my $small = $once->('x');
    $once->('x' x 100_000) for 1 .. 3;
    $once->('x');
    grew_less($small, 300 * 500, 'at rest nothing is kept');
    $_->drop for @ws;
}

# one that floods does not starve the others
{
    my $flood = connect_to('ws');
    my $other = connect_to('ws');
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        my $frame = Goim::WS::frame(pong => 'flood') x 10_000;
        eval { $flood->send_raw($frame) while 1 };
        POSIX::_exit(0);
    }
    for (1 .. 20) {
        $other->send_text("turn $_");
        my $m = $other->recv(5);
        is($m && $m->{data}, "turn $_", "beside a flood: $_") if $_ == 20;
        last if !$m;
    }
    hit 'KILL', $pid;
    waitpid $pid, 0;
    $_->drop for $flood, $other;
}

eventually { $nginx->status->{sessions} == 0 } 10, 'no session is left';

# a worker that must go says so, after it went on for as long as it might
{
    my $going = Goim::Nginx->new(redis => $redis->addr, ssl => 1,
        logic => '127.0.0.1:1', workers => 1,
        main => 'worker_shutdown_timeout 1s;');
    my @ws = map { Goim::WS->new(path => '/echo', @$_) }
        ([port => $going->{port}],
        [port => $going->{wss_port}, ssl => 1]) x 2;
    $going->reload;
    for (@ws) {
        $_->send_text('still there?');
        is(($_->recv || {})->{data}, 'still there?', 'after a reload');
    }
    is($_->closed, 1001, 'worker_shutdown_timeout: 1001') for @ws;
}

done_testing;
