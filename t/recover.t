# Who asks to recover gets all that a room with history brought while it was
# away, each item once, in order and with its number, or is told that it can't;
# over WebSocket and TCP. Who does not ask sees nothing of it.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(nginx => { tcp => 1 }, job => { conf => {
    history => { live => '300 10m' } } });
my $api = $c->api;
my %n;

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

# items 1, 2, ... of a room
sub say_more {
    my ($room, $many) = @_;
    for (1 .. $many) {
        my $res = $api->post('/goim/push/room', [operation => 1000,
            type => 'live', room => $room], 'i' . ++$n{$room});
        die "push: $res->{code}\n" if $res->{code};
    }
}

sub numbered {
    my ($room) = @_;
    wait_for {
        $api->get('/goim/room/position', type => 'live', room => $room)
            ->{data}{seq} == $n{$room}
    } 20, 'all have a number';
}

sub count { return $c->node->status->{counters}{$_[0]} }

sub items { return join ' ', map { "$_->{seq}=$_->{body}" } @_ }

sub expected { return join ' ', map { "$_=i$_" } $_[0] .. $_[1] }

# the entry of a room in what comes next
sub told {
    my ($client, $room) = @_;
    my $p = $client->position or return 'nothing';
    is join(' ', keys %$p), $room, "of $room" if $room;
    return $p->{$room};
}

sub nothing_more {
    my ($client, $name) = @_;
    is $client->heartbeat >= 0, 1, "$name: goes on";
    is items(@{ $client->{pushes} }), '', "$name: nothing else";
    is scalar @{ $client->{positions} }, 0, "$name: no other position";
}

