# ASAN: no
# The rules of numbers, as number.lua, read.lua and heads.lua have them: random
# schedules on a real Redis, with crashes between any two steps, two owners,
# answers that are lost, repeats, items that expire or are deleted, and a Redis
# that goes back to what it had before; over both buses. Then:
#
# - a number has one body in its epoch, whoever asks, and a body one number;
# - who recovers has all that was accepted since it came, or was told so, and
#   is told so only when something can be gone;
# - a repeat comes nowhere; nothing else is dropped.
#
# GOIM_SEED and GOIM_ROUNDS choose; a failure names its round, which
# GOIM_ROUND=N runs alone.

use strict;
use warnings;

use lib 't/lib';
use Goim::Redis;
use Goim::Test;

my $seed = $ENV{GOIM_SEED} // int rand 1e6;
my $rounds = $ENV{GOIM_ROUNDS} // 2000;
my $root = root_dir();
my $redis = Goim::Redis->new(conf => { appendonly => 'no' });

my @ROOMS = ('live://1', 'live://2');
my $LEASE = 'goim:{0}:lease:bus';
my $DONE = 'goim:{0}:done';
my $DEDUP = 1500;

# ---- scripts -----------------------------------------------------------------

my %sha = map {
    my $body = `cd '$root' && awk -f tools/lua.awk $_`;
    m{(\w+)\.lua$} ? ($1 => $redis->cmd('SCRIPT', 'LOAD', $body)) : ();
} qw(job/lua/number.lua logic/lua/read.lua logic/lua/heads.lua);

