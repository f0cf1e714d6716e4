# Items of an inbox on their last way: two jobs overtake each other, some get lost,
# some are no more. Each session gets them in order, once, and reads only what does
# not come.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Proto qw(proto_encode);
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my $inbox = 'im://inbox';
my $im = { db => Goim::IM->new('sqlite')->url };
my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 },
    logic => { Goim::Sender::logic(im => $im) }, job => { conf => { im => $im } });
my ($api, $redis, $node) = ($c->api, $c->redis, $c->node);

my $id = 0;
sub message {
    my ($to, $body) = @_;
    is($api->post('/goim/im/send', [mid => 1, to => $to, id => 'c' . ++$id],
        $body)->{code}, 0, "$body is stored");
}

# what is stored meanwhile, job brings to nobody of that user
sub hidden {
    my ($mid, $do) = @_;
    $redis->cmd('RENAME', "mid_$mid", 'hidden');
    $do->();
    $redis->cmd('RENAME', 'hidden', "mid_$mid");
}

my $epoch;
sub session {
    my ($mid, %arg) = @_;
    my $s = enters($c, mid => $mid, room => '', accepts => [20], im => {},
        recover => { $inbox => {} }, %arg);
    my $at;
    while (!$at) {
        $at = $s->position->{$inbox};
    }
    $epoch = $at->{epoch};
    $s->{at} = $at->{seq};
    return $s;
}

# one entry of the node's stream, with such items: [number, text, more]
sub live {
    my ($mid, $keys, @items) = @_;
    my $life = $redis->cmd('HGET', 'goim:life', 'n');
    $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd', proto_encode('Delivery',
        { records => [map { my ($seq, $text, @more) = @$_; { kind => 'KEYS',
            keys => $keys, operation => 20, mid => $mid, timeline => $epoch,
            seq => $seq, body => "{}\n$text", @more } } @items] }));
}

# what comes: number and text
sub heard {
    my ($s, $n, $timeout) = @_;
    my @heard;
    while (@heard < $n) {
        my $p = $s->push($timeout) or last;
        push @heard, $p->{seq} . ' ' . (split /\n/, $p->{body}, 2)[1];
    }
    return \@heard;
}

sub counted {
    my $n = $node->status->{counters};
    return { map { $_ => $n->{$_} }
        qw(inbox_ahead inbox_alone history_reads key_gone) };
}

# what a piece of the test adds to the counters
my $before;
sub since {
    my $now = counted();
    my %d = map { $_ => $now->{$_} - $before->{$_} } keys %$now;
    $before = $now;
    return \%d;
}

# ---- overtaken -----------------------------------------------------------------

my @two = map { session(2, key => "k$_", transport => $_) } qw(ws tcp);
my @keys = qw(kws ktcp);
my $at = $two[0]{at};
$before = counted();

hidden(2, sub { message(2, "m$_") for 1 .. 6 });
live(2, \@keys, map { [$at + $_, "m$_"] } 2, 1, 6, 4, 3, 4, 5, 1);
my @all = map { $at + $_ . " m$_" } 1 .. 6;
is_deeply([map { heard($_, 6) } @two], [\@all, \@all],
    'in a wrong order, and some twice: in order, once');
my $d = since();
is($d->{history_reads}, 0, 'nothing was read for that');
cmp_ok($d->{inbox_ahead}, '>=', 3, 'they waited for those before them');
is($d->{inbox_alone}, 0, 'which came');

# two records of one item: one has a part of the keys
$at += 6;
hidden(2, sub { message(2, "s$_") for 1 .. 2 });
live(2, ['kws'], [$at + 1, 's1'], [$at + 2, 's2']);
live(2, ['ktcp'], [$at + 1, 's1'], [$at + 2, 's2']);
is_deeply([map { heard($_, 2) } @two], [([$at + 1 . ' s1', $at + 2 . ' s2']) x 2],
    'keys in two records: each session has all, once');
is_deeply(since(), { map { $_ => 0 } keys %$before }, 'nobody had to wait');
$at += 2;

# ---- what does not come --------------------------------------------------------

hidden(2, sub { message(2, "n$_") for 1 .. 3 });
live(2, \@keys, [$at + 3, 'n3'], [$at + 2, 'n2']);
@all = map { $at + $_ . " n$_" } 1 .. 3;
is_deeply([map { heard($_, 3) } @two], [\@all, \@all],
    'one before them is lost: it is read');
$d = since();
cmp_ok($d->{inbox_alone}, '>=', 1, 'they waited for it');
cmp_ok($d->{history_reads}, '>=', 1, 'then read');
$at += 3;

# more than may be held
hidden(2, sub { message(2, "b$_") for 1 .. 40 });
live(2, \@keys, map { [$at + $_, "b$_"] } reverse 2 .. 40);
@all = map { $at + $_ . " b$_" } 1 .. 40;
is_deeply([map { heard($_, 40) } @two], [\@all, \@all],
    'more than are held: all, in order');
since();
$at += 40;

# ---- numbers that are nobody's -------------------------------------------------

