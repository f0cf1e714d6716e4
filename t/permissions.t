# What a client may not do, and what it asks for wrongly: a session whose auth
# packet has "errors":1 is told why, by operation 6, and stays connected; for
# others nothing but goim's own answers is on the wire. In each mode of logins,
# over WebSocket and TCP.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Client;
use Goim::Cluster;
use Goim::JWT;
use JSON::PP ();

my $json = JSON::PP->new->canonical;
my $signer = Goim::JWT->new('HS256');
my %may = (room_id => 'live://1', accepts => [1000],
    rooms => ['live://*', 'news://7'], ops => [5, '2000-2999']);

# the packet's "answer" is what the application says
my $taken = 1;
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return $taken ? (200, '') : (500, '') if $path =~ m{^/receive};
    my $says = $json->decode($body)->{answer} or return (403, '');
    return (200, $json->encode($says));
});

my %mode = (
    trust => {},
    http => { url => $app->url('/auth') },
    jwt => { algorithms => 'HS256', secret_file => $signer->file },
);

# the body of an auth packet
my %packet = (
    trust => sub { return { mid => $_[0], key => "k$_[0]",
        room_id => $may{room_id}, accepts => $may{accepts} } },
    http => sub { return { answer => { mid => $_[0], key => "k$_[0]", %may } } },
    jwt => sub { return { token => $signer->token({ sub => "$_[0]",
        key => "k$_[0]", %may }) } },
);

my ($c, $mode, $mid);

sub counter { return $c->node->status->{counters}{ $_[0] } }

# one that is in; more for its auth packet
sub enters {
    my ($transport, %more) = @_;
    return $c->client(transport => $transport, errors => $more{errors},
        exists $more{recover} ? (recover => $more{recover}) : (),
        token => $json->encode({ %{ $packet{$mode}->(++$mid) }, %more }));
}

# a packet is answered as ever (a body), and before that it is told why not:
# [code, reason], or undef
sub asks {
    my ($client, $op, $body, $want, $told, $name) = @_;
    my $answer = $client->call($op, $body);
    my $bye = shift @{ $client->{byes} };
    is $answer->{body}, $want, "$name: answered";
    is_deeply $bye, $told && { code => $told->[0], reason => $told->[1],
        operation => $op, seq => $answer->{seq} },
        $told ? "$name: told why" : "$name: nothing else";
}

# ---- what is granted ---------------------------------------------------------

sub granted {
    my ($transport) = @_;
    my $is = "$mode, $transport";
    my $no_room = [-403, 'it may not enter that room'];
    my $no_op = sub { return [-403, "it may not accept operation $_[0]"] };

    for my $errors (0, 1) {
        my $client = enters($transport, errors => $errors);
        my $says = $is . ($errors ? ', asks for reasons' : '');
        my $why = sub { return $errors ? $_[0] : undef };
        my ($rooms, $subs) = map { counter($_) } qw(rooms_refused subs_refused);

        asks($client, 12, 'live://2', 'live://2', undef, "$says: a room");
        asks($client, 12, 'news://8', 'live://2', $why->($no_room),
            "$says: not that one");
        asks($client, 12, '', '', undef, "$says: out");
        asks($client, 12, 'news://70', '', $why->($no_room),
            "$says: from nowhere");
        asks($client, 12, 'news://7', 'news://7', undef, "$says: a name");

        asks($client, 14, '2000,2999', '2000,2999', undef,
            "$says: operations");
        asks($client, 14, '2001,3000,3001', '2001,3000,3001',
            $why->($no_op->(3000)), "$says: one that it may not have");
        asks($client, 14, '-1', '-1', $why->($no_op->(-1)),
            "$says: a negative one");
        asks($client, 16, '3000', '3000', undef, "$says: given up");

        is counter('rooms_refused'), $rooms + 2, "$says: rooms are counted";
        is counter('subs_refused'), $subs + 2, "$says: operations, too";
        $c->api->keys($_, ["k$mid"], "op $_") for 3000, 2001, 2999;
        is $client->push->{body}, 'op 2999', "$says: what was refused changed "
            . 'nothing';
        is $client->heartbeat, 1, "$says: it stays";
        $client->close;
    }
}

# ---- what is wrong -----------------------------------------------------------

my $long = 'live://' . 'x' x 250;
my $many = join ',', 1 .. 129;
my $rest = join ',', 2000 .. 2126;      # all that it may, with 1000