$sha{dump} = $redis->cmd('SCRIPT', 'LOAD', <<'LUA');
local out = {}
for _, k in ipairs(redis.call('KEYS', '*')) do
    out[#out + 1] = k
    out[#out + 1] = redis.call('DUMP', k)
    out[#out + 1] = tostring(math.max(redis.call('PTTL', k), 0))
end
return out
LUA

$sha{restore} = $redis->cmd('SCRIPT', 'LOAD', <<'LUA');
redis.call('FLUSHDB')
for i = 1, #ARGV, 3 do
    redis.call('RESTORE', ARGV[i], ARGV[i + 2], ARGV[i + 1])
end
LUA

sub eval_sha {
    my ($name, $keys, @args) = @_;
    my $rc = eval { $redis->cmd('EVALSHA', $sha{$name}, scalar @$keys, @$keys,
        @args) };
    return $rc if defined $rc || $@ eq '';
    return 'LIFE' if $@ =~ /^redis error: LIFE/;
    die $@;
}

# ---- the model ---------------------------------------------------------------

my %w;          # this round's world
my $word = 0;

sub chance { return rand() < $_[0] }
sub pick { return $_[rand @_] }
sub fail_round { die "wrong: $_[0]\n" }
sub is_done { return place($redis->cmd('HGET', $DONE, 'bus') // '') }
sub place { return $_[0] =~ /^(\d+)-(\d+)$/ ? $1 * 1e7 + $2 : -1 }

sub begin_world {
    my ($lived) = @_;
    %w = (
        lived => $lived, life => 100, l => 0, stamp => 1, on => 1, fence => 1,
        log => [], stream => [], read => 0, seen => -1, at => 1e6, n => 0,
        clock => 0, shared => chance(0.3), keep => pick(1, 3, 1000),
        burst => pick((1) x 9, 9),
        ids => {}, num => {}, of => {}, told => 0, harm => 0, forced => 0,
        gone => 0, committed => 0,
        may => { map { $_ => chance(0.4) } qw(back life expire force toggle) },
    );
    $w{snaps} = [];
    $redis->cmd('FLUSHDB');
    $redis->cmd('HSET', 'goim:life', 'n', $w{life});
    write_history();
    $w{owners} = [owner()];
    $w{clients} = [map { { room => pick(@ROOMS), on => 0 } } 1 .. 3];
}

sub history { return "bus 1 s$w{stamp}" }

sub write_history {
    $redis->cmd('HSET', 'goim:history', 'of', history(), 'lived', $w{lived});
}

# Whoever takes the lease; the one before does not know yet.
sub owner {
    $w{fence}++ if !$w{shared};
    $redis->cmd('SET', $LEASE, "job $w{fence} 1");
    my $o = { lease => "job $w{fence}" };
    restart($o);
    return $o;
}

# A process begins, behind what is done; where that is not known and the bus is
# Kafka, where it was begun, else where Kafka was told.
sub restart {
    my ($o) = @_;
    $o->{life} = $w{life};
    $o->{stamp} = $w{stamp};
    $o->{on} = $w{on};
    $o->{said} = '';
    $o->{queue} = [];
    $o->{taken} = is_done();
    $o->{since} = '';
    $o->{done} = undef;
    return if $o->{taken} >= 0 || $w{lived};

    my $since = place($redis->cmd('HGET', $DONE, 'bus since') // '');
    $since = $w{committed} if $since < 0;
    $o->{since} = "0-$since";
    $o->{taken} = $since - 1;
}

# ---- backends ----------------------------------------------------------------

sub push_record {
    $w{at} += int rand 800;
    my $r = { h => $w{lived} ? $w{life} : 0, l => $w{l}++, clock => $w{clock}++,
        room => pick(@ROOMS), body => 'b' . $w{n}++, at => $w{at}, id => '',
        plain => chance(0.15) };
    $r->{pos} = "$r->{h}-$r->{l}";
    $r->{at} -= int rand 400;

    if (!$r->{plain} && !$w{may}{toggle} && chance(0.4)) {
        my $id = 'id' . int rand 6;
        my $first = $w{ids}{"$r->{room} $id"};
        if (!$first || $r->{at} - $first->{at} > 3 * $DEDUP) {
            $w{ids}{"$r->{room} $id"} = $r;
        } elsif (abs($r->{at} - $first->{at}) < $DEDUP / 2) {
            $r->{body} = $first->{body};
            $r->{repeat} = 1;
        } else {
            $id = '';
        }
        $r->{id} = $id;
    }

    push @{ $w{log} }, $r;
}

# ---- job ---------------------------------------------------------------------

sub take {
    my ($o) = @_;
    return if $o->{life} != $w{life};
    my @new = grep { place($_->{pos}) > $o->{taken} } @{ $w{log} };
    my $n = 1 + int rand 4;
    $#new = $n - 1 if @new > $n;
    push @{ $o->{queue} }, map { { rec => $_ } } @new;
    $o->{taken} = place($new[-1]{pos}) if @new;
}

# What the step answers; undef: it was done by nobody.
sub step {
    my ($o, @items) = @_;
    my $answer = eval_sha('number', ['goim:life', 'goim:history', $LEASE, $DONE,
        'goim:{0}:repeats:bus', 'goim:{0}:judged', 'goim:{0}:rooms',
        'goim:{0}:open'], $o->{life}, "bus 1 s$o->{stamp}", $o->{lease}, 'bus',
        'bus', 'goim:{0}:', 'w' . $word++, $DEDUP, $o->{since},
        map { my $r = $_->{rec}; ($r->{room}, $w{keep}, 3_600_000, $r->{pos},
            $r->{body}, $r->{id}, $r->{at}) } @items);

    return $answer if ref $answer;
    restart($o) if $answer eq 'LIFE';
    refresh($o) if $answer eq 'HISTORY';
    return undef;
}

sub number {
    my ($o) = @_;
    my @wait = grep { !exists $_->{seq} } @{ $o->{queue} };
    return if !@wait;

    # by which [history] it goes, before the first
    if ($o->{said} ne $o->{stamp}) {
        step($o) or return;
        $o->{said} = $o->{stamp};
    }

    my $n = 1 + int rand @wait;
    $#wait = $n - 1;
    my @items = grep { !$_->{rec}{plain} } @wait;

    if (!$o->{on} || !@items) {
        $_->{seq} = 0 for @wait;
        return;
    }

    my $answer = step($o, @items) or return;
    keep_snapshot() if is_done() < 0;       # rare, as it is soon done

    fail_round("$answer->[0] keys replaced") if shift @$answer;

    for my $i (0 .. $#items) {
        my ($seq, $epoch) = @$answer[2 * $i, 2 * $i + 1];
        my $r = $items[$i]{rec};
        numbered($r->{room}, $epoch, $seq, $r->{body}) if $seq > 0;
        fail_round("no number for $r->{body}")
            if $seq == 0 && !$w{forced} && !$w{may}{toggle};
        fail_round("no number for $r->{body}, and nobody is told")
            if $seq == 0 && grep { ($_->{epoch} // '') eq $epoch }
                @{ $w{clients} };
        fail_round("$r->{body} was not done")
            if $seq == -2 && place($r->{pos}) > is_done();
        fail_round("$r->{body} was no repeat") if $seq == -1 && !$r->{repeat};
    }

    return if chance(0.1);          # the answer is lost: once more

    for my $i (0 .. $#items) {
        @{ $items[$i] }{qw(seq epoch)} = @$answer[2 * $i, 2 * $i + 1];
    }
    $_->{seq} //= 0 for @wait;
}

sub refresh { @{ $_[0] }{qw(stamp on)} = @w{qw(stamp on)} }

sub numbered {
    my ($room, $epoch, $seq, $body) = @_;
    my $was = $w{num}{"$room $epoch $seq"} //= $body;
    fail_round("$room $epoch $seq is $was and $body") if $was ne $body;
    $was = $w{of}{"$room $epoch $body"} //= $seq;
    fail_round("$room $epoch: $body is $was and $seq") if $was != $seq;
}

sub append {
    my ($o) = @_;
    return restart($o) if $o->{life} != $w{life};
    while (@{ $o->{queue} } && exists $o->{queue}[0]{seq}) {
        my $e = shift @{ $o->{queue} };
        push @{ $w{stream} }, $e if $e->{seq} >= 0;
        $o->{done} = $e->{rec}{pos};
        last if chance(0.3);
    }
}

sub save {
    my ($o) = @_;
    return if !defined $o->{done};
    return restart($o) if $o->{life} != $w{life};
    return if $o->{lease} ne "job $w{fence}";
    my $was = is_done();
    return if place($o->{done}) <= $was;
    $redis->cmd('HSET', $DONE, 'bus', $o->{done});
    return if !chance(0.5);
    $w{committed} = place($o->{done}) + 1;
    go_back() if $w{may}{back} && !$w{lived} && chance(0.2);
}

# ---- the node and its clients ------------------------------------------------

sub node {
    my ($n) = @_;
    while ($n-- > 0 && $w{read} < @{ $w{stream} }) {
        my $e = $w{stream}[$w{read}++];
        my $at = place($e->{rec}{pos});
        next if $at <= $w{seen};
        $w{seen} = $at;
        for my $c (@{ $w{clients} }) {
            next if !$c->{on} || $c->{room} ne $e->{rec}{room};
            next if chance(0.05);       # its ring was lapped
            deliver($c, $e);
        }
    }
}

sub deliver {
    my ($c, $e) = @_;
    if ($e->{seq} == 0) {
        got($c, $e->{rec}{body}, 'none');
        } elsif (($c->{epoch} // '') ne $e->{epoch}
             || $e->{seq} > $c->{last} + 1)
    {
        catch_up($c);
    } elsif ($e->{seq} == $c->{last} + 1) {
        $c->{last}++;
        got($c, $e->{rec}{body}, $e->{epoch});
    }
}

sub got {
    my ($c, $body, $epoch) = @_;
    fail_round("$body came twice in $epoch")
        if $c->{got}{"$body $epoch"}++ && $epoch ne 'none';
    # what lost its number comes without one, perhaps once more
    fail_round("$body came again without a word")
        if $c->{here}{$body}++ && !$w{forced} && !$w{may}{toggle};
}

sub read_items {
    my ($c, $epoch, $what, $n) = @_;
    while (1) {
        my $a = eval_sha('read', ['goim:life', 'goim:history', $DONE,
            map({ "goim:{0}:$_:$c->{room}" } qw(meta items)), 'goim:{0}:rooms',
            'goim:{0}:judged'],
            $w{life}, history(), $c->{room}, $epoch, $what, $n,
            1 + int rand 20, 1e6, 'r' . $word++, 1e6);
        return $a if ref $a;
        return if $a eq 'UNSAID';
        fail_round("read: $a");
    }
}

sub told {
    my ($c, $a) = @_;
    $c->{told} = $w{clock};
    @$c{qw(epoch last)} = @$a[1, 3];
    $c->{here} = {};
    $w{told}++;
}

sub join_room {
    my ($c) = @_;
    return if !$w{on};
    my $a = read_items($c, '', 'last', 0) or return;
    @$c{qw(epoch last)} = @$a[1, 3];
    $c->{on} = 1;
    $c->{since} = $w{clock};
    $c->{told} = -1;
    @$c{qw(got here)} = ({}, {});
}

# Read until the head, or be told.
sub catch_up {
    my ($c) = @_;
    return if !$w{on};              # no history now: asked again later
    while (1) {
        my $a = read_items($c, $c->{epoch}, 'after', $c->{last}) or return;
        my ($what, $epoch, $first, $head, @items) = @$a;

        if ($what eq 'LATER') {
            fail_round("behind its client") if $w{settled};
            return;
        }
        if ($what eq 'CANNOT') {
            fail_round("$c->{room}: kept too little")
                if $epoch eq $c->{epoch} && !$w{harm}
                   && $c->{last} >= $head - $w{keep};
            return told($c, $a);
        }

        fail_round("another epoch") if $epoch ne $c->{epoch};
        fail_round("a part of nothing") if !@items && $c->{last} < $head;

        while (my ($seq, $body) = splice @items, 0, 2) {
            fail_round("a hole before $seq") if $seq != $c->{last} + 1;
            numbered($c->{room}, $epoch, $seq, $body);
            $c->{last} = $seq;
            got($c, $body, $epoch);
        }
        return if $c->{last} >= $head;
    }
}

sub suspect {
    return if !$w{on};
    my @on = grep { $_->{on} } @{ $w{clients} };
    my $heads = eval_sha('heads', ['goim:life', 'goim:history',
        map { ($DONE, "goim:{0}:meta:$_->{room}") } @on], $w{life}, history());
    for my $i (0 .. $#on) {
        catch_up($on[$i]) if $heads->[2 * $i] ne $on[$i]{epoch}
            || $heads->[2 * $i + 1] > $on[$i]{last};
    }
}

# ---- faults ------------------------------------------------------------------

sub keep_snapshot {
    return if !$w{may}{back} || !chance(0.3);
    push @{ $w{snaps} }, [eval_sha('dump', []), scalar @{ $w{stream} },
        scalar @{ $w{log} }, $w{stamp}, $w{on}, $w{fence}];
}

sub new_life {
    $w{life} += 10;
    $w{l} = 0 if $w{lived};
    $w{harm} = 1 if $w{lived};
    $redis->cmd('HSET', 'goim:life', 'n', $w{life});
}

# Redis comes back with what it had; with the Redis bus that has gone back, too.
sub go_back {
    my $s = pick(@{ $w{snaps} }) or return;
    $w{snaps} = [];
    eval_sha('restore', [], @{ $s->[0] });
    $#{ $w{stream} } = $s->[1] - 1;
    $w{read} = $s->[1] if $w{read} > $s->[1];
    if ($w{lived}) {
        $#{ $w{log} } = $s->[2] - 1;
        $w{ids} = { map { ("$_->{room} $_->{id}" => $_) }
            grep { $_->{id} && !$_->{repeat} } @{ $w{log} } };
        $w{harm} = 1;
    }
    @w{qw(stamp on fence)} = @$s[3, 4, 5];
    $w{gone} = 1;               # an epoch may have begun after that
    new_life();
}

my %actions = (
    push => [12, sub { push_record() for 1 .. $w{burst} }],
    take => [10, sub { take(pick(@{ $w{owners} })) }],
    number => [10, sub { number(pick(@{ $w{owners} })) }],
    append => [9, sub { append(pick(@{ $w{owners} })) }],
    save => [8, sub { save(pick(@{ $w{owners} })) }],
    node => [8, sub { node(1 + int rand 4) }],
    snap => [4, sub { keep_snapshot() }],
    crash => [2, sub { restart(pick(@{ $w{owners} })) }],
    takeover => [1, sub {
        unshift @{ $w{owners} }, owner();
        $#{ $w{owners} } = 1 if @{ $w{owners} } > 2;
    }],
    client => [6, sub {
        my $c = pick(@{ $w{clients} });
        if (!$c->{epoch}) { join_room($c) }
        elsif ($c->{on}) { $c->{on} = 0 }
        elsif ($w{on}) { $c->{on} = 1; catch_up($c) }
    }],
    suspect => [1, sub { suspect() }],
    life => [1, sub { new_life() if $w{may}{life} }],
    back => [2, sub { go_back() if $w{may}{back} }],
    expire => [2, sub {
        return if !$w{may}{expire};
        my $key = 'goim:{0}:items:' . pick(@ROOMS);
        return if $redis->cmd('PTTL', $key) <= 0;
        $redis->cmd('DEL', $key);
        $w{harm} = 1;
    }],
    force => [1, sub {
        return if !$w{may}{force};
        my $n = $redis->cmd('DEL', 'goim:{0}:items:' . pick(@ROOMS));
        $w{harm} = $w{forced} = 1 if $n > 0;
    }],
    toggle => [3, sub {
        return if !$w{may}{toggle};
        $w{on} = !$w{on};
        $w{stamp}++;
        $w{harm} = 1;
        write_history();
        # who sends unnumbered learns later that it no longer should
        refresh($_) for grep { !$w{on} || ($w{shared} && !$_->{on}) }
            @{ $w{owners} };
    }],
    learn => [1, sub { refresh(pick(@{ $w{owners} })) }],
);

my @bag = map { ($_) x $actions{$_}[0] } sort keys %actions;

# ---- a round -----------------------------------------------------------------

sub settle {
    my ($o) = @{ $w{owners} } = owner();
    $w{may}{back} = 0;
    toggle_on() if !$w{on};
    refresh($o);
    step($o);

    for (1 .. 1000) {
        take($o);
        number($o) while grep { !exists $_->{seq} } @{ $o->{queue} };
        append($o) while @{ $o->{queue} };
        save($o);
        last if !grep { place($_->{pos}) > $o->{taken} } @{ $w{log} };
    }

    node(1e9);
    $w{settled} = 1;
    for my $c (grep { $_->{epoch} && !$_->{on} } @{ $w{clients} }) {
        $c->{on} = 1;
        catch_up($c);
    }
    suspect();
}

sub toggle_on { $w{on} = 1; $w{stamp}++; $w{harm} = 1; write_history() }

sub judge {
    for my $c (grep { $_->{epoch} } @{ $w{clients} }) {
        my %have = map { s/ .*//r => 1 } keys %{ $c->{got} };
        for my $r (@{ $w{log} }) {
            next if $r->{room} ne $c->{room} || $r->{plain};
            next if $r->{clock} < $c->{since} || $r->{clock} < $c->{told};
            next if $r->{repeat};
            fail_round("$r->{body} is missing, nobody said so")
                if !$have{ $r->{body} };
        }
    }
    fail_round("told for nothing")
        if $w{told} && !$w{harm} && !$w{gone} && $w{keep} == 1000;
}

sub round {
    my ($n) = @_;
    my @trail;
    srand($seed * 100_003 + $n);
    my $ok = eval {
        begin_world($n % 2);
        for (1 .. 20 + int rand 60) {
            push @trail, pick(@bag);
            $actions{ $trail[-1] }[1]->();
        }
        settle();
        judge();
        1;
    };
    return '' if $ok;
    my $bus = $n % 2 ? 'redis' : 'kafka';
    return "$bus bus, round $n of seed $seed: $@" . "trail: @trail";
}

diag "seed $seed" if $ENV{GOIM_SEED} || $ENV{GOIM_ROUNDS};

my ($wrong, $ran) = ('', 0);
my @list = defined $ENV{GOIM_ROUND} ? $ENV{GOIM_ROUND} : 1 .. $rounds;
for my $n (@list) {
    $wrong = round($n);
    $ran++;
    last if $wrong;
}

is $wrong, '', "$ran schedules, seed $seed";

done_testing;
