# The end of a signed token: the session is told a minute before, if it asks for
# reasons, and closed with 4003, but for one that shows a new token of the same mid
# and key, whose grants take the place of the old ones. Over WebSocket and TCP.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Client;
use Goim::Cluster;
use Goim::JWT;
use JSON::PP ();
use Time::HiRes qw(time);
use Time::Local ();

my $LEEWAY = 1;
my $EARLY = 0.5;        # nginx's timers are so lazy

my $json = JSON::PP->new->canonical;
my $by = Goim::JWT->new('HS256');
my $other = Goim::JWT->new('HS256');

my $c = Goim::Cluster->new(nginx => { tcp => 1,
    goim => { logic_timeout => '2s' } },
    job => { conf => { history => { kept => '100 10m' } } },
    logic => { conf => { auth => { mode => 'jwt', algorithms => 'HS256',
        secret_file => $by->file, leeway => "${LEEWAY}s" } } });
my ($node, $api) = ($c->node, $c->api);
my $n = 0;

sub counter { return $node->status->{counters}{ $_[0] } }

sub token { my (%claims) = @_; return $by->token({ sub => '7', %claims }) }

# an auth packet: what its token says, and what stands beside it
sub packet {
    my ($claims, %beside) = @_;
    return $json->encode({ token => token(%$claims), %beside });
}

# one that is in, with a key of its own
sub enters {
    my ($transport, $claims, %arg) = @_;
    my %asks = map { exists $arg{$_} ? ($_ => $arg{$_}) : () }
        qw(errors recover);
    return $c->client(transport => $transport, %asks,
        token => packet({ key => 'k' . ++$n, rooms => ['*'], %$claims }, %asks));
}

# another auth packet: the answer's operation, and what is refused before it
sub renews {
    my ($client, $packet) = @_;
    my $p = $client->call(7, $packet);
    is $p->{body}, '', 'the answer is empty';
    my @all = splice @{ $client->{byes} };
    push @{ $client->{byes} }, grep { !exists $_->{operation} } @all;
    return ($p->{op}, grep { exists $_->{operation} } @all);
}

# ---- those that wait for their end -------------------------------------------

# [client, when it ends, name, errors, key]
my (@ends, @goes);
for my $transport (qw(ws tcp)) {
    for my $errors (0, 1) {
        my $is = "$transport, errors $errors";
        for my $list (\@ends, \@goes) {
            my $end = time + 3;
            my $client = enters($transport, { exp => $end }, errors => $errors);
            push @$list, [$client, $end + $LEEWAY, $is, $errors, "k$n"];

            next if !$errors;
            my $told = $client->bye;
            is_deeply [sort keys %$told], [qw(code in)], "$is: told";
            is $told->{code}, -4003, "$is: that it expires";
            cmp_ok $told->{in}, '<=', 4, "$is: in that time";
            cmp_ok $told->{in}, '>=', 1, "$is: in some";
        }
    }
}

# an end that is never, or so far away that it is none
my @stay = map { enters('ws', $_ ? { exp => $_ } : {}, errors => 1) }
    undef, 1e300, 4e9;

# one that comes a minute before its time
my $soon = time + 61 - $LEEWAY;
my @soon = map { enters($_, { exp => $soon }, errors => 1) } qw(ws tcp);

# others go on with a new token
for (@goes) {
    my ($client, $end, $is, $errors, $key) = @$_;
    my $renewed = counter('renewals');
    is_deeply [renews($client, packet({ exp => time + 600 }, key => $key))], [8],
        "$is: a new token";
    is counter('renewals'), $renewed + 1, "$is: counted";
}
my $never = enters('ws', { exp => time + 2 }, errors => 1);
is $never->bye->{code}, -4003, 'one more';
is_deeply [renews($never, packet({}))], [8], 'a token without end';
is $c->logic->metrics->{goim_logic_renewals_total}, 5, 'logic counts them, too';

# ---- what it grants ----------------------------------------------------------

my %gone = (code => -403, reason => 'no longer granted', seq => 0);

