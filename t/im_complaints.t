# What users of other systems complain of, each by its number there: none of it is
# so here. (gim has no numbers: its faults by name.)

# ASAN: no

use strict;
use warnings;

use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: postgresql: |exited on signal 9/);

my $json = JSON::PP->new->canonical;
my $inbox = 'im://inbox';
my $pg = Goim::Postgres->new;
my $im = { db => $pg->url };
my $c = Goim::Cluster->new(jobs => 2, workers => 2,
    logic => { Goim::Sender::logic(im => $im, session => { mobile => 1 }) },
    job => { conf => { im => $im } });
my $api = $c->api;

sub client {
    my ($mid, $where, %arg) = @_;
    return enters($c, mid => $mid, room => '', accepts => [20], im => {},
        recover => { $inbox => $where || {} }, %arg);
}

sub place {
    my ($client) = @_;
    while (my $p = $client->position) {
        return $p->{$inbox} if exists $p->{$inbox};
    }
    return undef;
}

sub says {
    my ($mid, $to, $id, $body, $by) = @_;
    return ($by || $api)->post('/goim/im/send', [mid => $mid, to => $to,
        id => $id], $body // $id);
}

sub get {
    my ($what, @more) = @_;
    return $api->get("/goim/im/$what", @more)->{data};
}

sub post { return $api->post("/goim/im/$_[0]", $_[1], '')->{code} }

# what comes: numbers of the inbox, and texts
sub heard {
    my ($client, $n, $timeout) = @_;
    my (@seqs, @texts);
    while (@seqs < $n) {
        my $p = $client->push($timeout) or last;
        push @seqs, $p->{seq};
        push @texts, (split /\n/, $p->{body}, 2)[1];
    }
    return (\@seqs, \@texts);
}

sub texts { return [map { $_->{body} } @{ $_[0]{items} }] }

sub conv {
    my ($mid, $conv) = @_;
    my ($found) = grep { $_->{conv} eq $conv } @{ get('convs', mid => $mid) };
    return $found;
}

sub unread { my $v = conv(@_); return $v->{n} - $v->{read_n} }

# processes at once, each with its answers; theirs in order
sub at_once {
    my @pids = map {
        my ($file, $do) = (folder('out') . '/out', $_);
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            spew($file, $json->encode([eval { $do->() }]));
            POSIX::_exit(0);
        }
        [$pid, $file];
    } @_;
    waitpid $_->[0], 0 for @pids;
    return map { $json->decode(slurp($_->[1])) } @pids;
}

eventually { says(1, 2, 'ready')->{code} == 0 } 30, 'all is ready';

# ---- OpenIM ------------------------------------------------------------------

subtest 'OpenIM 320: a later number is stored and pushed first, others are lost'
    => sub {
    my @two = map { client(10, undef, key => "ten$_") } 1, 2;
    place($_) for @two;
    at_once(map { my $from = $_; sub { says($from, 10, "$from.$_") for 1 .. 20;
        1 } } 11 .. 16);
    my @got = map { [heard($_, 120)] } @two;
    is_deeply($got[0][0], [1 .. 120], 'every number, none before the one before');
    is_deeply($got[1], $got[0], 'the same on both devices');
    my %of;
    push @{ $of{ (split /\./)[0] } }, $_ for @{ $got[0][1] };
    is_deeply(\%of, { map { my $f = $_; $f => [map { "$f.$_" } 1 .. 20] }
        11 .. 16 }, 'what each said, in its order');
};

subtest 'OpenIM 3080: it is in the cache, and never in the database' => sub {
    for my $id (1 .. 5) {
        my $said = says(20, 21, "d$id");
        is($said->{code}, 0, 'accepted');
        is($pg->sql("SELECT seq FROM message WHERE conv = 'p20.21' AND "
            . "cid = 'd$id'"), "$said->{data}{seq}\n", 'is in the database');
    }
};

