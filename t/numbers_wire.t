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
