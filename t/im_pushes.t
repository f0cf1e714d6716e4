# Stored pushes: goim's clients get what was pushed to them while they were away,
# as ordinary pushes, each device what it lacks; who follows an inbox has it as
# an item there.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: postgresql: |goim: the stream .* was/);

my $json = JSON::PP->new->canonical;
my ($c, $api);

sub cluster {
    my ($db, %im) = @_;
    my %both = (db => $db);
    return Goim::Cluster->new(workers => 2, nginx => { tcp => 1, ssl => 1 },
        nodes => 2, logic => { Goim::Sender::logic(
            im => { %both, offline_push => 100, %im }) },
        job => { conf => { im => { %both } } });
}

# goim's: it has a key, and does not recover
sub client {
    my ($mid, $key, %arg) = @_;
    return enters($c, mid => $mid, defined $key ? (key => $key) : (), room => '',
        accepts => [1000, 1001], %arg);
}

sub stored {
    my ($mids, $body, @more) = @_;
    return $api->post('/goim/push/mids', [operation => 1000, store => 1,
        (map { (mids => $_) } @$mids), @more], $body);
}

sub bodies { return [map { $_->{body} } $_[0]->pushes($_[1], $_[2])] }

# this, and nothing else
sub only {
    my ($client, $want, $what, $mid) = @_;
    my $came = bodies($client, scalar @$want);
    $api->post('/goim/push/mids', [operation => 1001, mids => $mid || 2],
        'mark');
    is_deeply([@$came, @{ bodies($client, 1) }], [@$want, 'mark'], $what);
    ok(!defined $client->push(0.1), 'and nothing else');
}

sub acked {
    my ($name, $mid, $key, $seq) = @_;
    eventually { $api->get('/goim/im/devices', mid => $mid)->{data}
        && grep { $_->{key} eq $key && $_->{acked} == $seq }
            @{ $api->get('/goim/im/devices', mid => $mid)->{data} } } 20,
        "$name: $key has had $seq";
}

sub away {
    my ($name) = @_;
    my $said = stored([2, 3, 3, -1], 'one', id => "$name-1");
    is($said->{code}, 0, "$name: a stored push");
    is($said->{data}{id}, "$name-1", 'its id');
    like($said->{data}{at}, qr/^\d{13}$/, 'and time');
    is_deeply(stored([2, 3], 'one', id => "$name-1")->{data}, $said->{data},
        'the same again is that one');
    is(stored([2, 4], 'one', id => "$name-1")->{code}, 0, 'or for one more');
    is(stored([2], 'other', id => "$name-1")->{code}, -409,
        'another of its id is refused');
    like(stored([2], 'two')->{data}{id}, qr/^[0-9a-f]{32}$/,
        'one without an id gets one');

    for my $t (qw(ws wss tcp)) {
        my $new = client(2, "new-$t", transport => $t);
        only($new, ['one', 'two'], "$t: a new device has all of it");
        $new->close;
        acked($name, 2, "new-$t", 2);
    }
    only(client(4, 'k4'), ['one'], 'who was added has it', 4);
    only(client(2, undef), [], 'without a key of its own: nothing');
}

sub back {
    my ($name) = @_;
    my $a = client(2, 'a');
    my $b = client(2, 'b', node => 1);
    is_deeply(bodies($_, 2), ['one', 'two'], "$name: both") for $a, $b;
    stored([2], 'live');
    is_deeply([map { bodies($_, 1) } $a, $b], [['live'], ['live']],
        'what is stored comes at once, too, and once');
    $a->close;
    acked($name, 2, 'a', 3);
    stored([2], "missed $_") for 1 .. 3;
    is_deeply(bodies($b, 3), [map { "missed $_" } 1 .. 3], 'b has it');
    only(client(2, 'a', node => 1), [map { "missed $_" } 1 .. 3],
        'a gets what it missed, on another node');
    only($b, ['mark'], 'and b no more');
}

sub inbox {
    my ($name) = @_;
    my $im = enters($c, mid => 5, key => 'im', room => '', im => {},
        accepts => [1000, 20], recover => { 'im://inbox' => { last => 10 } });
    my $plain = client(5, 'plain');
    $im->position;
    is($api->post('/goim/im/send', [mid => 1, to => 5, id => "$name-m"],
        'said')->{code}, 0, "$name: a message");
    stored([5], "bin\0\xff", id => "$name-in");
    my @items = map { my ($line, $body) = split /\n/, $_->{body}, 2;
        [$_->{op}, $_->{seq}, $json->decode($line), $body] } $im->pushes(2);
    is($items[0][3], 'said', 'who follows the inbox has the message');
    my ($op, $seq, $line, $body) = @{ $items[1] };
    ok($line->{at}, 'and the push');
    is_deeply([$op, $seq, $line, $body], [20, 2, { kind => 'push', operation
        => 1000, id => "$name-in", at => $line->{at} }, "bin\0\xff"],
        'as an item');
    is_deeply(bodies($plain, 1), ["bin\0\xff"], "goim's client as a push");
    my $sync = $api->get('/goim/im/sync', mid => 5, after => 1)->{data}{items};
    is_deeply($sync, [{ kind => 'push', operation => 1000, id => "$name-in",
        at => $line->{at}, inbox => 2, base64 => 'YmluAP8=' }], 'and by HTTP');
    $_->close for $im, $plain;
    my $back = enters($c, mid => 5, key => 'im', room => '', im => {},
        accepts => [1000], recover => { 'im://inbox' => { last => 1 } });
    my ($p) = $back->pushes(1);
    is("$p->{op} $p->{seq}", '20 2', 'read, it is that item');
    $back->close;
}

sub many {
    my ($name) = @_;
    stored([6], $_) for 1 .. 120;
    my $six = client(6, 'six');
    is_deeply(bodies($six, 100), [21 .. 120], "$name: the newest hundred");
    $six->close;
    acked($name, 6, 'six', 120);

    $api->post('/goim/push/mids', [operation => 1002, store => 1, mids => 6],
        'not for it');
    stored([6], 'for it');
    my $again = client(6, 'six');
    is_deeply(bodies($again, 1), ['for it'], 'but what it does not accept');
    $again->close;
    acked($name, 6, 'six', 122);

    my @mids = (1000 .. 3499);
    is(stored(\@mids, 'to all', id => "$name-all")->{code}, 0,
        'to 2,500 users');
    for my $mid (1000, 2400, 3499) {
        my $one = client($mid, "k$mid");
        is_deeply(bodies($one, 1), ['to all'], "$mid has it");
        $one->close;
    }
}

sub refused {
    my ($name) = @_;
    for (['mids', [], 'x'], ['id', [2], 'x', id => "a\x01"],
        ['id', [2], 'x', id => 'x' x 65], ['store', [2], 'x', store => 2],
        ['operation', [2], 'x', operation => 20])
    {
        my ($what, $mids, $body, %more) = @$_;
        my %args = (operation => 1000, store => 1, %more);
        my $said = $api->post('/goim/push/mids', [%args,
            map { (mids => $_) } @$mids], $body);
        is($said->{code}, -400, "$name: $what");
        like($said->{message}, qr/^$what: /, 'is named');
    }
}

sub family {
    my ($name, $db) = @_;
    $c = cluster($db);
    $api = $c->api;
    away($name);
    back($name);
    inbox($name);
    many($name);
    refused($name);
    undef $c;
}

subtest sqlite => sub { family('s', 'sqlite:' . folder('db') . '/im.db') };

subtest postgresql => sub {
    my $pg = Goim::Postgres->new;
    family('p', $pg->url);
};

done_testing();
