# Clients that send by their connection, over WebSocket and TCP: to rooms and to
# users, what is refused and why, ids, order, the envelope; and who may not send,
# for whom operation 4 stays what it was.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Cluster;
use Goim::Sender;
use JSON::PP ();

my $json = JSON::PP->new->canonical;
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return (200, $path =~ /auth/ ? $body : '');
});
my %receive = (receive => { url => $app->url('/receive') });
my %history = (job => { conf => { history => { live => '300 10m' } } });
my %live = (rooms => ['live://*'], mids => JSON::PP::true);

my $c = Goim::Cluster->new(nginx => { tcp => 1 }, %history,
    logic => { Goim::Sender::logic(%receive) });
my $api = $c->api;

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

sub results {
    my $m = $c->logic->metrics;
    return { map { $_ => $m->{qq(goim_logic_sends_total{result="$_"})} // 0 }
        qw(ok refused large often failed unknown) };
}

my $mid = 100;

# nothing came before this
sub is_next {
    my ($client, $body, $name) = @_;
    my $p = $client->push;
    is $p && $p->{body}, $body, $name;
    return $p;
}

for my $transport (qw(ws tcp)) {
    my $room = "live://$transport";
    my $is = "$transport:";
    my $one = enters($c, transport => $transport, mid => ++$mid,
        room => $room, send => \%live);
    my $other = enters($c, mid => ++$mid, room => $room);

    # ---- to a room, to users -------------------------------------------------

    my $payload = join '', map { chr } 0 .. 255;
    is_deeply send_to($one, { to => $room }, $payload), { code => 0 },
        "$is to a room";
    is is_next($other, $payload, "$is byte for byte")->{op}, 1000,
        "$is its operation";
    is_next($one, $payload, "$is to itself, too");
    is_deeply send_to($one, { to => $room, operation => 2000 }, ''),
        { code => 0 }, "$is nothing";
    is_next($other, '', "$is comes");
    is_next($one, '', "$is to itself, too");

    is_deeply send_to($one, { mids => [$mid, $mid, 999999] }, 'you'),
        { code => 0 }, "$is to users";
    is_next($other, 'you', "$is whoever is there gets it");

    # ---- refusals ------------------------------------------------------------

    my $few = enters($c, transport => $transport, mid => ++$mid,
        room => $room, send => { rooms => [$room, 'game://*'],
            ops => [1000, '3000-3009'] });
    my %no = (
        -400 => [ 'x', '', "$room\nhello", '[]',
            { to => 'live' }, { to => 'im://1' }, { mids => ['7'] },
            { to => $room, operation => 6 }, { to => $room, operation => 9 },
            { to => $room, operation => 23 }, { to => $room, id => 'a b' },
            { operation => 1000 }, { to => $room, mids => [7] } ],
        -403 => [ { to => 'live://9' }, { to => "${room}9" },
            { mids => [7] }, { to => $room, operation => 1001 },
            { to => $room, operation => -1 },
            { to => $room, operation => 3010 } ],
    );
    my $had = results();
    for my $code (sort keys %no) {
        for my $line (@{ $no{$code} }) {
            my $a = send_to($few, $line, 'no');
            is $a->{code}, $code, "$is $code: "
                . (ref $line ? $json->encode($line) : $line);
            ok length $a->{reason}, "$is it says why";
        }
    }
    is sent($few->call(4, 'no line'))->{code}, -400, "$is no line at all";
    is results()->{refused} - $had->{refused},
        1 + map({ @$_ } values %no), "$is they are counted";
    is send_to($few, { to => 'game://77', operation => 3009 }, 'x')->{code}, 0,
        "$is what it may goes on";
    is send_to($few, { to => $room }, 'after')->{code}, 0, "$is it stays";
    is_next($_, 'after', "$is nothing of these came") for $one, $other, $few;

    # ---- order ---------------------------------------------------------------

    my @seq = map { $one->send(4, say({ to => $room }, "n$_")) } 1 .. 40;
    is_deeply [map { my $r = $one->reply; [$r->{seq}, sent($r)] } @seq],
        [map { [$_, { code => 0 }] } @seq], "$is 40 at once: answered in order";
    is_deeply [map { $_->{body} } $other->pushes(40)],
        [map { "n$_" } 1 .. 40], "$is and come in order";
    $one->pushes(40);

    # ---- ids -----------------------------------------------------------------

    is send_to($one, { to => $room, id => 'a' }, 'first')->{code}, 0,
        "$is with an id";
    is send_to($one, { to => $room, id => 'a' }, 'again')->{code}, 0,
        "$is the same one again";
    is send_to($few, { to => $room, id => 'a' }, 'another')->{code}, 0,
        "$is another user's";
    is send_to($one, { to => $room, id => 'b' }, 'last')->{code}, 0,
        "$is another id";
    is_deeply [map { $_->{body} } $other->pushes(3)],
        [qw(first another last)], "$is a repeat comes once";
}

# ---- who may not send --------------------------------------------------------

{
    my %who = (
        'no grant' => { mid => 1 },
        'an empty one' => { mid => 1, send => {} },
        'nobody' => { key => 'guest', send => { rooms => ['live://*'] } },
    );
    for my $name (sort keys %who) {
        my $client = enters($c, %{ $who{$name} });
        my $r = $client->call(4, say({ to => 'live://ws' }, $name));
        is "$r->{op} [$r->{body}]", '5 []', "$name: answered as ever";
        my ($seen) = grep { index($_->{body}, $name) >= 0 } $app->seen;
        like $seen->{path}, qr/^\/receive\?mid=\d+&operation=4/,
            "$name: it goes to the application";
    }
    my $client = enters($c, mid => 1, send => \%live);
    my $r = $client->call(99, 'x');
    is "$r->{op} [$r->{body}]", '99 []',
        'another operation of who may send: as ever';

    # grants that are none are no login
    my $wrong = $c->client(auth => 0);
    $wrong->send(7, $json->encode({ token => token(mid => 1,
        send => ['live://*']) }));
    is $wrong->closed, 1008, 'a claim that is none: refused';
    my ($guest) = grep { $_->{path} =~ /key=guest/ } $app->seen;
    ok $guest, 'the guest had its key';
}

# ---- no logic ---------------------------------------------------------------

{
    my $client = enters($c, mid => 1, room => 'live://away', send => \%live);
    $c->logic->stop;
    my $a = send_to($client, { to => 'live://away' }, 'x');
    ok $a->{code} == -503 || $a->{code} == -504, 'no logic: try again'
        or diag explain $a;
    ok length $a->{reason}, 'it says why';
    $c->logic->start;
    wait_for { send_to($client, { to => 'live://away' }, 'y')->{code} == 0 }
        20, 'a logic again';
    is_next($client, 'y', 'what was refused did not come');
}

# ---- the bus does not answer ---------------------------------------------------

{
    restart($c, push => { timeout => '1s' });
    my $client = enters($c, mid => 2, room => 'live://late', send => \%live);
    my $line = { to => 'live://late', id => 'late' };
    $c->redis->pause;
    is send_to($client, $line, 'late')->{code}, -504, 'it may have been sent';
    $c->redis->resume;
    wait_for { send_to($client, $line, 'late')->{code} == 0 } 20,
        'the same again, until it is';
    is send_to($client, { to => 'live://late' }, 'next')->{code}, 0, 'another';
    is_next($client, $_, "$_ comes, once") for qw(late next);
}

# ---- the envelope ------------------------------------------------------------

{
    restart($c, send => { envelope => 1 });
    my $one = enters($c, mid => 42, room => 'chat://1',
        send => { rooms => ['chat://*'] });
    my $before = int(time * 1000) - 1000;
    my $pose = qq({"mid":1,"at":5}\nI am 1);
    is send_to($one, { to => 'chat://1' }, $pose)->{code}, 0, 'sent';
    my $body = $one->push->{body};
    my ($head, $rest) = split /\n/, $body, 2;
    my $by = $json->decode($head);
    is $by->{mid}, 42, 'the envelope says by whom';
    ok $by->{at} > $before && $by->{at} < time * 1000 + 60_000, 'and when';
    is_deeply [sort keys %$by], [qw(at mid)], 'nothing else';
    is $rest, $pose, 'behind it the payload, whoever it poses as';
    is $api->room(1000, 'chat', '1', 'plain')->{code}, 0, 'a backend';
    is_next($one, 'plain', 'has no envelope');
}

# ---- other modes -------------------------------------------------------------

{
    my $body = $json->encode({ mid => 5, key => 'five', room_id => 'live://5',
        send => { rooms => ['live://*'] } });
    my $in = sub {
        restart($c, send => { envelope => undef }, auth => {
            algorithms => undef, secret_file => undef, @_ });
        return $c->client(token => $body);
    };
    my $client = $in->(mode => 'http', url => $app->url('/auth'));
    is send_to($client, { to => 'live://5' }, 'hi')->{code}, 0,
        'http: the application lets it send';
    is_next($client, 'hi', 'http: it comes');

    $client = $in->(mode => 'trust', url => undef);
    my $r = $client->call(4, say({ to => 'live://5' }, 'trust'));
    is "$r->{op} [$r->{body}]", '5 []', 'trust: answered as ever';
    ok grep({ $_->{path} =~ /^\/receive/ && $_->{body} =~ /trust$/ } $app->seen),
        'trust: it goes to the application';
}

done_testing;