for my $kind (qw(ws tcp)) {
    my $room = "live://$kind";
    my $plain = $c->client(key => "plain-$kind", room => $room,
        transport => $kind);

    subtest "$kind: joining" => sub {
        my $a = $c->client(key => "a-$kind", room => $room, recover => {},
            transport => $kind, accepts => [1000]);
        my $p = told($a, $room);
        like $p->{epoch}, qr/^[!-~]{1,32}$/, 'an epoch';
        is_deeply [@$p{qw(seq first recovered)}], [0, 1, undef], 'at the start';

        say_more($kind, 3);
        is items($a->pushes(3)), expected(1, 3), 'live items have numbers';
        is join(' ', map { "$_->{seq}=$_->{body}" } $plain->pushes(3)),
            '0=i1 0=i2 0=i3', 'others see what they saw';

        $api->post('/goim/push/room', [operation => 1000, type => 'live',
            room => $kind, history => 0], 'past');
        is items($a->pushes(1)), '0=past', 'past the history: no number';
        $api->keys(1000, ["a-$kind"], 'key');
        is items($a->pushes(1)), '0=key', 'nor has what is for its key';
        is $plain->push->{body}, 'past', 'as for others';
        nothing_more($a, 'a');
        $a->drop;
    };

    for my $missed (0, 1, 50) {
        subtest "$kind: back after $missed" => sub {
            my $b = $c->client(key => "b-$kind", room => $room, recover => {},
                transport => $kind);
            my $p = told($b, $room);
            is $p->{seq}, $n{$kind}, 'it was there';
            $b->drop;
            say_more($kind, $missed);
            numbered($kind) if $missed;

            my $from = $p->{seq};
            $b = $c->client(key => "b-$kind", room => $room,
                transport => $kind, recover => { $room => {
                    epoch => $p->{epoch}, seq => $from },
                'other://1' => { epoch => 'x', seq => 9 } });
            is_deeply told($b, $room), { %$p, head => $n{$kind},
                recovered => JSON::PP::true }, 'its position, recovered';
            say_more($kind, 2);
            is items($b->pushes($missed + 2)), expected($from + 1,
                $from + $missed + 2), 'what it missed, then what is new';
            nothing_more($b, 'b');
            $b->drop;
            $plain->pushes($missed + 2);
        };
    }

    subtest "$kind: the newest" => sub {
        my $d = $c->client(key => "d-$kind", room => $room,
            transport => $kind, recover => { $room => { last => 5 } });
        my $p = told($d, $room);
        is $p->{seq}, $n{$kind} - 5, 'it begins before them';
        is $p->{recovered}, undef, 'nothing was to recover';
        is items($d->pushes(5)), expected($n{$kind} - 4, $n{$kind}), 'five';
        nothing_more($d, 'd');
        $d->drop;
    };

    subtest "$kind: more than is kept" => sub {
        my $e = $c->client(key => "e-$kind", room => $room, recover => {},
            transport => $kind);
        my $p = told($e, $room);
        $e->drop;
        say_more($kind, 400);
        numbered($kind);
        $e = $c->client(key => "e-$kind", room => $room, transport => $kind,
            recover => { $room => { epoch => $p->{epoch}, seq => $p->{seq} } });
        my $now = told($e, $room);
        is_deeply [@$now{qw(epoch seq recovered)}],
            [$p->{epoch}, $n{$kind}, JSON::PP::false], 'it is told';
        cmp_ok $now->{first}, '>', $p->{seq} + 1, 'what is kept';
        say_more($kind, 1);
        is items($e->pushes(1)), expected(($n{$kind}) x 2), 'live items follow';
        nothing_more($e, 'e');
        $e->drop;

        $e = $c->client(key => "e-$kind", room => $room, transport => $kind,
            recover => { $room => { epoch => 'another', seq => 3 } });
        is told($e, $room)->{recovered}, JSON::PP::false, 'another epoch';
        $e->drop;
        is scalar($plain->pushes(401)), 401, 'others had all of it';
    };

    subtest "$kind: change of room" => sub {
        my $f = $c->client(key => "f-$kind", recover => {},
            transport => $kind);
        is_deeply $f->position, {}, 'in no room';
        is $f->change_room('chat://1')->{body}, 'chat://1', 'into one';
        is_deeply $f->position, { 'chat://1' => undef }, 'without history';
        is $f->change_room($room)->{body}, $room, 'and one that has';
        my $p = told($f, $room);
        is $p->{seq}, $n{$kind}, 'its position';
        say_more($kind, 1);
        is items($f->pushes(1)), expected(($n{$kind}) x 2), 'its items';
        $p->{seq}++;
        is $f->change_room('')->{body}, '', 'out of it';
        is_deeply $f->position, {}, 'as it is told';
        say_more($kind, 20);
        numbered($kind);
        my $map = JSON::PP->new->canonical->encode({ $room => {
            epoch => $p->{epoch}, seq => $p->{seq} } });
        is $f->change_room($map)->{body}, $room, 'back by a map: a plain key';
        is told($f, $room)->{recovered}, JSON::PP::true, 'recovered';
        is items($f->pushes(20)), expected($p->{seq} + 1, $n{$kind}),
            'what it missed';
        is $f->change_room($room)->{body}, $room, 'the same once more';
        is_deeply [@{ told($f, $room) }{qw(seq recovered)}],
            [$n{$kind}, JSON::PP::true], 'goes on where it is';
        nothing_more($f, 'f');
        my $before = count('recover_refused');
        $f->send(12, '{"a":{},"b":{}}');
        is $f->bye->{again}, JSON::PP::false, 'two rooms are refused';
        ok $f->closed(10), 'and closed';
        is count('recover_refused'), $before + 1, 'counted';
        is scalar($plain->pushes(21)), 21, 'others had all of it';
    };

    subtest "$kind: another epoch" => sub {
        my $room = "live://new-$kind";
        my $g = $c->client(key => "g-$kind", room => $room, recover => {},
            transport => $kind);
        my $epoch = told($g, $room)->{epoch};
        say_more("new-$kind", 2);
        is items($g->pushes(2)), expected(1, 2), 'items of one';
        my ($meta) = @{ $c->redis->cmd('KEYS', "goim:{*}:meta:$room") };
        $c->redis->cmd('DEL', $meta, $meta =~ s/meta/items/r);
        say_more("new-$kind", 2);
        my $p = told($g, $room);
        isnt $p->{epoch}, $epoch, 'who is there is told of another one';
        is_deeply [@$p{qw(seq recovered)}], [0, JSON::PP::false],
            'from its beginning';
        is items($g->pushes(2)), '1=i3 2=i4', 'whose items follow';
        nothing_more($g, 'g');
        $g->drop;
    };

    subtest "$kind: a page that was made before" => sub {
        my $p = $api->get('/goim/room/position', type => 'live',
            room => $kind)->{data};
        is $p->{seq}, $n{$kind}, 'its position';
        say_more($kind, 3);
        my $f = $c->client(key => "p-$kind", room => $room, recover => {
            $room => { epoch => $p->{epoch}, seq => $p->{seq} } },
            transport => $kind);
        ok told($f, $room)->{recovered}, 'who begins there recovers';
        say_more($kind, 1);
        is items($f->pushes(4)), expected($p->{seq} + 1, $n{$kind}),
            'and gets all that came since';
        is scalar($plain->pushes(4)), 4, 'as others have';
        nothing_more($f, 'page');
        $f->drop;
    };

    subtest "$kind: logic does not answer" => sub {
        my $h = $c->client(key => "h-$kind", recover => {},
            transport => $kind);
        is_deeply $h->position, {}, 'in no room';
        hit STOP => $c->logic->{pid};
        is $h->change_room($room)->{body}, $room, 'it changes its room';
        ok !$h->position(0.3), 'and waits';
        hit CONT => $c->logic->{pid};
        is told($h, $room)->{seq}, $n{$kind}, 'until logic does';
        say_more($kind, 1);
        is items($h->pushes(1)), expected(($n{$kind}) x 2), 'then has all';
        is $plain->push->{body}, "i$n{$kind}", 'as others have';
        nothing_more($h, 'h');
        $h->drop;
    };

    subtest "$kind: others, byte by byte" => sub {
        my $f = $c->client(key => "r-$kind", room => "live://raw-$kind",
            recover => {}, transport => $kind);
        told($f, "live://raw-$kind");
        my %raw;
        for my $type (qw(live chat)) {
            my $g = $c->client(room => "$type://raw-$kind",
                transport => $kind);
            $api->room(1000, $type, "raw-$kind", 'x' x $_) for 1, 200;
            my $s = $g->transport->socket;
            $s->wait_read(time + 10 * slow())
                until $s->eof || $s->{buf} =~ /x{200}\z/;
            $raw{$type} = $s->{buf} =~ s/x{200}(?=.)/x200 /sr;
            $g->drop;
        }
        is unpack('H*', $raw{live}), unpack('H*', $raw{chat}),
            'the same with and without a history';
        is items($f->pushes(1)), '1=x', 'who recovers has the number';
        $f->drop;
    };

    subtest "$kind: wrong" => sub {
        my $before = count('recover_refused');
        for my $wrong ('[]', '1', '{"r":{"epoch":"","seq":1}}',
            '{"r":{"seq":1}}', '{"r":{"last":1001}}')
        {
            my $g = $c->client(auth => 0, transport => $kind);
            $g->send(7, qq({"mid":1,"key":"g","recover":$wrong}));
            ok $g->closed(10), "$wrong: closed";
        }
        is count('recover_refused'), $before + 5, 'counted';

        # its name is one as all others
        for my $name ('Recover', 'r\u0065cover') {
            my $g = $c->client(auth => 0, transport => $kind,
                recover => {});
            $g->send(7, qq({"mid":1,"key":"n","room_id":"live://n","$name":{}}));
            ok $g->position(10), "$name: it is a name like others";
            $g->close;
        }
        $plain->send(12, '{"a":{}}');
        is $plain->reply->{body}, '{"a":{}}', 'others may name a room so';
    };
}

# ---- who may come back -------------------------------------------------------

$c->logic->stop;
$c->logic->configure({ session => { heartbeat => '1s', heartbeat_max => 1 } });
$c->logic->start;
wait_for { eval { $c->client } } 20, 'the node has logic again';

for my $kind (qw(ws tcp)) {
    my $bye = $c->client(recover => {}, transport => $kind)->bye(20);
    is_deeply [@{ $bye || {} }{qw(code reason again)}],
        [1008, 'heartbeat timeout', JSON::PP::true],
        "$kind: one that was silent, as a machine that slept, may come back";
}

done_testing;