sub wrong {
    my ($transport) = @_;
    my $is = "$mode, $transport";
    my $client = enters($transport, errors => 1);
    my $errors = counter('protocol_errors');
    my $told = counter('refusals');

    asks($client, 12, $long, 'live://1', [-400, 'room key is too long'],
        "$is: a room");
    asks($client, 14, $many, $many, [-400, 'too many operations'],
        "$is: operations");
    asks($client, 14, $rest, $rest, undef, "$is: as many as there may be");
    asks($client, 14, $rest, $rest, undef, "$is: the same once more");
    asks($client, 14, '2998,2999,2999', '2998,2999,2999',
        [-400, 'too many operations'], "$is: more than that");
    asks($client, 16, $many, $many, [-400, 'too many operations'],
        "$is: to be given up");
    asks($client, $_, '1,two', '1,two', [-400, 'it is no list of numbers'],
        "$is: $_ with words") for 14, 16;
    is counter('refusals'), $told + 6, "$is: what is told is counted";
    is counter('protocol_errors'), $errors, "$is: nothing is closed";
    is $client->heartbeat, 1, "$is: it stays";
    $client->close;

    for (['a room', 12, $long], ['operations', 14, $many],
        ['to be given up', 16, $many])
    {
        my ($what, $op, $body) = @$_;
        my $other = enters($transport);
        $other->send($op, $body);
        is $other->closed, $transport eq 'ws' ? 1008 : 'eof',
            "$is: $what, closed without errors";
    }
    is counter('protocol_errors'), $errors + 3, "$is: and that is counted";
}

# ---- the application does not take it ----------------------------------------

sub not_taken {
    my ($transport) = @_;
    my $is = "$mode, $transport";
    my $client = enters($transport, errors => 1);
    my $other = enters($transport);

    $taken = 0;
    $app->stop;
    $app->start;
    for my $op (4, 1000) {
        my $seq = $client->send($op, 'x');
        my $bye = $client->bye;
        is_deeply $bye, { code => -503, reason => 'it was not taken',
            operation => $op, seq => $seq }, "$is: $op, told";
        is $client->reply->{seq}, $seq, "$is: answered after that";
        is $other->call($op, 'x')->{body}, '', "$is: not asked, not told";
    }
    $taken = 1;
    $app->stop;
    $app->start;
    is $client->call(4, 'x')->{op}, 5, "$is: taken";
    is_deeply [@{ $client->{byes} }, @{ $other->{byes} }, @{ $other->{pushes} }],
        [], "$is: nothing more";
    $_->close for $client, $other;
}

# ---- another auth packet -----------------------------------------------------

# it means nothing: the application gets it
sub once_more {
    my ($transport) = @_;
    my $client = enters($transport, errors => 1);
    my $packet = $json->encode($packet{$mode}->($mid));

    asks($client, 7, $packet, '', undef, "$mode, $transport: auth once more");
    my ($had) = reverse grep { $_->{path} =~ /operation=7/ } $app->seen;
    is $had->{body}, $packet, 'the application has it';
    $client->close;
}

# ---- the end -----------------------------------------------------------------

# over TCP there is no other way to learn it
sub ends {
    my ($transport) = @_;
    my $client = enters($transport, errors => 1);
    my $key = "k$mid";
    my $newer = $c->client(transport => $transport,
        token => $json->encode($packet{$mode}->($mid)));
    is_deeply $client->bye, { code => 1008, reason => 'replaced',
        again => JSON::PP::false }, "$mode, $transport: its last words";
    $client->closed;
    $newer->close;

    return if $mode ne 'http';
    my $refused = Goim::Client->new(port => $transport eq 'ws'
        ? $c->node->{port} : $c->node->{tcp_port}, transport => $transport,
        auth => 0, errors => 1);
    $refused->{auth}{errors} = 1;
    $refused->send(7, '{"errors":1}');
    is_deeply $refused->bye, { code => 1008, reason => 'auth refused',
        again => JSON::PP::false }, "$mode, $transport: also of a login";
}

# ---- who asks ----------------------------------------------------------------

sub who_asks {
    for my $what ('0', '2', '10', 'true', '"1"', '[1]', 'null', '{}') {
        my $client = $c->client(token => $json->encode($packet{$mode}
            ->(++$mid)) =~ s/\}\z/,"errors":$what}/r);
        $client->send(12, $long);
        is $client->closed, 1008, "$mode: errors $what asks for nothing";
        is_deeply $client->{replies}, [], 'and nothing is told';
    }

    my $client = enters('ws', errors => 1, recover => {});
    ok $client->position, "$mode: one that recovers";
    my $seq = $client->send(12, '{"live://1":{"seq":"x"}}');
    is_deeply $client->bye, { code => -400, operation => 12, seq => $seq,
        reason => 'recover has a seq that is no integer from 0 to 2^53 - 1' }, 'a position that is none';
    is $client->reply->{body}, 'live://1', 'it stays';
    ok $client->position, 'and is told where';
    $client->close;
}

for my $each (qw(jwt http trust)) {
    $mode = $each;
    $c = Goim::Cluster->new(nginx => { tcp => 1 }, logic => { conf => {
        auth => { mode => $mode, %{ $mode{$mode} } },
        receive => { url => $app->url('/receive') } } });

    for my $transport (qw(ws tcp)) {
        granted($transport) if $mode ne 'trust';
        wrong($transport);
        not_taken($transport);
        once_more($transport) if $mode ne 'jwt';
        ends($transport);
    }
    who_asks();
}

done_testing;
