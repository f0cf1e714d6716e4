# The inbox as a timeline: sessions that recover follow it as they follow a room
# with history. What is missed comes, in order, once, or they are told.

use strict;
use warnings;

use JSON::PP ();
use POSIX ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: postgresql: |goim: the stream .* was/);

my $json = JSON::PP->new->canonical;
my $inbox = 'im://inbox';

# the node that has the sessions, and another; nothing but the one timeline
sub cluster {
    my ($db) = @_;
    my %im = (im => { db => $db });
    return Goim::Cluster->new(workers => 2, nginx => { tcp => 1, ssl => 1 },
        nodes => 2, logic => { Goim::Sender::logic(%im) },
        job => { conf => { %im } });
}

my ($c, $api);

sub client {
    my ($mid, $where, %arg) = @_;
    return enters($c, mid => $mid, room => '', accepts => [], im => {},
        recover => $where ? { $inbox => $where } : {}, %arg);
}

# its entry of operation 23, the others passed over
sub place {
    my ($client) = @_;
    while (my $p = $client->position) {
        return $p->{$inbox} if exists $p->{$inbox};
    }
    return undef;
}

my $id = 0;
sub message {
    my ($from, $to, $body) = @_;
    is($api->post('/goim/im/send', [mid => $from, to => $to,
        id => 'c' . ++$id], $body)->{code}, 0, "$body is stored");
}

# what comes: number and payload
sub items {
    my ($client, $n, $timeout) = @_;
    my @items;
    while (@items < $n) {
        my $p = $client->push($timeout) or last;
        my ($line, $body) = split /\n/, $p->{body}, 2;
        push @items, "$p->{seq} " . ($body || '') if $p->{op} == 20;
    }
    return \@items;
}

# the same: number and line, of items their number in the conversation
sub states {
    my ($client, $n) = @_;
    my @states;
    while (@states < $n) {
        my $p = $client->push or last;
        my ($line) = split /\n/, $p->{body};
        my $state = $json->decode($line);
        push @states, "$p->{seq} " . ($state->{seq} || $json->encode($state))
            if $p->{op} == 20;
    }
    return \@states;
}

