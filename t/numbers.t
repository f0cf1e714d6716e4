# LONG
#
# Items of rooms with history have numbers: dense, one body each, in the order
# of the bus, stored before a node has them, and the same whatever dies
# meanwhile. On both buses.

use strict;
use warnings;

use lib 't/lib';
use Goim::Beside;
use Goim::Bus;
use Goim::Job;
use Goim::Kafka;
use Goim::Node;
use Goim::Proto qw(proto_decode);
use Goim::Redis;
use Goim::Test;

use Time::HiRes qw(time sleep);

my $seed = $ENV{GOIM_SEED} || time() * 1000 % 1000000;
srand $seed;
diag "GOIM_SEED=$seed";

my @ROOMS = map { "live://$_" } 1 .. 6;
my ($driver, $redis, $bus, @job, @node, %sent, $n);

each_bus(sub {
    ($driver) = @_;
    over();
});

sub over {
    $redis = Goim::Redis->new;
    my $kafka = $driver eq 'kafka' ? Goim::Kafka->new(partitions => 4) : undef;
    $bus = Goim::Bus->new(redis => $redis, kafka => $kafka);
    $kafka->produce('goim-push-topic', 'k', "\xff") if $kafka;  # makes it
    @node = map { Goim::Node->new(redis => $redis, server => "comet-$_")
        ->register } 1 .. 2;

    @job = map { Goim::Job->new(redis => $redis->addr, bus => $driver,
        $kafka ? (kafka => $kafka->addr) : (), stopped => 1, conf => {
            history => { live => '100000 10m', dedup => '5m' },
            registry => { ttl => '1h', renew => '100ms' },
            bus => { partitions => 4 }, job => { stream_maxlen => 1000000 },
        }) } 1 .. 2;
    $job[0]->start;
    wait_for { $job[0]->health->{status} == 200 } 30, 'job has all it needs';

    ($n, %sent) = (0);

    subtest 'numbers' => \&numbers;
    subtest 'repeats' => \&repeats;
    subtest 'kill -9 at random' => \&killed;
    subtest 'another [history]' => \&changed;
    subtest 'a full Redis' => \&full;

    $_->stop for grep { $_->alive } @job;
    $kafka->stop if $kafka;
    $redis->stop;
}

# ---- what is written and what comes of it ------------------------------------

sub home { return Goim::Bus::partition($_[0], 4) }

sub record {
    my ($room, %more) = @_;
    return { type => 'ROOM', room => $room, operation => 1000,
        msg => 'b' . $n++, %more };
}

