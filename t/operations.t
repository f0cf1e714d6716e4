# Every operation and every limit of the protocol, over WebSocket and over TCP.

use strict;
use warnings;

use lib 't/lib';

use Time::HiRes ();

use Goim::Cluster;
use Goim::Packet qw(pack_packet parse_packet);
use Goim::Test;

my @kinds = qw(ws tcp);
my %nginx = (tcp => 1, goim => { handshake_timeout => '60s' });
my $c = Goim::Cluster->new(workers => 2, nginx => \%nginx);
my $api = $c->api;

sub counter { return $c->node->status->{counters}{$_[0]} }

# a connection that has not authenticated
sub stranger { return $c->client(transport => $_[0], auth => 0) }

sub packet {
    my ($op, $body, %arg) = @_;
    return { op => $op, body => $body, seq => 1, ver => 1, %arg };
}

# the next packet as it came, pushes included
sub next_packet {
    my ($client) = @_;
    my $m = $client->transport->recv or return undef;
    return parse_packet(\$m->{data});
}

# closed without another packet; on WebSocket with this code
sub is_closed {
    my ($client, $code, $name) = @_;
    my $how = $client->closed;
    is($client->{tcp} ? !!$how && 'closed' : $how,
        $client->{tcp} ? 'closed' : $code, $name);
    is(scalar @{ $client->transport->{messages} }, 0, "$name: no reply");
}

# the mappings of a user in Redis: its keys
sub keys_of {
    my ($mid) = @_;
    my $map = $c->redis->hgetall("mid_$mid");
    return sort keys %$map;
}

