# An item is damaged in the ring, where one of two workers has yet to take it:
# that worker leaves it out, and who recovers gets it all the same, in order and
# once, from the room's history.

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 }, job => { conf => {
    history => { live => '300 10m' } } });
my $node = $c->node;
allow_log(qr/a damaged entry in the ring/);

wait_for {
    $c->api->get('/goim/room/position', type => 'live', room => 0)->{data}
} 20, 'logic knows which rooms have a history';

sub say_one {
    is $c->api->room(1000, 'live', '1', $_[0])->{code}, 0, "$_[0] is taken";
}

my @f;
my ($other) = grep { $_ != $node->status->{reader_pid} } $node->workers;
for my $i (1 .. 16) {
    push @f, $c->client(key => "k$i", room => 'live://1', recover => {},
        transport => $i % 2 ? 'ws' : 'tcp');
    $f[-1]->position(20) or die "k$i is not told";
}

say_one('first');
is $_->push->{body}, 'first', 'an item' for @f;

# The zone is the only large piece of shared memory: one byte of the text there
# becomes another one. How often it was there.
sub damage {
    my ($text) = @_;
    no warnings 'portable';
    my $n = 0;
    my $pid = $node->master;
    open my $maps, '<', "/proc/$pid/maps" or die "maps: $!";
    open my $mem, '+<:raw', "/proc/$pid/mem" or die "mem: $!";

    for (<$maps>) {
        my ($from, $to, $how) = /^(\w+)-(\w+) (\S+)/ or next;
        ($from, $to) = map { hex } $from, $to;
        next if $how ne 'rw-s' || $to - $from < 1024 * 1024;
        sysseek $mem, $from, 0 or die "seek: $!";
        my $got = 0;
        my $bytes = '';
        while ($got < $to - $from) {
            my $read = sysread $mem, $bytes, 1024 * 1024, $got or last;
            $got += $read;
        }
        for (my $at = -1; ($at = index $bytes, $text, $at + 1) >= 0; ) {
            sysseek $mem, $from + $at, 0 or die "seek: $!";
            syswrite($mem, 'X') == 1 or die "write: $!";
            $n++;
        }
    }
    return $n;
}

my $body = 'damaged in the ring';
hit 'STOP', $other;
say_one($body);
ok(Goim::Client->pump_all(\@f, 10, sub { grep { @{ $_->{pushes} } } @f }),
    'one worker has it');
is damage($body), 1, 'it lies in the ring once';
hit 'CONT', $other;

is $_->push(20)->{body}, $body, 'all get it' for @f;
is $node->status->{counters}{corrupt}, 1, 'those of the other one elsewhere';

say_one('last');
for my $client (@f) {
    my $p = $client->push(20);
    is "$p->{seq} $p->{body}", '3 last', 'what comes then';
    is_deeply [@{ $client->{positions} }, @{ $client->{pushes} }], [],
        'nothing twice, and nobody is told of anything';
}

done_testing;