hidden(2, sub { message(2, "g$_") for 1 .. 4 });
live(2, \@keys, [$at + 1, 'g1'], [$at + 4, 'g4', gap => 2]);
is_deeply([map { heard($_, 2) } @two], [([$at + 1 . ' g1', $at + 4 . ' g4']) x 2],
    'an item names the one that it follows: it waits for none');
is_deeply([map { $_->position->{$inbox}{seq} } @two], [($at + 3) x 2],
    'clients are told');
is_deeply(since(), { map { $_ => 0 } keys %$before }, 'nothing is read');
$at += 4;

# the same by job: of two cursors the first was brought to nobody
hidden(2, sub { $api->post('/goim/im/read', [mid => 2, conv => 'p1.2',
    read => 1], '') });
$api->post('/goim/im/read', [mid => 2, conv => 'p1.2', read => 2], '');
is_deeply([map { heard($_, 1) } @two], [([$at + 2 . ' ']) x 2],
    'a cursor in the place of one that did not come');
is_deeply([map { $_->position->{$inbox}{seq} } @two], [($at + 1) x 2],
    'clients are told');
is_deeply(since(), { map { $_ => 0 } keys %$before }, 'nothing is read');
$at += 2;

# those who had the first are not told
$api->post('/goim/im/read', [mid => 2, conv => 'p1.2', read => $_], '') for 3, 4;
is_deeply([map { heard($_, 2) } @two], [([$at + 1 . ' ', $at + 2 . ' ']) x 2],
    'both come');
is(scalar(grep { $_->position(0.2) } @two), 0, 'without a word');
$at += 2;

# what contradicts itself
hidden(2, sub { message(2, "w$_") for 1 .. 3 });
live(2, \@keys, [$at + 1, 'w1', gap => 2 ** 62], [$at + 2, 'w2', gap => $at + 2]);
live(2, \@keys, [$at + 3, 'w3', gap => $at + 2]);
is_deeply([map { heard($_, 3) } @two], [([map { $at + $_ . " w$_" } 1 .. 3]) x 2],
    'gaps beyond all numbers are none');
$at += 3;
$before = counted();

# ---- whose it is ---------------------------------------------------------------

my $three = session(3, key => 'k3');
my $plain = enters($c, mid => 4, key => 'k4', room => '', accepts => [20]);
live(2, ['k3', 'k4', 'kws'], [$at + 1, "of 2"]);
is_deeply(heard($two[0], 1), [$at + 1 . ' of 2'], 'it comes to its user');
message(3, 'of 3');
is_deeply(heard($three, 1), [$three->{at} + 1 . ' of 3'],
    'to nobody else whose key it was sent to');
message(4, 'of 4');
is_deeply(heard($plain, 1), ['0 of 4'], 'nor to one that does not recover');

# ---- one body for many ---------------------------------------------------------

# records that have that of the one before them, and one that has none before it
$before = counted();
my $broken = $node->status->{counters}{broken};
my $life = $redis->cmd('HGET', 'goim:life', 'n');
my %item = (kind => 'KEYS', operation => 20, timeline => $epoch);
$redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd', proto_encode('Delivery', {
    records => [
        { %item, mid => 3, keys => ['k3'], seq => $three->{at} + 1,
            same_body => 1 },
        { %item, mid => 2, keys => \@keys, seq => $at + 2, body => "{}\nshared" },
        { %item, mid => 3, keys => ['k3'], seq => $three->{at} + 2,
            same_body => 1 },
    ] }));
is_deeply(heard($three, 1), [$three->{at} + 2 . ' shared'],
    'a record without a body has that of the one before it');
is_deeply(heard($two[0], 1), [$at + 2 . ' shared'], 'which comes, too');
eventually { $node->status->{counters}{broken} == $broken + 1 } 10,
    'one that has none before it is left out, and counted';

# ---- sessions end, workers change ----------------------------------------------

for my $n (1 .. 6) {
    my @s = map { session(5, key => "e$_", transport => $_) } qw(ws tcp);
    hidden(5, sub { message(5, "e$_") for 1 .. 4 });
    hit STOP => $node->workers;
    live(5, [qw(ews etcp)], [$s[0]{at} + 2, 'e2'], [$s[0]{at} + 4, 'e4']);
    $s[$n % 2]->drop;
    hit CONT => $node->workers;
    $s[1 - $n % 2]->close;
}

# of an epoch that nobody knows, behind one that is held
my $six = session(6, key => 'k6');
my $good = $epoch;
hidden(6, sub { message(6, "o$_") for 1 .. 3 });
live(6, ['k6'], [3, 'o3']);
$epoch = 'another';
live(6, ['k6'], [2, 'none'], [9, 'none']);
$epoch = $good;
is_deeply(heard($six, 3), ['1 o1', '2 o2', '3 o3'],
    'another epoch comes between: what is stored');
message(6, 'o4');
is_deeply(heard($six, 1), ['4 o4'], 'and what follows');

hidden(6, sub { message(6, "r$_") for 1 .. 2 });
live(6, ['k6'], [6, 'r2']);
$node->reload;
is_deeply(heard($six, 2), ['5 r1', '6 r2'], 'a reload while one is held');
message(6, 'r3');
is_deeply(heard($six, 1), ['7 r3'], 'and what follows');

done_testing;
