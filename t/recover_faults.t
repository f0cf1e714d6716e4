# Who recovers loses nothing to a worker that dies, a reload, a ring that was
# overwritten, a hole in the node's stream or a socket that is read late; and
# costs nobody else anything.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1, ssl => 1, goim => {
    zone => 'goim 4m', drain => '2s' } }, job => { conf => {
    history => { live => '300 10m' } } }, logic => { conf => {
    http => { max_body => '120k' } } });
my ($node, $api) = ($c->node, $c->api);
my %n;

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

sub count { return $node->status->{counters}{$_[0]} }

# items 1, 2, ... of a room, each so long
sub say_more {
    my ($room, $many, $size) = @_;
    for (1 .. $many) {
        my $body = 'i' . ++$n{$room} . ' ';
        my $res = $api->post('/goim/push/room', [operation => 1000,
            type => 'live', room => $room], $body . 'x' x ($size // 0));
        die "push: $res->{code}\n" if $res->{code};
    }
}

# ---- who follows -------------------------------------------------------------

my $keys = 0;

sub follow {
    my ($room, %arg) = @_;
    my $f = { room => $room, arg => \%arg, key => 'f' . ++$keys, told => 0,
        last => 0 };
    come($f);
    return $f;
}

sub come {
    my ($f) = @_;
    my $room = "live://$f->{room}";
    $f->{client} = $c->client(key => $f->{key}, room => $room, %{ $f->{arg} },
        recover => $f->{epoch} ? { $room => { epoch => $f->{epoch},
            seq => $f->{last} } } : {});
    $f->{back} = $f->{epoch} ? 1 : 0;
    $f->{placed} = 0;
    take_position($f, $f->{client}->position(20) || die "no position\n");
}

# Where it is: as it says itself, if it was somewhere.
sub take_position {
    my ($f, $map) = @_;
    my $p = $map->{"live://$f->{room}"};
    if ($f->{epoch} && ($p->{epoch} ne $f->{epoch} || $p->{seq} != $f->{last}
        || !$p->{recovered}))
    {
        $f->{told}++;
    }
    @$f{qw(epoch last)} = @$p{qw(epoch seq)};
}

# what has come is all that follows
sub take {
    my ($f) = @_;
    my $client = $f->{client};
    $client->pump;
    for my $p (splice @{ $client->{pushes} }) {
        my ($i) = $p->{body} =~ /^i(\d+) /;
        $f->{wrong} //= "$p->{seq} ($i) after $f->{last}"
            if $p->{seq} != $f->{last} + 1 || $i != $p->{seq};
        $f->{last} = $p->{seq};
    }
    take_position($f, $_) for splice @{ $client->{positions} };
}

sub all_have {
    my ($name, @f) = @_;
    my $within = $name =~ /soon$/ ? 8 : 30;
    eventually {
        take($_) for @f;
        !grep { $_->{last} != $n{ $_->{room} } } @f;
    } $within, "$name: all have all";
    is(join('; ', grep { defined } map { $_->{wrong} } @f), '',
        "$name: each once, in order");
    is((grep { $_->{told} } @f) + 0, 0, "$name: nobody was told otherwise");
}

sub transport { return transport => (qw(ws tcp wss))[$_[0] % 3] }

# at least 6, until each worker has one
sub follow_all {
    my ($room) = @_;
    my %has = map { $_ => 0 } $node->workers;
    my @f;
    while (@f < 6 || (grep { !$_ } values %has) && @f < 100) {
        my %before = map { $_ => descriptors($_) } keys %has;
        push @f, follow($room, transport(scalar @f));
        $has{$_} ||= descriptors($_) > $before{$_} for keys %has;
    }
    return @f;
}

sub descriptors { return scalar(() = glob "/proc/$_[0]/fd/*") }

# ---- a worker dies -----------------------------------------------------------

my @f = follow_all('a');
my $plain = $c->client(key => 'plain', room => 'live://a');
say_more('a', 20);
all_have('at first', @f);
my ($victim) = grep { $_ != $node->reader } $node->workers;
hit KILL => $victim;
say_more('a', 20);
my $came = 0;
eventually {
    for (@f) {
        take($_);
        next if !$_->{client}{t}->socket->eof;
        come($_);
        $came++;
    }
    !grep { $_->{last} != 40 } @f;
} 30, 'who was lost comes back';
cmp_ok $came, '>', 0, 'some were';
say_more('a', 5);
all_have('a worker dies', @f);
allow_log(qr/exited on signal 9/);

# ---- a reload ----------------------------------------------------------------

my $before = count('drained');
$node->reload;
my (%bye, %code);
eventually {
    say_more('a', 1);
    for (@f) {
        take($_);
        my $client = $_->{client};
        my $code = $client->closed(0) or next;
        take($_);
        next if $_->{moved}++;
        my $bye = shift @{ $client->{byes} };
        $bye{ $bye ? "$bye->{code} $bye->{again}" : 'none' }++;
        $code{ $client->{tcp} ? 'tcp' : $code }++;
        come($_);
    }
    !grep { !$_->{moved} } @f;
} 40, 'all are sent away, and come back';
is_deeply [keys %bye], ['1012 1'], 'they are asked to come back at once';
is_deeply [sort keys %code], [1012, 'tcp'], 'WebSocket has its close code';
say_more('a', 5);
all_have('a reload', @f);
eventually { !$node->draining } 20, 'the old workers leave';
$_->{client}->drop for @f;
$plain->drop;

# ---- the ring was overwritten ------------------------------------------------

@f = follow_all('b');
my @still = follow_all('still');
say_more($_, 1) for qw(b still);
all_have('before', @f, @still);
my $lapped = count('lapped');
my ($stopped) = grep { $_ != $node->reader } $node->workers;
hit STOP => $stopped;
say_more('still', 1);
say_more('b', 60, 100_000);
eventually { take($_) for @f; grep { $_->{last} == 61 } @f } 30,
    'those of the other worker do not wait';
hit CONT => $stopped;
all_have('the ring was overwritten, where nothing more is said, soon', @still);
all_have('the ring was overwritten', @f);
cmp_ok count('lapped'), '>', $lapped, 'as it was';
$_->{client}->drop for @f, @still;

# ---- a hole in the stream ----------------------------------------------------

my @quiet = map { follow('quiet', transport($_)) } 1 .. 4;
my @busy = map { follow('busy', transport($_)) } 1 .. 2;
say_more($_, 1) for qw(quiet busy);
all_have('before', @quiet, @busy);
my @workers = $node->workers;
hit STOP => @workers;
my $stream = 'goim:node:comet-1';

# the id of the newest entry, once it is of that item
sub entry_of {
    my ($item) = @_;
    my $last;
    wait_for {
        ($last) = @{ $c->redis->cmd('XREVRANGE', $stream, '+', '-', 'COUNT',
            1) };
        $last && $last->[1][1] =~ /$item /;
    } 20, "$item is in the stream";
    return $last->[0];
}

say_more('busy', 1);        # the reader is answered this one already
entry_of('i2');
say_more('quiet', 1);
say_more('quiet', 1);
$c->redis->cmd('XDEL', $stream, entry_of('i3'));
say_more('busy', 1);
hit CONT => @workers;

# heads are asked for at once, not after 40 s
all_have('the last item of a quiet room was lost, soon', @quiet, @busy);
cmp_ok count('holes'), '>', 0, 'there was a hole';
$_->{client}->drop for @quiet, @busy;

# ---- a client that reads late ------------------------------------------------

@f = map { follow('slow', transport($_)) } 1 .. 3;
my $fast = follow('slow');
for (1 .. 12) {
    say_more('slow', 10, 100_000);
    all_have('one that reads', $fast);
}
is count('slow_closed'), 0, 'nobody is closed for that';
all_have('who reads late', @f);
$_->{client}->drop for @f, $fast;

# ---- a socket that takes nothing ---------------------------------------------

$node->{goim} = { %{ $node->{goim} }, send_timeout => '1s',
    queue_size => '64m' };
$node->configure;
$node->reload;
my $dead = $c->client(key => 'dead', room => 'live://dead');
$api->room(1000, 'live', 'dead', 'x' x 100_000) for 1 .. 150;
eventually { count('send_timeouts') == 1 } 30, 'is closed in time';
eventually { $dead->closed(0) } 20, 'as the client sees when it reads';

# ---- Redis has lost everything -----------------------------------------------

@f = map { follow($_, transport(1)) } qw(c silent);
say_more($_->{room}, 3) for @f;
all_have('before', @f);
$c->redis->cmd('FLUSHALL');
eventually {
    $api->room(1000, 'live', 'c', 'i0 ');
    take($_) for @f;
    !grep { !$_->{told} } @f;
} 30, 'all are told, also in a room that is silent';
eventually {
    take($_) for @f;
    $api->get('/goim/room/position', type => 'live', room => 'c')
        ->{data}{epoch} eq $f[0]{epoch};
} 30, 'and are where the room is';
$_->{client}->drop for @f;

done_testing;
