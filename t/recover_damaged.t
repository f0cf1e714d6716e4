# An item of a history that is damaged in Redis, or has gone from between others,
# is given up: who lacks it is told so, once, and goes on; nobody waits for ever,
# neither clients nor backends.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(nginx => { tcp => 1 }, job => { conf => {
    history => { live => '300 10m' } } });
my $api = $c->api;
my $redis = $c->redis;

sub place {
    my ($room) = @_;
    return $api->get('/goim/room/position', type => 'live', room => $room)
        ->{data};
}

sub items {
    my ($room, %arg) = @_;
    return $api->get('/goim/room/history', type => 'live', room => $room, %arg)
        ->{data};
}

sub seqs { return join ' ', map { $_->{seq} } @{ $_[0]{items} || [] } }

sub say_one {
    my ($room, $body) = @_;
    my $code = $api->post('/goim/push/room', [operation => 1000,
        type => 'live', room => $room], $body)->{code};
    die "push: $code\n" if $code;
}

sub enters {
    my ($room, %was) = @_;
    return $c->client(key => "$room" . ++$c->{clients}, room => "live://$room",
        transport => $c->{clients} % 2 ? 'ws' : 'tcp',
        recover => %was ? { "live://$room" => \%was } : {});
}

# what it is told: its number, the oldest one, whether it was recovered
sub told {
    my ($client, $room) = @_;
    my $p = ($client->position(20) || {})->{"live://$room"} || {};
    my $r = $p->{recovered};
    return join ' ', $p->{seq} // '-', $p->{first} // '-',
        defined $r ? $r ? 'true' : 'false' : 'none';
}

sub numbers { return join ' ', map { $_->{seq} } $_[0]->pushes($_[1], 10) }

# entries of the room's stream are put back with these changed: [] has gone
sub damage {
    my ($room, %new) = @_;
    my ($key) = @{ $redis->cmd('KEYS', "goim:{*}:items:live://$room") };
    my %was = map { @$_ } @{ $redis->cmd('XRANGE', $key, '-', '+') };
    my %list = map { /^(\d+)-0$/ ? ($1 => $was{$_}) : () } keys %was;
    $redis->cmd('DEL', $key);
    @list{keys %new} = values %new;
    for my $n (sort { $a =~ s{-.*}{}r <=> $b =~ s{-.*}{}r } keys %list) {
        my @f = @{ $list{$n} } or next;
        $redis->cmd('XADD', $key, $n =~ /-/ ? $n : "$n-0", @f);
    }
}

wait_for { place('any') } 20, 'logic knows which rooms have a history';

my @p = (p => '0-1');
my %kind = (
    garbage => { 10 => [@p, r => "\xff\xff\xff"] },
    empty => { 10 => [@p, r => ''] },
    other => { 10 => [@p, x => 'r'] },
    short => { 10 => [p => 1] },
    keys => { 10 => [@p, r => "\x08\x00"] },    # a Record of another kind
    gone => { 10 => [] },
    two => { 8 => [], 10 => [@p, r => ''] },
    stranger => { 10 => [], '10-1' => [p => 1, r => 2] },
    large => { 10 => [@p, r => 'x' x 5_400_000] },
);

for my $kind (sort keys %kind) {
    my $room = $kind;
    my $epoch = place($room)->{epoch};
    my $live = enters($room);
    is told($live, $room), '0 1 none', "$kind: who is there";
    say_one($room, "i$_") for 1 .. 20;
    is numbers($live, 20), join(' ', 1 .. 20), "$kind: has all";
    damage($room, %{ $kind{$kind} });

    my $a = enters($room, epoch => $epoch, seq => 2);
    is told($a, $room), '20 11 false', "$kind: who lacks it is told";
    is told(enters($room, epoch => $epoch, seq => 9), $room), '20 11 false',
        "$kind: from right before it, too";

    my $b = enters($room, epoch => $epoch, seq => 10);
    like told($b, $room), qr/^10 \d true$/, "$kind: who has it recovers";
    is numbers($b, 10), join(' ', 11 .. 20), "$kind: what is behind it";

    my $d = enters($room, last => 15);
    is told($d, $room), '10 11 none', "$kind: the newest 15 are 10";
    is numbers($d, 10), join(' ', 11 .. 20), "$kind: which come";

    my $page = items($room, after => 2);
    is_deeply [@$page{qw(first items)}], [11, undef],
        "$kind: a backend can't have what is behind 2";
    is seqs(items($room, after => 10)), join(' ', 11 .. 20),
        "$kind: but behind 10";
    is seqs($page = items($room)), join(' ', 11 .. 20), "$kind: the newest";
    is $page->{first}, 11, "$kind: from where that is";
    is seqs(items($room, before => 15)), join(' ', 11 .. 14),
        "$kind: those before 15";

    say_one($room, 'more');
    is numbers($_, 1), '21', "$kind: all go on" for $live, $a, $b, $d;
    is scalar(map { @{ $_->{positions} } } $live, $a, $b, $d), 0,
        "$kind: and are told nothing more";
    $_->drop for $live, $a, $b, $d;
}

# ---- the newest ones ---------------------------------------------------------

my $epoch = place('end')->{epoch};
say_one('end', "i$_") for 1 .. 20;
wait_for { place('end')->{seq} == 20 } 20, 'all have a number';
damage('end', map { $_ => [] } 18 .. 20);
my $e = enters('end', epoch => $epoch, seq => 17);
is told($e, 'end'), '20 21 false', 'the newest are gone: it is told';
is told(enters('end', last => 5), 'end'), '20 21 none', 'none of the newest';
say_one('end', 'more');
is numbers($e, 1), '21', 'it goes on';

# ---- nobody asks for ever ----------------------------------------------------

cmp_ok $c->logic->metrics->{goim_logic_reads_broken_total}, '>', 9 * 5,
    'each is counted';
like $c->logic->logs, qr/history of room live:\/\/\w+: an item before \d+ is missing or none/,
    'and said';
my $reads = $c->node->status->{counters}{history_reads};
select undef, undef, undef, 2.5;
is $c->node->status->{counters}{history_reads}, $reads,
    'nobody asks for it any more';

done_testing;