for my $transport (qw(ws tcp)) {
    my $is = $transport;
    my %may = (room_id => 'live://1', accepts => [1000, 1001],
        rooms => ['live://*'], ops => ['1000-1999', 5]);
    my $client = enters($transport, \%may, errors => 1);
    my $key = "k$n";
    $client->sub([5, 1500]);

    # the same again
    is_deeply [renews($client, packet(\%may))], [8], "$is: the same";
    is $client->heartbeat, 1, "$is: it stays in its room";
    # another place in it
    is_deeply [renews($client, packet({ room_id => 'own://1', rooms => ['live://1'],
        ops => ['1000-1999', 5] }, room_id => 'live://2', accepts => [7]))], [8],
        "$is: where a token begins does not count any more";
    is $client->heartbeat, 1, "$is: it is where it was";
    is $client->change_room('live://2')->{body}, 'live://1',
        "$is: the old rooms are not granted";
    is $client->bye->{code}, -403, "$is: and it is told";
    is $client->change_room('own://1')->{body}, 'own://1', "$is: the new one is";
    is $client->change_room('live://1')->{body}, 'live://1', "$is: and the other";

    my @told;
    (my $op, @told) = renews($client, packet({ rooms => ['live://2'],
        ops => [1001, 5] }));
    is $op, 8, "$is: less";
    is_deeply \@told, [{ %gone, operation => 12 },
        { %gone, operation => 14, operations => [1000, 1500] }],
        "$is: told what it lost";
    is $client->heartbeat, 0, "$is: out of its room";
    $api->room(1001, 'live', '1', 'room');
    $api->keys($_, [$key], "op $_") for 1000, 1500, 1001;
    is $client->push->{body}, 'op 1001', "$is: and of these operations";
    is $client->change_room('live://2')->{body}, 'live://2', "$is: into another";
    is $client->sub([1000])->{body}, '1000', "$is: an operation it had";
    is $client->bye->{reason}, 'it may not accept operation 1000',
        "$is: is refused";

    # more, and everything
    is_deeply [renews($client, packet({ rooms => ['*'] }))], [8],
        "$is: all there is";
    is $client->change_room($_)->{body}, $_, "$is: into $_"
        for 'a://b', 'live://7';
    $client->sub([-5]);
    $api->keys(-5, [$key], 'x');
    is $client->push->{op}, -5, "$is: any operation";
    is_deeply $client->{byes}, [], "$is: nothing is refused";
    $client->close;

    # who does not ask is told nothing
    $client = enters($transport, \%may);
    is_deeply [renews($client, packet({ ops => [] }))], [8], "$is: not told";
    is $client->heartbeat, 0, "$is: is out";
    is_deeply $client->{replies}, [], "$is: nothing more";
    $client->close;
}

# what it may send
{
    my $client = enters('ws', { room_id => 'live://9' });
    my $sends = sub {
        return $client->call(4, qq({"to":"live://9","operation":1000}\nx))->{body};
    };
    is $sends->(), '', 'it may send nothing';
    is_deeply [renews($client, packet({ rooms => ['*'],
        send => { rooms => ['live://*'] } }))], [8], 'a token that lets it send';
    is $sends->(), '{"code":0}', 'it does';
    is $client->push->{body}, 'x', 'and gets it';
    is_deeply [renews($client, packet({ rooms => ['*'],
        send => { rooms => ['live://1'] } }))], [8], 'elsewhere';
    like $sends->(), qr/"code":-403/, 'not here';
    is_deeply [renews($client, packet({ rooms => ['*'] }))], [8], 'nowhere';
    is $sends->(), '', 'it may send nothing any more';
    $client->close;
}

# one that recovers
{
    my $client = enters('ws', { room_id => 'kept://1' }, errors => 1,
        recover => {});
    is_deeply [keys %{ $client->position }], ['kept://1'], 'is in its room';
    is_deeply [renews($client, packet({ rooms => ['kept://2'] }))],
        [8, { %gone, operation => 12 }], 'loses it';
    is_deeply $client->position, {}, 'and is told that it is nowhere';
    is_deeply [renews($client, packet({ rooms => ['*'] }))], [8], 'again';
    is $client->change_room('{"kept://1":{}}')->{body}, 'kept://1', 'comes back';
    is_deeply [keys %{ $client->position }], ['kept://1'],
        'which is the next that it is told';
    $client->close;
}

# ---- what is refused ---------------------------------------------------------

for my $transport (qw(ws tcp)) {
    my $client = enters($transport, { ops => [1000], room_id => 'live://1' },
        errors => 1);
    my $quiet = enters($transport, {});
    my $key = "k@{[$n - 1]}";
    my $denied = counter('auth_denied');
    my $count = 0;

    for (['another mid', packet({ sub => '8', key => $key }),
            'the token is another mid\'s'],
        ['nobody', packet({ sub => '0', guest => JSON::PP::true }),
            'the token is another mid\'s'],
        ['another key', packet({ key => 'else' }), 'the key is another one'],
        ['a longer one', packet({ key => "${key}x" }), 'the key is another one'],
        ['another key beside it', packet({}, key => 'else'),
            'the key is another one'],
        ['another one\'s', $json->encode({ token => $other->token({
            sub => '7' }) }), 'the token\'s signature is wrong'],
        ['expired', packet({ exp => time - 60 }), 'the token has expired'],
        ['wrong', packet({ rooms => 7 }),
            'rooms is not a list of at most 64 names, 4096 bytes'],
        ['none', '{}', 'no token'],
        ['no JSON', 'x', 'not JSON'], ['nothing', '', 'empty'])
    {
        my ($what, $packet, $why) = @$_;
        my $is = "$transport: $what";
        my ($op, @told) = renews($client, $packet);
        is $op, 7, "$is: nothing new";
        is_deeply \@told, [{ code => -403, reason => $why, operation => 7,
            seq => $client->{seq} }], "$is: told why";
        is_deeply [renews($quiet, $packet)], [7], "$is: not told";
        $count += 2;
    }
    is counter('auth_denied'), $denied + $count, "$transport: counted";
    is $client->heartbeat, 1, "$transport: it stays, and where it was";
    $client->sub([1001]);
    is $client->bye->{reason}, 'it may not accept operation 1001',
        "$transport: with what it had";
    is $c->redis->cmd('HGET', "sess_$key", 'mid'), 7, "$transport: as it was";
    $_->close for $client, $quiet;
}
unlike $node->error_log, qr/eyJ/, 'no token stands in the log';

