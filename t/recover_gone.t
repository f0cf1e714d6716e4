# ASAN: no
#
# Histories that are outrun, age, are evicted or deleted while clients read them,
# and clients that read slowly or stop: who can't have all is told so, who
# can has all, and nobody else waits for them.

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Client;
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Proxy;
use Goim::Redis;
use Goim::Test;

my $ITEM = 30_000;
my $json = JSON::PP->new->canonical;

# the node's logic has a way to Redis that can be held, backends another logic;
# and there is a port whose sockets take little ahead
my $redis = Goim::Redis->new;
my $way = Goim::Proxy->new(to => $redis->{port});
my %one = (bus => { partitions => 1 });
my ($logic, $other) = map { Goim::Logic->new(redis => $_, conf => { %one }) }
    $way->addr, $redis->addr;
my $job = Goim::Job->new(redis => $redis->addr, conf => { %one, history => {
    live => '300 10m', short => '20 10m', aged => '300 2s' } });
my $narrow = free_port();
my $node = Goim::Nginx->new(redis => $redis->addr, workers => 2,
    logic => [$logic->rpc_addr],
    server => "listen 127.0.0.1:$narrow sndbuf=8k;");
my ($n, %said) = (0);

$node->wait_registered(30);
for my $l ($logic, $other) {
    wait_for { position('live', 'x', $l) } 30,
        'logic knows which rooms have a history';
}

sub position {
    my ($type, $room, $l) = @_;
    return ($l || $other)->api->get('/goim/room/position', type => $type,
        room => $room)->{data};
}

sub count { return $node->status->{counters}{$_[0]} }