# Items in each room, and what has no number between them.
sub produce {
    my ($many) = @_;
    for my $room (@ROOMS) {
        my @items = map { record($room) } 1 .. $many;
        push @{ $sent{$room} }, map { $_->{msg} } @items;
        $bus->write(home($room), $items[0], record('chat://1'),
            record($room, past => 1), @items[1 .. $#items]);
    }
}

sub stored {
    my ($room) = @_;
    my $p = home($room);
    return map {
        my ($seq) = $_->[0] =~ /^(\d+)-0$/;
        my %field = @{ $_->[1] };
        [$seq, proto_decode('Record', $field{r})->{body}];
    } @{ $redis->cmd('XRANGE', "goim:{$p}:items:$room", '-', '+') };
}

# Everything sent is stored, and with each node under the same number.
sub check {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for {
        $_->read for @node;
        !grep { my $node = $_;
            grep { my $room = $_;
                my %has = map { $_->{body} => 1 }
                    grep { $_->{room} eq $room } @{ $node->{records} };
                grep { !$has{$_} } @{ $sent{$room} } } @ROOMS } @node;
    } 60, 'all is with the nodes';

    my (@wrong, %kept);
    for my $room (@ROOMS) {
        my @items = stored($room);
        my $epoch = $redis->cmd('HGET', 'goim:{' . home($room)
            . "}:meta:$room", 'epoch');
        my $from = @items ? $items[0][0] - 1 : 0;
        push @wrong, "$room: a hole before $items[$_][0]"
            for grep { $items[$_][0] != $_ + 1 + $from } 0 .. $#items;
        push @wrong, "$room: " . join ' ', map { $_->[1] } @items
            if join(' ', map { $_->[1] } @items) ne "@{ $sent{$room} }";
        $kept{"$room $epoch $_->[0]"} = $_->[1] for @items;
    }

    for my $node (@node) {
        my %last;
        for my $r (grep { $_->{seq} && $sent{ $_->{room} } }
            @{ $node->{records} })
        {
            my $what = "$r->{room} $r->{timeline} $r->{seq}";
            push @wrong, "$what: $r->{body}"
                if ($kept{$what} // '') ne $r->{body};
            push @wrong, "$what: after $last{$r->{room}}"
                if ($last{ $r->{room} } // 0) >= $r->{seq};
            $last{ $r->{room} } = $r->{seq};
        }
    }
    $#wrong = 4 if @wrong > 5;
    is "@wrong", '', $name;
}

sub counter {
    my ($name) = @_;
    my $sum = 0;
    $sum += $_->metrics->{$name} // 0 for grep { $_->alive } @job;
    return $sum;
}

# ---- the tests ---------------------------------------------------------------

sub numbers {
    produce(3) for 1 .. 4;
    check('numbered, stored, the same at the nodes');

    my @loose = grep { !$_->{seq} } @{ $node[0]{records} };
    is scalar(@loose), 2 * 4 * @ROOMS, 'what has no number came, too';
    is_deeply [grep { $_->{timeline} ne '' } @loose], [], 'and has no epoch';
    is counter('goim_job_numbered_total'), 12 * @ROOMS, 'counted';

    my $room = 'live://9';
    my $meta = 'goim:{' . home($room) . "}:meta:$room";
    $bus->write(home($room), record($room));
    eventually { $redis->cmd('EXISTS', $meta) } 10, 'another room';
    $bus->write((home($room) + 1) % 4, record($room));
    eventually { counter('goim_job_unnumbered_total{reason="partition"}') == 1 }
        10, 'in a partition that is not the room\'s';
    $_->read for @node;
    eventually { $node[0]->read; $node[0]{records}[-1]{body} eq 'b' . ($n - 1) }
        10, 'goes out, without a number';
    ok !$redis->cmd('EXISTS', $meta), 'and who recovers there is told';
}

sub repeats {
    my $room = $ROOMS[1];
    my $at = int(time() * 1000);
    my $first = record($room, id => 'one', at => $at);
    push @{ $sent{$room} }, $first->{msg};
    $bus->write(home($room), $first, record($room, id => 'one', at => $at + 9),
        record('chat://1', id => 'one', at => $at),
        record('chat://1', id => 'one', at => $at));
    $bus->write(home($room), my $other = record($room, id => 'one',
        sender => '7', at => $at));
    push @{ $sent{$room} }, $other->{msg};

    check('a repeat is left out');
    is counter('goim_job_repeats_total'), 1, 'counted';

    # goim's records have no time
    my @two = map { record($room, id => 'two') } 1 .. 2;
    push @{ $sent{$room} }, map { $_->{msg} } @two;
    $bus->write(home($room), @two);
    check('without a time there are none');
}

sub killed {
    $job[1]->start;
    my $until = time() + 5;

    while (time() < $until) {
        produce(1 + int rand 5);
        sleep rand 0.2;
        my $job = $job[rand @job];
        $job->kill9;
        sleep rand 0.1;
        $job->start;
    }
    check('dense, one body each, all of them');
}

sub changed {
    my ($room) = $ROOMS[0];
    my $meta = 'goim:{' . home($room) . "}:meta:$room";
    my $epoch = $redis->cmd('HGET', $meta, 'epoch');

    $_->stop for @job;
    $job[0]->start;
    produce(1);
    check('the same [history], the same epochs');
    is $redis->cmd('HGET', $meta, 'epoch'), $epoch, 'the same';

    # who starts last says what is kept; the other one learns it
    $job[1]->configure({ history => { live => '100000 9m' } });
    $job[1]->start;
    wait_for { $redis->cmd('HGET', 'goim:history', 'text') =~ /540000/ } 20,
        'written';
    %sent = ();
    $_->{records} = [] for @node;
    produce(2);
    check('another one: numbers begin anew');
    isnt $redis->cmd('HGET', $meta, 'epoch'), $epoch, 'with another epoch';
    $job[1]->stop;
}

sub full {
    my ($used) = $redis->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
    produce(1);
    $redis->cmd('CONFIG', 'SET', 'maxmemory', int $used * 0.97);
    produce(1) if $driver eq 'kafka';
    check('numbered in a full Redis');
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
}

done_testing;