# ---- how they ended ----------------------------------------------------------

for (@ends) {
    my ($client, $end, $is, $errors) = @$_;
    my $bye = $errors && $client->bye(20);
    my $code = $client->closed(20);
    is_deeply $bye, { code => 4003, again => JSON::PP::false,
        reason => 'token expired' }, "$is: last words" if $errors;
    is $code, $is =~ /ws/ ? 4003 : 'eof', "$is: closed";
    is_deeply [@{ $client->{pushes} }, @{ $client->{byes} }], [],
        "$is: and nothing else";
}
is counter('expired'), 4, 'they are counted';

# when, as the node's log says
my %at;
for (split /\n/, $node->error_log) {
    my ($key) = /token expired \(4003\).*"(k\d+)"/ or next;
    my ($y, $m, $d, @time) = m{^(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+) };
    $at{$key} = Time::Local::timelocal(reverse(@time), $d, $m - 1, $y);
}
cmp_ok $at{ $_->[4] }, '>=', int($_->[1] - $EARLY), "$_->[2]: not before"
    for @ends;

for my $client (@soon) {
    my $told = $client->bye(20);
    is $told->{code}, -4003, 'told before its end';
    cmp_ok $told->{in}, '<=', 60, 'not earlier than a minute';
    cmp_ok $told->{in}, '>=', 50, 'and not much later';
}
for my $client (@stay, $never, map { $_->[0] } @goes) {
    is_deeply $client->{byes}, [], 'no end: it is told nothing';
    is $client->heartbeat, 0, 'and stays';
}

# an end that comes sooner than that of the token before
for (@goes) {
    my ($client, $end, $is, $errors) = @$_;
    is_deeply [renews($client, packet({ exp => time + 1, ops => [1] }))], [8],
        "$is: one that ends sooner";
    is $client->bye->{code}, -4003, "$is: told once more" if $errors;
}
is $_->[0]->closed(20), $_->[2] =~ /ws/ ? 4003 : 'eof', "$_->[2]: it ends"
    for @goes;
$_->close for @soon, @stay, $never;

# ---- nobody can tell ---------------------------------------------------------

{
    my $client = enters('ws', { exp => time + 5 }, errors => 1);
    is $client->bye->{code}, -4003, 'it is to end';
    my $quiet = enters('tcp', {});
    my $waits = enters('ws', {}, errors => 1);
    $c->logic->pause;
    my ($op, @told) = renews($waits, packet({ ops => [1] }));
    is $op, 7, 'logic does not answer: no new token';
    is_deeply \@told, [{ code => -503, reason => 'try again', operation => 7,
        seq => $waits->{seq} }], 'told so';
    $c->logic->resume;
    is $waits->sub([1000])->{body}, '1000', 'nothing changes';
    eventually { (renews($waits, packet({})))[0] == 8 } 20, 'another try';
    $waits->close;

    $c->logic->stop;
    allow_log(qr/no live logic/);
    for (1, 2) {
        my ($op, @told) = renews($client, packet({}));
        is $op, 7, 'without logic there is no new token';
        is_deeply \@told, [{ code => -503, reason => 'no logic',
            operation => 7, seq => $client->{seq} }], 'which it is told';
    }
    is_deeply [renews($quiet, packet({}))], [7], 'not told';
    is $client->closed(20), 4003, 'it ends all the same';

    $c->logic->configure({ auth => { mode => 'trust', algorithms => undef,
        secret_file => undef, leeway => undef } });
    $c->logic->start;
    eventually {
        (renews($quiet, packet({})))[0] == 7 && $node->error_log
            =~ /new token refused: no signed tokens are taken any more/;
    } 20, 'by a logic that takes no tokens: nothing is granted';
    $quiet->close;
}

done_testing;