for my $kind (@kinds) {
    my $mid = $kind eq 'ws' ? 1000 : 2000;

    # ---- auth ------------------------------------------------------------------

    for (
        ['{}', '{}'],
        ['all fields', qq({"mid":$mid,"key":"$kind all","room_id":"live://1",)
            . '"platform":"web","accepts":[1000,1001]}'],
        ['unknown fields', '{"nonsense":{"a":[1,2]},"mid":0,"more":null}'],
        ['names in any case', '{"MID":0,"Key":"' . $kind . ' case"}'],
        ['an empty key', '{"mid":0,"key":""}'],
        ['blanks', " {\n\t\"mid\" : 0 }\r\n "],
    ) {
        my ($name, $body) = @$_;
        my $client = stranger($kind);
        my $p = $client->call(7, $body, seq => 77, ver => 5);
        is_deeply($p, packet(8, '', seq => 77, ver => 5),
            "$kind: auth with $name");
        $client->close;
    }

    for my $body ('', 'x', '{', '[]', '"text"', '1', '{"mid":"1"}',
        '{"mid":1.5}', '{"mid":true}', '{"mid":9223372036854775808}',
        '{"key":1}', '{"room_id":[]}', '{"platform":{}}', '{"accepts":"1000"}',
        '{"accepts":[1000,"1001"]}', '{"accepts":[2147483648]}',
        '{"mid":1}garbage', "{\"key\":\"\xff")
    {
        my $client = stranger($kind);
        $client->send(7, $body);
        my $name = $body;
        $name =~ s/[^ -~]/?/g;
        is_closed($client, 1008, "$kind: auth with '$name'");
    }

    {
        my @two = map { $c->client(transport => $kind, mid => $mid + 1,
            accepts => [1000]) } 1, 2;
        my @keys = keys_of($mid + 1);
        is(scalar @keys, 2, "$kind: without a key each gets one");
        like($keys[$_], qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
            "$kind: a UUID") for 0, 1;
        is($api->keys(1000, [$keys[0]], 'to one')->{code}, 0, "$kind: key");
        is($api->mids(1000, [$mid + 1], 'to both')->{code}, 0, "$kind: mid");
        eventually {
            $_->pump for @two;
            3 == map { @{ $_->{pushes} } } @two;
        } 10, "$kind: by its key one of them is reached, as a user both";
        is_deeply([sort map { scalar @{ $_->{pushes} } } @two], [1, 2],
            "$kind: each is another");
        $_->close for @two;
        eventually { !keys_of($mid + 1) } 10, "$kind: the mappings go";
    }

    # the first packets, if they are not auth
    {
        my $client = stranger($kind);
        my @ops = (0 .. 6, 8 .. 18, 100, 1000, -1, 2147483647, -2147483648);
        $client->send($_, '1000', seq => 500 + $_ % 100) for @ops;
        $client->send(12, 'live://early');
        my $p = $client->call(7, '{}', seq => 3);
        is_deeply($p, packet(8, '', seq => 3),
            "$kind: whatever comes before auth is ignored");
        is($client->heartbeat, 0, "$kind: it did not enter a room");
        $client->close;
    }

    # a second auth is like any unknown operation
    {
        my $key = "$kind twice";
        my $client = $c->client(transport => $kind, mid => $mid + 2,
            key => $key, accepts => [1000]);
        is_deeply($client->call(7, qq({"mid":9,"key":"other"}), seq => 9),
            packet(7, '', seq => 9), "$kind: auth twice");
        is_deeply([keys_of($mid + 2)], [$key], "$kind: it changes nothing");
        is_deeply([keys_of(9)], [], "$kind: nobody else is there");
        $client->send(7, 'not JSON');
        is(($client->reply || {})->{op}, 7, "$kind: whatever it says");
        $client->close;
    }

    # packets behind auth wait for its answer
    {
        my $client = stranger($kind);
        my @seq = map { $client->send(@$_) } [7, '{"room_id":"live://b"}'],
            [2, ''], [4, 'm'], [12, ''], [2, ''], [14, '5'], [77, 'u'];
        my @got = map { $client->reply } @seq;
        is_deeply([map { $_->{op} } @got], [8, 3, 5, 13, 3, 15, 77],
            "$kind: packets behind auth are answered after it, in order");
        is_deeply([map { $_->{seq} } @got], \@seq, "$kind: each with its own");
        $client->close;
    }

    # ---- operations ------------------------------------------------------------

    my $client = $c->client(transport => $kind, mid => $mid + 3,
        key => "$kind ops", accepts => [1000]);

    for (
        [2, '', 3, "\0\0\0\0"],
        [2, 'whatever', 3, "\0\0\0\0"],
        [3, '', 3, "\0\0\0\0"],
        [3, 'x', 3, "\0\0\0\0"],
        [4, '', 5, ''],
        [4, 'a message', 5, ''],
        [4, 'x' x 4096, 5, ''],
        (map { [$_, 'x', $_, ''] } 0, 1, 5, 6, 7, 8, 10, 11, 13, 15, 17, 18,
            19, 99, 1000, 2147483647, -1, -2147483648),
        [100, '', 100, ''],
        [100, "\0" x 4096, 100, ''],
        [12, '', 13, ''],
        [12, 'live://x', 13, 'live://x'],
        [12, 'no type', 13, 'no type'],
        [12, '', 13, ''],
        [14, '', 15, ''],
        [14, '1001', 15, '1001'],
        [14, '1001,1002,1001', 15, '1001,1002,1001'],
        [14, '-5,+6,007', 15, '-5,+6,007'],
        [16, '1001,1002', 17, '1001,1002'],
        [16, '5555', 17, '5555'],
        [16, '', 17, ''],
        (map { ([14, $_, 15, $_], [16, $_, 17, $_]) } 'x', ',', '1,', ',1',
            '1,,2', ' 1', '1 ', '1;2', '2147483648', '-2147483649', '1.0',
            '9' x 100, 'x' x 4096, "\0"),
    ) {
        my ($op, $body, $reply, $answer) = @$_;
        for ([seq => 1, ver => 1], [seq => 2147483647, ver => 2],
            [seq => -1, ver => 65535], [seq => 0x1234, ver => 0])
        {
            my %h = @$_;
            my $name = length $body > 20 ? length($body) . ' bytes' : $body;
            is_deeply($client->call($op, $body, %h),
                packet($reply, $answer, %h),
                "$kind: operation $op '$name', sequence $h{seq}");
        }
    }

    # a packet of operation 9 has no answer where packets go bare
    $client->send(9, 'x', seq => 31);
    $client->send(4, 'x', seq => 32);
    is_deeply(next_packet($client), packet(9, '', seq => 31),
        "$kind: operation 9") if !$client->{tcp};
    is_deeply(next_packet($client), packet(5, '', seq => 32),
        "$kind: the packet behind operation 9");
    $client->close;

    # ---- sizes -------------------------------------------------------------------

    for my $op (2, 4, 7, 12, 14, 9, 100) {
        my $client = $c->client(transport => $kind);
        $client->send($op, 'x' x 4097);
        is_closed($client, 1009, "$kind: 4097 bytes, operation $op");
    }
    {
        my $client = stranger($kind);
        $client->send(7, '{"key":"' . 'k' x 4097 . '"}');
        is_closed($client, 1009, "$kind: 4097 bytes and more of auth");

        $client = stranger($kind);
        my $p = $client->call(7, '{}' . ' ' x 4094);
        is($p->{op}, 8, "$kind: 4096 bytes of auth");
        is($client->change_room('r' x 256)->{body}, 'r' x 256,
            "$kind: a room key of 256 bytes");
        $client->send(12, 'r' x 257);
        is_closed($client, 1008, "$kind: a room key of 257 bytes");

        $client = $c->client(transport => $kind);
        is($client->sub([1 .. 128])->{op}, 15, "$kind: 128 operations");
        is($client->sub([1 .. 128])->{op}, 15, "$kind: the same again");
        is($client->unsub([1, 2])->{op}, 17, "$kind: fewer");
        is($client->sub([-1, -2])->{op}, 15, "$kind: others");
        $client->send(14, '-3');
        is_closed($client, 1008, "$kind: 129 operations");

        for ([header => 15], [header => 0], [header => 32], [length => 15],
            [length => -1], [length => 4113], [length => 1 << 30])
        {
            for my $auth (0, 1) {
                my $client = $c->client(transport => $kind, auth => $auth);
                $client->send(4, 'body', @$_);
                is_closed($client, 1002, "$kind: @$_, auth $auth");
            }
        }
        if ($kind eq 'ws') {
            for my $n (0 .. 15) {
                my $client = $c->client(transport => $kind, auth => 0);
                $client->transport->send(substr pack_packet(4, ''), 0, $n);
                is_closed($client, 1002, "$kind: a message of $n bytes");
            }
            my $client = $c->client(transport => $kind);
            $client->transport->send(pack_packet(4, 'x', seq => 5)
                . 'surplus');
            is_deeply($client->reply, packet(5, '', seq => 5),
                "$kind: surplus bytes are ignored");
            $client->transport->send_text(pack_packet(4, 'text', seq => 6));
            is_deeply($client->reply, packet(5, '', seq => 6),
                "$kind: a text message");
            my @part = pack_packet(14, '1,2', seq => 7) =~ /.{1,3}/sg;
            for my $i (0 .. $#part) {
                $client->transport->send_frame($i ? 'cont' : 'binary',
                    $part[$i], fin => $i == $#part);
            }
            is_deeply($client->reply, packet(15, '1,2', seq => 7),
                "$kind: a packet in fragments");
            $client->close;
        }
    }

    # ---- rooms and what is wanted --------------------------------------------------

    my ($in, $other) = map { $c->client(transport => $kind, mid => $mid + 4,
        key => "$kind room $_", room => "$kind://$_", accepts => [1000])
        } 1, 2;
    my $pushed = sub {
        my ($client, $name, $code, $body) = @_;
        is($code->{code}, 0, "$kind: $name: accepted");
        is(($client->push || {})->{body}, $body, "$kind: $name");
    };

    is($in->heartbeat, 1, "$kind: one in the room");
    is_deeply($in->call(3, '', seq => 5), packet(3, "\0\0\0\1", seq => 5),
        "$kind: operation 3 says so too");
    $pushed->($in, 'a room, whatever is accepted',
        $api->room(5, $kind, '1', 'r1'), 'r1');

    is($in->change_room("$kind://1")->{body}, "$kind://1",
        "$kind: into the same room, as its only member");
    is($in->heartbeat, 1, "$kind: still one");
    $pushed->($in, 'the same room', $api->room(5, $kind, '1', 'r2'), 'r2');

    $in->change_room("$kind://2");
    eventually { $in->heartbeat == 2 && $other->heartbeat == 2 } 10,
        "$kind: two in the other room";
    is($api->room(5, $kind, '1', 'nobody there')->{code}, 0,
        "$kind: an empty room: accepted");
    my $code = $api->room(5, $kind, '2', 'r3');
    $pushed->($_, 'the other room', $code, 'r3') for $in, $other;

    is($in->change_room('')->{body}, '', "$kind: out of it");
    is($in->heartbeat, 0, "$kind: outside a room nobody is counted");
    eventually { $other->heartbeat == 1 } 10, "$kind: one is left";
    $pushed->($other, 'the room that was left',
        $api->room(5, $kind, '2', 'r4'), 'r4');
    is($in->change_room('')->{body}, '', "$kind: out of none");

    $in->change_room("$kind://3");
    $pushed->($in, 'in again', $api->room(5, $kind, '3', 'r5'), 'r5');

    # keys, users and broadcasts: only what is accepted
    for (
        ['key', sub { $api->keys($_[0], ["$kind room 1"], $_[1]) }, 1],
        ['user', sub { $api->mids($_[0], [$mid + 4], $_[1]) }, 2],
        ['all', sub { $api->all($_[0], $_[1]) }, 2],
    ) {
        my ($name, $push, $n) = @$_;
        my $op = 3000;
        my $left = counter('filtered');

        is($push->($op, 'not wanted')->{code}, 0, "$kind: $name: accepted");
        eventually { counter('filtered') == $left + $n } 10,
            "$kind: to $name, not accepted: left out and counted";
        $in->sub([$op, 3001]);
        $pushed->($in, "to $name, subscribed", $push->($op, "s $name"),
            "s $name");
        $in->unsub([3001]);
        $pushed->($in, "to $name, another unsubscribed",
            $push->($op, "o $name"), "o $name");
        $in->sub(['3002', 'x']);
        $in->unsub([$op, 'x']);
        $pushed->($in, "to $name, after wrong lists", $push->($op, "w $name"),
            "w $name");
        $in->unsub([$op]);
        # of the three that came, the other did not want one
        $left += $n + 3 * ($n - 1);
        is($push->($op, 'not wanted')->{code}, 0, "$kind: $name: accepted");
        is($push->(3002, 'not wanted')->{code}, 0, "$kind: $name: accepted");
        eventually { counter('filtered') == $left + 2 * $n } 10,
            "$kind: to $name, unsubscribed: left out";
    }

    my $bytes = join '', map { chr(($_ * 31) % 256) } 0 .. 99_999;
    is($api->keys(1000, ["$kind room 1"], $bytes)->{code}, 0, "$kind: key");
    my $p = $in->push;
    ok($p && $p->{body} eq $bytes, "$kind: a push of 100,000 bytes");
    is($api->keys(1000, ["$kind room 1"], '')->{code}, 0, "$kind: key");
    is_deeply($in->push, packet(1000, '', seq => 0), "$kind: an empty push");

    $_->pump for $in, $other;
    is(scalar map({ @{ $_->{pushes} } } $in, $other), 0,
        "$kind: nothing else came");
    $_->close for $in, $other;
}

eventually { $c->node->status->{sessions} == 0 } 10, 'all are gone';
$_->stop for @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };

# ---- timeouts --------------------------------------------------------------------------

# heartbeat x heartbeat_max is 8 s here, and so long is the handshake
$c = Goim::Cluster->new(workers => 1, nginx => { tcp => 1,
    goim => { handshake_timeout => '8s' } },
    logic => { conf => { session => { heartbeat => '4s',
        heartbeat_max => 2, ttl => '17s' } } });

sub until_at {
    my ($when) = @_;
    my $left = $when - Time::HiRes::time();
    Time::HiRes::sleep($left) if $left > 0;
}

# closed not before $from (absolute; nginx counts whole milliseconds), and said
# so
sub timed_out {
    my ($client, $from, $name) = @_;
    my $how = $client->closed(20);
    my $now = Time::HiRes::time();
    is($client->{tcp} ? !!$how && 'closed' : $how,
        $client->{tcp} ? 'closed' : 1008, "$name: closed");
    cmp_ok($now + 0.01, '>=', $from, "$name: not before");
}

{
    my $start = Time::HiRes::time();
    my %late = map { $_ => stranger($_) } @kinds;           # says nothing
    my %busy = map { $_ => stranger($_) } @kinds;           # no auth
    my %good = map { $_ => stranger($_) } @kinds;           # at the last moment
    my %quiet = map { $_ => $c->client(transport => $_) } @kinds;
    my %other = map { $_ => $c->client(transport => $_) } @kinds;
    my %alive = map { $_ => $c->client(transport => $_) } @kinds;
    my $begun = Time::HiRes::time();

    until_at($start + 6);

    for my $kind (@kinds) {
        $busy{$kind}->send($_, 'x') for 2, 4, 12, 2;
        is($good{$kind}->auth->{op}, 8, "$kind: auth just before its limit");
        is($alive{$kind}->heartbeat, 0, "$kind: a heartbeat before its limit");
        $other{$kind}->call($_, '') for 3, 4, 12, 14, 100;
    }

    for my $kind (@kinds) {
        timed_out($late{$kind}, $start + 8, "$kind: no packet");
        timed_out($busy{$kind}, $start + 8, "$kind: packets, but no auth");
        timed_out($quiet{$kind}, $start + 8, "$kind: no heartbeat");
        timed_out($other{$kind}, $start + 8, "$kind: all but heartbeats");
        is_deeply($busy{$kind}{replies}, [], "$kind: nothing was answered");
    }

    until_at($begun + 9);

    my $beat = Time::HiRes::time();
    is($alive{$_}->heartbeat, 0, "$_: it lives by its heartbeats") for @kinds;
    timed_out($good{$_}, $start + 14, "$_: as long as others") for @kinds;
    timed_out($alive{$_}, $beat + 8, "$_: without any more") for @kinds;

    my $counters = $c->node->status->{counters};
    is($counters->{handshake_timeouts}, 4, 'handshake timeouts are counted');
    is($counters->{heartbeat_timeouts}, 8, 'heartbeat timeouts are counted');
}

# logic hears of a heartbeat after a third of what the mapping's time (17 s
# here) is longer than the heartbeats', or up to twice as long, which is drawn
# for each connection
{
    my $from = Time::HiRes::time();
    my %alive = map { my $kind = $_; map { ("renew $kind $_" => $c->client(
        transport => $kind, key => "renew $kind $_")) } 1 .. 8 } @kinds;
    my (%left, %told, $beats);

    wait_for {
        for my $key (keys %alive) {
            $alive{$key}->heartbeat;
            $beats++;
            my $ttl = $c->redis->cmd('PTTL', "key_$key");
            $told{$key} ||= Time::HiRes::time()
                if defined $left{$key} && $ttl > $left{$key} + 1000;
            $left{$key} = $ttl;
        }
        keys %told == 16;
    } 30, 'renewals';

    my ($first, $last) = (sort { $a <=> $b } values %told)[0, -1];
    cmp_ok($first, '>=', $from + 3, "of $beats heartbeats logic hears few");
    cmp_ok($last - $first, '>', 0.5, 'each connection has its own time');
    $_->close for values %alive;
}

done_testing;
