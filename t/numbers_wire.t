# What a client of goim sees of a room with history: nothing. And nodes of other
# versions: what they do not know in a record of their stream they ignore.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Proto qw(proto_decode proto_encode);
use Goim::Test;

my $c = Goim::Cluster->new(nginx => { tcp => 1 }, job => { conf => {
    history => { live => '300 10m' } } });
my $api = $c->api;
my %client = map { $_ => $c->client(mid => 7, key => "k$_", room => 'live://1',
    transport => $_) } qw(ws tcp);

sub room {
    my ($body, @more) = @_;
    return $api->post('/goim/push/room', [operation => 1000, type => 'live',
        room => 1, @more], $body);
}

is room('one')->{code}, 0, 'an item';
is room('two', id => 'an-id')->{code}, 0, 'with an id';
is room('two', id => 'an-id')->{code}, 0, 'and again';
is room('three', history => 0)->{code}, 0, 'past the history';
is room('four', history => 1)->{code}, 0, 'and one more';

for my $kind (sort keys %client) {
    my @got = $client{$kind}->pushes(4);
    is join(' ', map { $_->{body} } @got), 'one two three four',
        "$kind: each once, in order";
    is_deeply [grep { $_->{seq} } @got], [], "$kind: sequence 0";
}
is $c->job->metrics->{goim_job_numbered_total}, 3, 'numbered';
is $c->job->metrics->{goim_job_repeats_total}, 1, 'repeated';

for my $wrong ([id => ''], [id => 'a b'], [id => "\x{c3}\x{a4}"],
    [id => 'x' x 65], [history => 2], [history => 'x'])
{
    is room('wrong', @$wrong)->{code}, -400, "$wrong->[0]=$wrong->[1]";
}
is room('long', id => '~' x 64)->{code}, 0, 'an id of 64';
is $client{ws}->push->{body}, 'long', 'arrives';

# ---- what backends read ------------------------------------------------------

sub get {
    my ($what, @more) = @_;
    my $a = $api->get("/goim/room/$what", type => 'live', room => 1, @more);
    is $a->{code}, 0, "$what @more";
    return $a->{data};
}

sub history {
    my $data = get('history', @_);
    return 'none' if !$data->{items};
    return join ' ', map { "$_->{seq}=" . ($_->{body} // "($_->{base64})") }
        @{ $data->{items} };
}

my $position = get('position');
is_deeply [@$position{qw(seq first)}], [4, 1], 'the newest and the oldest';
like $position->{epoch}, qr/^[!-~]{1,32}$/, 'within an epoch';
is history(), '1=one 2=two 3=four 4=long', 'the newest';
is history(limit => 2), '3=four 4=long', 'so many';
is history(after => 1, limit => 2), '2=two 3=four', 'after';
is history(before => 3), '1=one 2=two', 'before';
is history(after => 4), '', 'nothing new';
is history(after => 9), '', 'less than that';

room("\xff\x00a", id => 'bytes');
room('', id => 'empty');
eventually { get('position')->{seq} == 6 } 20, 'two more';
is history(after => 4), '5=(/wBh) 6=', 'no UTF-8; nothing at all';
is get('history', after => 5)->{items}[0]{operation}, 1000, 'the operation';
$client{ws}->pushes(2);

my ($items) = @{ $c->redis->cmd('KEYS', 'goim:{*}:items:live://1') };
$c->redis->cmd('XTRIM', $items, 'MINID', '4-0');
is history(after => 2), 'none', 'not kept any more';
is get('position')->{first}, 4, 'as it says';
is history(after => 3, limit => 1), '4=long', 'from there';

is $api->get('/goim/room/position', type => 'chat', room => 1)->{data}, undef,
    'rooms without history have no position';
is $api->get('/goim/room/history', type => 'live', room => 'new')->{data}{seq},
    0, 'a room that nobody knows begins';
is $api->get('/goim/room/history', type => 'live', room => 1, @$_)->{code},
    -400, "@$_" for [after => 1, before => 2], [limit => 101], [after => -1];

# ---- another version ---------------------------------------------------------

my ($entry) = @{ $c->redis->cmd('XREVRANGE', 'goim:node:comet-1', '+', '-',
    'COUNT', 1) };
my $d = proto_decode('Delivery', $entry->[1][1]);
my $r = $d->{records}[0];
ok $r->{seq} && $r->{timeline}, 'job tells nodes epoch and number';

# fields 1000 to 1002 of a record: a number, bytes, 64 bits
$r = proto_encode('Record', { %$r, offset => "\xff" x 16, body => 'later' })
    . "\xc0\x3e\x05" . "\xca\x3e\x03abc" . "\xd1\x3e" . 'x' x 8;
$c->redis->cmd('EVAL', "return redis.call('XADD', KEYS[1], ARGV[1] .. '-*',
    'd', ARGV[2])", 1, 'goim:node:comet-1', $c->redis->cmd('HGET', 'goim:life',
    'n'), proto_encode('Delivery', { epoch => $d->{epoch} })
    . "\x12" . chr(length $r) . $r);
is $client{ws}->push->{body}, 'later', 'a node takes what it knows';

done_testing;