sub family {
    my ($name, $db, $restart) = @_;
    $c = cluster($db);
    $api = $c->api;

    # a new device begins at the head; nothing of before
    message(1, 2, 'old');
    my $new = client(2, undef, key => "$name-a");
    my $at = place($new);
    is($at->{seq}, 1, "$name: a new device begins at the newest");
    like($at->{epoch}, qr/^[!-~]{1,32}$/, 'of an epoch');
    is($at->{first}, 1, 'all is kept');
    ok(!exists $at->{recovered}, 'nothing was asked for');

    message(1, 2, 'live');
    message(2, 1, 'own');
    is_deeply(items($new, 2), ['2 live', '3 own'], 'items with their numbers');
    my ($newest) = client(2, { last => 2 }, key => "$name-n");
    is(place($newest)->{seq}, 1, 'the newest two');
    is_deeply(items($newest, 2), ['2 live', '3 own'], 'come');
    $newest->close;

    # away, and back: on another node, by another transport
    $new->close;
    message(3, 2, "missed $_") for 1 .. 3;
    for my $t (qw(ws wss tcp)) {
        my $back = client(2, { epoch => $at->{epoch}, seq => 3 },
            key => "$name-$t", node => 1, transport => $t);
        my $p = place($back);
        is($p->{recovered}, JSON::PP::true, "$t: recovered");
        is("$p->{seq} $p->{head}", '3 6', 'from there to here');
        is_deeply(items($back, 3), [map { $_ + 3 . " missed $_" } 1 .. 3],
            'what was missed, in order');
        $back->close;
    }

    # many at once, and what comes meanwhile
    my @many = map { client(2, { epoch => $at->{epoch}, seq => 0 },
        key => "$name-m$_", node => $_ % 2) } 1 .. 10;
    message(4, 2, 'meanwhile');
    my @all = ('1 old', '2 live', '3 own', (map { $_ + 3 . " missed $_" }
        1 .. 3), '7 meanwhile');
    is_deeply([map { items($_, 7) } @many], [map { \@all } @many],
        'ten of one user: all of it, each once');

    # a position that means nothing
    my $wrong = client(2, { epoch => 'other', seq => 3 }, key => "$name-w");
    my $p = place($wrong);
    is($p->{recovered}, JSON::PP::false, 'another epoch: told');
    is("$p->{epoch} $p->{seq}", "$at->{epoch} 7", 'it goes on at the newest');
    message(4, 2, 'then');
    is_deeply(items($wrong, 1), ['8 then'], 'with what comes');
    is_deeply([map { items($_, 1) } @many], [map { ['8 then'] } @many],
        'as all others');

    # a cursor goes to the user's own devices; the newest takes its place
    for my $read (1, 2, 1) {
        is($api->post('/goim/im/read', [mid => 2, conv => 'p1.2',
            read => $read], '')->{code}, 0, "read up to $read");
    }
    is_deeply([map { states($_, 2) } @many], [map { [
        '9 {"conv":"p1.2","kind":"read","read":1,"read_n":1}',
        '10 {"conv":"p1.2","kind":"read","read":2,"read_n":2}'] } @many],
        'all devices learn of it, but of what changes nothing');
    my $gap = client(2, { epoch => $at->{epoch}, seq => 7 }, key => "$name-g");
    is(place($gap)->{recovered}, JSON::PP::true, 'who was away');
    is_deeply(states($gap, 2), ['8 ' . $json->encode($api->get('/goim/im/sync',
        mid => 2, after => 7, limit => 1)->{data}{items}[0]{seq}),
        '10 {"conv":"p1.2","kind":"read","read":2,"read_n":2}'],
        'gets the newest alone');
    is_deeply($gap->position(1), { $inbox => { %$at, seq => 9 } },
        'and is told that it misses nothing');
    is_deeply([map { $_->{kind} . ' ' . $_->{inbox} }
        @{ $api->get('/goim/im/sync', mid => 2, after => 8)->{data}{items} }],
        ['read 10'], 'it is in pages, too');
    is($api->post('/goim/im/conv', [mid => 2, conv => 'p1.2', notify => 0,
        ext => '{"x":1}'], '')->{code}, 0, 'settings');
    is_deeply(states($gap, 1), ['11 {"conv":"p1.2","ext":{"x":1},'
        . '"kind":"conv","notify":false}'], 'come to all devices, too');
    states($_, 1) for @many;
    $gap->close;

    # a room besides, of the same session
    my $both = client(5, undef, room => 'live://9', rooms => ['live://*', 'im://*'],
        accepts => [1000]);
    my %told;
    while (keys %told < 2 and my $more = $both->position) {
        %told = (%told, %$more);
    }
    is_deeply([sort keys %told], ['im://inbox', 'live://9'],
        'told of both timelines');
    is($told{'live://9'}, undef, 'that room has no history');
    is($told{$inbox}{seq}, 0, 'nothing in the inbox');
    is($both->change_room('live://8')->{body}, 'live://8', 'another room');
    message(4, 5, 'besides');
    is_deeply(items($both, 1), ['1 besides'], 'the inbox stays');
    is($both->change_room('im://2')->{body}, 'im://2', 'a room of that name');
    is($both->position->{'im://2'}, undef, "is nobody's inbox");
    is($both->change_room('')->{body}, '', 'no room');
    message(4, 5, 'alone');
    is_deeply(items($both, 1), ['2 alone'], 'the inbox stays');

    # whose token has no "im" follows none
    my $none = enters($c, mid => 2, room => '', recover => { $inbox => {
        epoch => $at->{epoch}, seq => 0 } });
    is_deeply($none->position, {}, 'without "im" in the token: no inbox');
    $none->close;

    # job away: who sends is told so, and it comes later
    $c->job->stop;
    is($api->post('/goim/im/send', [mid => 1, to => 2, id => 'late'],
        'late')->{code}, -504, 'no job: not stored in time');
    $c->job->start;
    is_deeply([map { items($_, 1, 30) } @many], [map { ['12 late'] } @many],
        'job is back: it comes');

    # the nodes' streams lose it, and nothing comes behind it
    my @workers = map { $_->workers } @{ $c->{nodes} };
    my @streams = map { "goim:node:$_->{server_id}" } @{ $c->{nodes} };
    hit STOP => @workers;
    message(1, 2, 'lost');
    wait_for { grep { my ($last) = @{ $c->redis->cmd('XREVRANGE', $_, '+',
        '-', 'COUNT', 1) }; $last && $last->[1][1] =~ /\nlost/ } @streams }
        20, 'it is in the streams';
    $c->redis->cmd('DEL', @streams);
    hit CONT => @workers;
    is_deeply([map { items($_, 1, 30) } @many], [map { ['13 lost'] } @many],
        'a hole: what was lost is found by the head of the inbox');

    many();
    $restart->() if $restart;
    return;
}