# so many items more
sub say_more {
    my ($name, $many, $size) = @_;
    my ($type, $room) = split m{://}, $name;
    for (1 .. $many) {
        my $body = ++$said{$name} . ' ' . 'x' x ($size // $ITEM);
        my $code = $other->api->room(1000, $type, $room, $body)->{code};
        die "push: $code\n" if $code;
    }
}

# until they have their numbers, which are $said's while an epoch lasts
sub numbered {
    my ($name) = @_;
    my ($type, $room) = split m{://}, $name;
    wait_for { position($type, $room)->{seq} == $said{$name} } 20, 'numbers';
    return position($type, $room);
}

sub items { return 'goim:{0}:items:' . $_[0] }
sub gone  { return !$redis->cmd('EXISTS', items($_[0])) }

# ---- who follows -------------------------------------------------------------

# It is in no room yet; placed: how often it was told where it is; told: of what it
# had when it was told of a loss; said: the last that came.
sub client {
    my (%arg) = @_;
    return { told => [], placed => 0, client => Goim::Client->new(port => $node->{port},
        key => 'k' . ++$n, recover => {}, accepts => [1000], %arg) };
}

# to a room, with the position of an item; and reads nothing
sub enter {
    my ($f, $name, $at, $seq) = @_;
    @$f{qw(room epoch last said)} = ($name, $at->{epoch}, $seq, $seq);
    $f->{client}->send(12, $json->encode({ $name => { epoch => $at->{epoch},
        seq => $seq + 0 } }));
    return $f;
}

# what has come, in its order
sub take {
    my ($f) = @_;
    for ($f->{client}->arrived) {
        my ($what, $p) = @$_;
        if ($what eq 'positions') {
            place($f, $p->{ $f->{room} });
        } elsif ($what eq 'pushes') {
            my ($said) = $p->{body} =~ /^(\d+) /;
            $f->{wrong} //= "$p->{seq} ($said) after $f->{last} ($f->{said})"
                if $p->{seq} != $f->{last} + 1
                    || !$f->{free} && $said != $f->{said} + 1;
            @$f{qw(last said free)} = ($p->{seq}, $said, 0);
        }
    }
}

sub place {
    my ($f, $p) = @_;
    return if !$p;
    $f->{placed}++;
    $f->{wrong} //= "put to $p->{seq}, after $f->{last}"
        if $p->{recovered} && ($p->{seq} != $f->{last}
            || $p->{epoch} ne $f->{epoch});
    push @{ $f->{told} }, $f->{last} if !$p->{recovered};
    @$f{qw(epoch last)} = @$p{qw(epoch seq)};
    $f->{free} = !$p->{recovered};
}

# and is told that it recovers
sub here {
    my (@enter) = @_;
    my $f = enter(client(), @enter);
    wait_for { take($f); $f->{placed} } 20, 'it is there';
    return $f;
}

# they are where the room is, and were told of a loss, or not
sub follow_on {
    my ($name, $told, @f) = @_;
    eventually {
        take($_) for @f;
        !grep { $_->{last} != position(split m{://}, $_->{room})->{seq} } @f;
    } 30, "$name: all have the newest item";
    is join('; ', grep { defined } map { $_->{wrong} } @f), '',
        "$name: each item once, in order";
    is_deeply [map { @{ $_->{told} } > 0 ? 1 : 0 } @f], [($told) x @f],
        "$name: who is told";
    $_->{client}->drop for @f;
}

# Who reads the history of a room from its beginning, and stops in the midst of it:
# it has taken some pages, and is behind.
sub stopped {
    my ($name) = @_;
    my $f = client(port => $narrow);
    my $at = numbered($name);
    my $reads = count('history_reads');
    enter($f, $name, $at, 0);
    wait_for { count('history_reads') > $reads } 20, 'it is read';
    wait_for {
        $reads = count('history_reads');
        sleep 0.1;
        count('history_reads') == $reads;
    } 20, 'as far as it takes it';
    return $f;
}

# ---- outrun ------------------------------------------------------------------

for (['is kept', 'live://outrun', 300, 0], ['is longer than what waits',
    'live://long', $ITEM, 0], ['is not kept', 'short://outrun', 300, 1])
{
    my ($name, $room, $size, $told) = @$_;
    say_more($room, 5, $size);
    my $at = numbered($room);
    my @here = map { here($room, $at, 5) } 1 .. 2;
    my @back = map { client() } 1 .. 3;
    $way->hold;
    enter($_, $room, $at, 2) for @back;
    say_more($room, 60, $size);
    numbered($room);
    $way->release;
    take($_) for @here;
    say_more($room, 1, $size);
    follow_on("while it is read more comes, and what comes $name", $told,
        @back);
    follow_on('who was there', 0, @here);
}

my $room = 'short://pages';
say_more($room, 36);
my $f = stopped($room);
say_more($room, 60);
numbered($room);
follow_on('outrun between two pages', 1, $f);
cmp_ok $f->{told}[0], '>', 0, '... after some of it';

# ---- aged --------------------------------------------------------------------

$room = 'aged://1';
say_more($room, 36);
$f = stopped($room);
my $at = numbered($room);
wait_for { say_more('live://else', 1, 1); gone($room) } 30, 'it has aged';
my ($there, $behind) = map { enter(client(), $room, $at, $_) } 36, 35;
eventually { take($_) for $there, $behind; @{ $behind->{told} } } 20,
    'who comes back is told at once';
say_more($room, 1);
follow_on('aged between two pages, and while it was away', 1, $f, $behind);
follow_on('who lacked nothing of it', 0, $there);
is $there->{last}, 37, 'numbers go on';

# ---- evicted, deleted --------------------------------------------------------

# what has not been used for the longest, until this one goes
sub evict {
    my ($room) = @_;
    my %was = map { $_ => $redis->cmd('CONFIG', 'GET', $_)->[1] }
        qw(maxmemory maxmemory-policy maxmemory-samples);
    $redis->cmd('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru',
        'maxmemory-samples', 64);
    wait_for {
        my ($used) = $redis->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
        $redis->cmd('CONFIG', 'SET', 'maxmemory', int $used * 0.95);
        $redis->cmd('GET', 'x');
        gone($room);
    } 20, 'it is evicted';
    $redis->cmd('CONFIG', 'SET', %was);
}

my %loss = (
    evicted => \&evict,
    deleted => sub { $redis->cmd('DEL', items($_[0])) },
    'deleted, with its numbers,' => sub {
        $redis->cmd('DEL', items($_[0]), 'goim:{0}:meta:' . $_[0]);
    },
);

for my $name (sort keys %loss) {
    my $room = 'live://' . substr $name, 0, 9;
    my $all = $name =~ /numbers/ ? 1 : 0;
    say_more($room, 36);
    my $f = stopped($room);
    my $there = here($room, numbered($room), 36);
    wait_for {
        say_more('live://else', 1, 1);
        $redis->cmd('PTTL', items($room)) > 0;
    } 20, 'it has its time';
    $loss{$name}->($room);
    say_more($room, 1);
    follow_on("$name between two pages", 1, $f);
    follow_on("$name, who was there", $all, $there);
}

# ---- clients that read slowly, or stop ---------------------------------------

# so many bits of so many bytes
sub trickles {
    my ($f, $many, $bits) = @_;
    my $s = $f->{client}{t}->socket;
    for (1 .. $many) {
        sysread $s->{sock}, $s->{buf}, $bits, length $s->{buf};
        sleep 0.005;
    }
}

$room = 'live://slow';
say_more($room, 60);
my $fast = here($room, numbered($room), 60);
my ($late, $trickle) = map { stopped($room) } 1 .. 2;
for (1 .. 10) {
    say_more($room, 1, 300);
    trickles($trickle, 10, 8000);
}
follow_on('who reads', 0, $fast);
follow_on('who reads on after a while, or by bits', 0, $late, $trickle);

$node->{goim}{send_timeout} = '1s';
$node->configure;
$node->reload;
eventually { !$node->draining } 20, 'who takes nothing is closed sooner';
$fast = here($room, numbered($room), 70);
my $before = count('send_timeouts');
my @stops = map { stopped($room) } 1 .. 4;
say_more($room, 1, 300);
eventually { count('send_timeouts') == $before + @stops } 30,
    'who takes nothing is closed';
follow_on('who reads', 0, $fast);

# the end of the connection comes behind what it holds
for my $f (@stops) {
    eventually { take($f); $f->{client}{t}->socket->eof } 20,
        'it reads to the end';
    cmp_ok $f->{last}, '<', 60, '... which was in the midst of a history';
    my $at = { epoch => $f->{epoch} };
    $f->{client}->drop;
    $f->{client} = client()->{client};
    enter($f, $room, $at, $f->{last});
}
follow_on('and comes back, with its position', 0, @stops);

done_testing;