subtest 'OpenIM 3799: what the database refused is left out by a later place'
    => sub {
    $pg->sql('ALTER TABLE message RENAME TO moved');
    my @before = map { my $n = $_; sub { says(22, 23, "early$n")->{code} } } 1, 2;
    my @codes = map { $_->[0] // 'none' } at_once(@before);
    ok(!(grep { $_ eq '0' } @codes), 'not accepted while it fails')
        or diag "@codes";
    $pg->sql('ALTER TABLE moved RENAME TO message');
    is(says(22, 23, 'later')->{code}, 0, 'a later one is accepted');
    $pg->stop;
    my @away = at_once(map { my $n = $_;
        sub { says(22, 23, "away$n")->{code} } } 1, 2);
    is_deeply(\@away, [[-504], [-504]], 'the database is away: not in time');
    $pg->start;
    eventually { says(22, 23, 'last')->{code} == 0 } 30, 'it is back';
    my @items = @{ get('history', mid => 23, conv => 'p22.23')->{items} };
    is_deeply([map { $_->{seq} } @items], [1 .. @items], 'no number is missing');
    is((grep { /away|last/ } map { $_->{id} } @items)[2], 'last',
        'what waited is stored, before what came later');
};

subtest 'OpenIM 323: a new device synchronizes for hours' => sub {
    $pg->sql("INSERT INTO conversation (id, seq, n, at, rule, mute_all) SELECT "
        . "'p30.' || 1000 + c, 500, 500, c, 'closed', 0 "
        . 'FROM generate_series(1, 20) AS c');
    $pg->sql("INSERT INTO message (conv, seq, n, mid, cid, kind, at, body) "
        . "SELECT 'p30.' || 1000 + c, s, s, 1000 + c, 'o' || s, 'msg', s, 'old' "
        . 'FROM generate_series(1, 20) AS c, generate_series(1, 500) AS s');
    $pg->sql("INSERT INTO member (conv, mid, read, read_n, role, muted) "
        . "SELECT 'p30.' || 1000 + c, m, 0, 0, 0, 0 FROM generate_series(1, 20) "
        . 'AS c, LATERAL (VALUES (30), (1000 + c)) AS v (m)');
    $pg->sql("INSERT INTO account (mid, seq, first) VALUES (30, 10000, 1)");
    $pg->sql("INSERT INTO inbox (mid, seq, conv, cseq) SELECT 30, "
        . "(c - 1) * 500 + s, 'p30.' || 1000 + c, s FROM generate_series(1, 20) "
        . 'AS c, generate_series(1, 500) AS s');

    my $reads = $c->node->status->{counters}{history_reads};
    my $new = client(30, undef, key => 'thirty');
    is(place($new)->{seq}, 10000, 'it begins at the newest');
    is(says(1, 30, 'now')->{code}, 0, 'what is said then');
    is_deeply([heard($new, 1)], [[10001], ['now']], 'is the first that it gets');
    is($c->node->status->{counters}{history_reads} - $reads, 1,
        'its place is all that was read');
    my $convs = get('convs', mid => 30, limit => 5);
    is_deeply([map { $_->{n} } @$convs], [1, 500, 500, 500, 500],
        'what there is it lists');
    is_deeply(texts(get('history', mid => 30, conv => 'p30.1001', before => 400,
        limit => 3)), [('old') x 3], 'and reads on demand');
};

subtest 'OpenIM 1335: who was kicked comes back and kicks in turn' => sub {
    my %old = (key => 'old', platform => 'ios', exp => 3600 + int time);
    my $old = client(40, undef, %old);
    place($old);
    my $new = client(40, undef, key => 'new', platform => 'android');
    place($new);
    is($old->closed, 4500, 'the second phone is in, the first is out');
    for (1 .. 3) {
        my $back = $c->client(auth => 0, token => $json->encode({
            token => token(mid => 40, im => {}, %old) }));
        $back->send(7, $back->{auth}{token});
        is($back->closed, 1008, 'its app opens again: it is not let in');
    }
    is(says(1, 40, 'hi')->{code}, 0, 'a message');
    is_deeply([heard($new, 1)], [[1], ['hi']], 'comes to the second');
};

subtest 'OpenIM 2335: who was logged out logs in with the same token' => sub {
    my %one = (key => 'lost', platform => 'web', exp => 3600 + int time);
    my $lost = client(41, undef, %one);
    place($lost);
    is(post('kick', [mid => 41, key => 'lost', reason => 'lost']), 0, 'kicked');
    is($lost->closed, 4500, 'it is closed');
    my $back = $c->client(auth => 0, token => $json->encode({
        token => token(mid => 41, im => {}, %one) }));
    $back->send(7, $back->{auth}{token});
    is($back->closed, 1008, 'its token is of no use any more');
};

subtest 'OpenIM 2807: messages of one\'s own are counted' => sub {
    my $me = client(50, undef, key => 'fifty');
    place($me);
    says(50, 51, "own$_") for 1 .. 3;
    is(unread(50, 'p50.51'), 0, 'what one has sent is not');
    is(unread(51, 'p50.51'), 3, 'to the other it is');
    $me->close;
    place(client(50, undef, key => 'fifty'));
    is(unread(50, 'p50.51'), 0, 'nor after another login');
    says(51, 50, 'reply');
    says(50, 51, 'again');
    is(unread(50, 'p50.51'), 2, 'behind what is unread nothing is taken as read');
};

subtest 'OpenIM 3539: somebody has read more than there is' => sub {
    is(post('read', [mid => 51, conv => 'p50.51', read => 6]), -400,
        'further than the newest nobody reads');
    is(post('read', [mid => 51, conv => 'p50.51', read => 5]), 0, 'all of it');
    is(unread(51, 'p50.51'), 0, 'nothing is unread');
    is(post('read', [mid => 51, conv => 'p50.51', read => 2]), 0, 'less');
    is(unread(51, 'p50.51'), 0, 'changes nothing');
    is(post('group/create', [mid => 51, id => 'fresh', map { (mids => $_) } 52, 53]), 0,
        'a new group');
    is_deeply([map { unread($_, 'g51.fresh') } 51 .. 53], [0, 0, 0],
        'nobody has unread messages there, or fewer than none');
};

# ---- others ------------------------------------------------------------------

subtest 'Zulip 31219: a client that tries again sends twice' => sub {
    my $to = client(61, undef, key => 'sixty');
    my $from = client(60, undef, key => 'from');
    place($_) for $to, $from;
    my @said = (at_once(map { sub { says(60, 61, 'same')->{data} } } 1 .. 6),
        [$json->decode($from->call(4, '{"to":"61","id":"same"}' . "\nsame")
            ->{body})]);
    is_deeply([map { "$_->[0]{conv} $_->[0]{seq}" } @said], [('p60.61 1') x 7],
        'all are told of one message, by HTTP and socket');
    is(says(60, 61, 'other')->{data}{seq}, 2, 'the next has the next number');
    is_deeply([heard($to, 2)], [[1, 2], ['same', 'other']], 'each comes once');
};

subtest 'Mattermost 8471: the answer got lost, and it is posted again' => sub {
    $_->stop for @{ $c->{jobs} };
    my @waits = at_once(map { sub { says(62, 63, 'slow')->{code} } } 1 .. 3);
    is_deeply(\@waits, [[-504], [-504], [-504]], 'no answer in time');
    $_->start for @{ $c->{jobs} };
    eventually { says(62, 63, 'slow')->{code} == 0 } 30, 'until it is answered';
    is_deeply(texts(get('history', mid => 63, conv => 'p62.63')), ['slow'],
        'it is there once');
};

subtest 'Matrix, 3,000 rooms: a login takes a minute' => sub {
    $pg->sql("INSERT INTO conversation (id, seq, n, at, rule, mute_all) SELECT "
        . "'g70.r' || c, 1, 1, c, 'open', 0 FROM generate_series(1, 3000) AS c");
    $pg->sql("INSERT INTO message (conv, seq, n, mid, cid, kind, at, body) "
        . "SELECT 'g70.r' || c, 1, 1, 70, 'x', 'msg', c, 'x' "
        . 'FROM generate_series(1, 3000) AS c');
    $pg->sql("INSERT INTO member (conv, mid, read, read_n, role, muted) SELECT "
        . "'g70.r' || c, 71, 0, 0, 0, 0 FROM generate_series(1, 3000) AS c");
    $pg->sql("INSERT INTO account (mid, seq, first) VALUES (71, 3000, 1)");
    $pg->sql("INSERT INTO inbox (mid, seq, conv, cseq) SELECT 71, c, "
        . "'g70.r' || c, 1 FROM generate_series(1, 3000) AS c");

    my $reads = $c->node->status->{counters}{history_reads};
    my $at = place(client(71, undef, key => 'new'));
    is($c->node->status->{counters}{history_reads} - $reads, 1,
        'a new device: one Read, whatever there is');
    my $back = client(71, { %$at, seq => 2990 }, key => 'back');
    is(place($back)->{recovered}, JSON::PP::true, 'one that was away');
    is_deeply((heard($back, 10))[0], [2991 .. 3000], 'reads what it missed alone');
    is_deeply([map { $_->{conv} } @{ get('convs', mid => 71, limit => 50) }],
        [map { "g70.r$_" } reverse 2951 .. 3000], 'lists are pages, newest first');
};

subtest 'goim 280, 283: messages to who is offline; 316: history and groups' => sub {
    is(post('group/create', [mid => 80, id => 'team', map { (mids => $_) } 81, 82]), 0,
        'a group');
    says(80, 82, 'c1', 'to one');
    says(81, 'g80.team', 'c2', 'to all');
    my $e = get('sync', mid => 82)->{epoch};
    for my $device (qw(phone desk)) {
        my $late = client(82, { epoch => $e, seq => 0 }, key => $device);
        is(place($late)->{recovered}, JSON::PP::true, "$device logs in");
        is_deeply([heard($late, 3)], [[1 .. 3], ['{"mids":[81,82]}', 'to one',
            'to all']], 'and has all, in order');
    }
    is_deeply([grep { /^to/ } @{ texts(get('history', mid => 82,
        conv => 'g80.team')) }], ['to all'], 'what was said stays there');
};

# ---- gim ---------------------------------------------------------------------

subtest 'gim: one unreachable device stops the rest' => sub {
    is(post('group/create', [mid => 90, id => 'g', map { (mids => $_) } 91 .. 94]), 0,
        'a group');
    my @in = map { client($_, undef, key => "k$_") } 91, 94;
    place($_) for @in;
    $c->redis->cmd('HSET', 'mid_92', 'gone', 'comet-gone');
    $c->redis->cmd('SET', 'mid_93', 'not a hash');
    $c->redis->cmd('HSET', 'mid_91', 'never', 'comet-1', 'x' x 300, 'comet-1');
    is(says(90, 'g90.g', 'c1', 'all the same')->{code}, 0, 'accepted');
    is_deeply([map { (heard($_, 1))[1] } @in], [(['all the same']) x 2],
        'who can be reached has it');
    is_deeply(texts(get('sync', mid => 93, after => 1)), ['all the same'],
        'for the others it waits');
};

subtest 'gim: a new device that says 0 never gets what it never had' => sub {
    my $e = get('sync', mid => 94)->{epoch};
    my $zero = client(94, { epoch => $e, seq => 0 }, key => 'zero');
    place($zero);
    is_deeply((heard($zero, 2))[0], [1, 2], 'all from the first on');
};

subtest 'gim: pages have no order' => sub {
    says(95, 96, "n$_") for 1 .. 23;
    $pg->sql("UPDATE message SET at = 1 WHERE conv = 'p95.96'");
    $pg->sql("DELETE FROM message WHERE conv = 'p95.96' AND seq = 9");
    $pg->sql("INSERT INTO message (conv, seq, n, mid, cid, kind, at, body) "
        . "VALUES ('p95.96', 9, 9, 95, 'n9', 'msg', 1, 'n9')");
    my (@sync, @back);
    for (my $after = 0; ; $after = $sync[-1][0]) {
        my $page = get('sync', mid => 96, after => $after, limit => 7)->{items};
        last if !@$page;
        push @sync, map { [$_->{inbox}, $_->{body}] } @$page;
    }
    is_deeply(\@sync, [map { [$_, "n$_"] } 1 .. 23], 'of an inbox, upwards');
    for (my $before = 24; ; $before = $back[0]) {
        my $page = get('history', mid => 96, conv => 'p95.96', limit => 5,
            before => $before)->{items};
        last if !@$page;
        unshift @back, map { $_->{seq} } @$page;
    }
    is_deeply(\@back, [1 .. 23], 'of a conversation, backwards');
};

done_testing;