# inboxes that are read at the same time: to each its own
sub many {
    my @mids = 101 .. 124;
    is(scalar(grep { $api->post('/goim/im/send', [mid => 100, to => $_, id => 'm'],
        "to $_")->{code} } @mids), 0, 'a message to each of many');
    my $epoch = $api->get('/goim/im/sync', mid => 101)->{data}{epoch};

    my $had = $c->node->status->{sessions};
    $c->logic->pause;
    my @pids = map {
        my $mid = $_;
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            my $items = eval { items(client($mid, { epoch => $epoch, seq => 0 }), 1) };
            POSIX::_exit("@{ $items || [] }" eq "1 to $mid" ? 0 : 1);
        }
        $pid;
    } @mids;
    eventually { $c->node->status->{sessions} >= $had + @mids } 20, 'all have come';
    $c->logic->resume;
    is(scalar(grep { waitpid($_, 0) != $_ || $? } @pids), 0, 'each has its own');
    return;
}

# more than a page of cursors of groups that one has left
sub left {
    my @groups = map { "g300.$_" } 1 .. 101;
    my $all = sub {
        my ($route, $mid, @more) = @_;
        is(scalar(grep { $api->post("/goim/im/$route", [mid => $mid,
            conv => $_, @more], '')->{code} } @groups), 0, "101 times $route");
    };
    $api->post('/goim/im/group/create', [mid => 300, id => $_, mids => 301], '')
        for 1 .. 101;
    my $at = place(client(301, undef, key => 'before'));
    is($at->{seq}, 101, '101 groups');
    $all->('read', 301, read => 1);
    $all->('group/remove', 301, mids => 301);
    my $back = client(301, { epoch => $at->{epoch}, seq => 101 }, key => 'back');
    is(place($back)->{recovered}, JSON::PP::true, 'back');
    is(scalar @{ items($back, 101) }, 101, 'what follows them comes');
}

subtest sqlite => sub {
    family('s', 'sqlite:' . folder('db') . '/im.db');
    left();
    undef $c;
};

subtest postgresql => sub {
    my $pg = Goim::Postgres->new;

    family('p', $pg->url, sub {
        my $epoch = place(client(2, undef))->{epoch};

        # the database is away when somebody comes back
        $pg->stop;
        my $early = client(2, { epoch => $epoch, seq => 7 }, key => 'early');
        ok(!$early->position(1)->{$inbox}, 'no database: nothing is told yet');
        $pg->start;
        is(place($early)->{recovered}, JSON::PP::true, 'it is back: recovered');
        is_deeply(items($early, 5), ['8 then', '10 ', '11 ', '12 late',
            '13 lost'],
            'what was missed');
    });
    undef $c;
};

done_testing;
