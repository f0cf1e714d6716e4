# Every script: its contract stands in front, Redis takes it, and it does what
# the contract says.

use strict;
use warnings;

use lib 't/lib';
use Goim::Redis;
use Goim::Test;

my $root = root_dir();
my $redis = Goim::Redis->new;

# The script as Redis gets it.
sub body {
    my ($path) = @_;
    my $body = `cd '$root' && awk -f tools/lua.awk $path`;
    die "$path: tools/lua.awk failed\n" if $? != 0;
    return $body;
}

# Run a script: [keys], arguments.
sub run {
    my ($name, $keys, @args) = @_;
    my ($path) = grep { -e "$root/$_" } map { "$_/lua/$name.lua" }
        qw(svc logic job);
    return $redis->cmd('EVAL', body($path), scalar @$keys, @$keys, @args);
}

sub error(&) {
    my ($code) = @_;
    return eval { $code->(); 1 } ? 'no error' : $@ =~ s/^redis error: //r;
}

# ---- all of them -------------------------------------------------------------

my @files = map { s{^\Q$root\E/}{}r } glob "$root/{svc,logic,job}/lua/*.lua";

for my $path (@files) {
    my $text = slurp("$root/$path");
    my ($contract) = $text =~ /^#!lua[^\n]*\n((?:--[^\n]*\n)+)/;

    $contract //= '';
    my @missing = grep { $contract !~ /^-- $_: /m }
        qw(KEYS ARGV Answer Errors);
    is "@missing", '', "$path: its contract says all";

    is error { $redis->cmd('SCRIPT', 'LOAD', body($path)) }, 'no error',
        "$path: Redis takes it";
}

for my $path (map { s{^\Q$root\E/}{}r } glob "$root/{svc,logic,job}/lua/lib/*.lua")
{
    my ($name) = $path =~ m{(\w+)\.lua$};
    like slurp("$root/$path"), qr/\A-- \Q$name\E\(/,
        "$path: says what it is";
    ok scalar(grep { slurp($_) =~ /^-- use: (.* )?$name\b/m }
        glob("$root/{svc,logic,job}/lua/*.lua"),
        glob("$root/{svc,logic,job}/lua/lib/*.lua")), "$path: is used";
}

my @inline = grep { slurp($_) =~ /redis\.p?call/ }
    glob "$root/{svc,job}/*.[ch]";
is "@inline", '', 'no Lua in C';

# ---- goim:life ---------------------------------------------------------------

my $life = run('redis_life', ['goim:life'], 'run-1');
like $life, qr/^\d{13}$/, 'a life is a time';
is run('redis_life', ['goim:life'], 'run-1'), $life, 'the same run, the same';
my $next = run('redis_life', ['goim:life'], 'run-2');
cmp_ok $next, '>', $life, 'another run, a larger one';
$redis->cmd('SET', 'goim:life', 'broken');
cmp_ok run('redis_life', ['goim:life'], 'run-2'), '>=', $next,
    'a key of another type is replaced';

# ---- nodes' streams ----------------------------------------------------------

my @node = ('goim:node:a', 'goim:life');

sub node_append { return run('node_append', \@node, @_, 10, 'x', 3600) }

$life = run('redis_life', ['goim:life'], 'run-3');
is node_append($life), "$life-0", 'ids begin in the life';
is node_append($life), "$life-1", 'and are dense';
like error { node_append($life - 1) }, qr/^LIFE /, 'another life is told so';
cmp_ok $redis->cmd('TTL', 'goim:node:a'), '>', 3500, 'it ends by itself';

$redis->cmd('DEL', 'goim:node:a');
my ($ms, $n) = split /-/, node_append($life);
cmp_ok $ms, '>', $life, 'deleted: it begins above what was read';
is $n, 1, 'with a hole';
is node_append($life), "$ms-2", 'and goes on there';

$redis->cmd('SET', 'goim:node:a', 'broken');
is node_append($life)->[1], 'replaced', 'what is no stream is replaced';

$redis->cmd('XADD', 'goim:node:a', '9007199254740-0', 'd', 'strange');
like error { node_append($life) }, qr/^LIFE lifted/, 'an id above the life';
is $redis->cmd('HGET', 'goim:life', 'n'), '9007199254741', 'lifts it';

# ---- what nodes have read ----------------------------------------------------

$redis->cmd('FLUSHALL');
$redis->cmd('XADD', 'goim:node:a', "7-$_", 'd', 'x') for 0 .. 9;
$redis->cmd('HSET', 'goim:nodes:zones:a', 'z1', time() . '000 i',
    'z2', time() . '000 i', 'old', '1000 i');

sub node_read {
    return run('node_read', ['goim:node:a', 'goim:nodes:read:a',
        'goim:nodes:zones:a'], @_);
}

is node_read('z1', '7-9'), 0, 'nothing is thrown away while there is room';
$redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
is node_read('z1', '7-8'), 0, 'nor what another zone may not have read';
is node_read('z2', '7-4'), 4, 'what both have read is';
is $redis->cmd('XLEN', 'goim:node:a'), 6, 'the entry itself stays';
is node_read('z2', 'x'), 0, 'a zone that says nothing has read nothing';
$redis->cmd('CONFIG', 'SET', 'maxmemory', 0);

# ---- the Redis bus -----------------------------------------------------------

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-4');

is_deeply run('bus_redis_setup', ['goim:bus'], 'epoch-1', 4),
    ['epoch-1', 4], 'the first one makes the bus';
is_deeply run('bus_redis_setup', ['goim:bus'], 'epoch-2', 8),
    ['epoch-1', 4], 'the others find it';

sub bus_append {
    my ($life, @n) = @_;
    return run('bus_redis_append', ['goim:life',
        map { ("goim:bus:$_", "goim:{$_}:done") } @n], $life, 'epoch',
        map { ('k', 'v') } @n);
}

is bus_append($life, 0, 1, 0), 3, 'the number of records';
is_deeply [map { $_->[0] } @{ $redis->cmd('XRANGE', 'goim:bus:0', '-', '+') }],
    ["$life-0", "$life-1"], 'dense ids in the life';
like error { bus_append($life - 1, 0) }, qr/^LIFE /, 'another life';

$redis->cmd('HSET', 'goim:{0}:done', 'epoch', "$life-1");
$redis->cmd('DEL', 'goim:bus:0');
like error { bus_append($life, 0) }, qr/^LIFE lifted/,
    'a partition that was lost';
cmp_ok $redis->cmd('HGET', 'goim:life', 'n'), '>', $life, 'lifts the life';

$redis->cmd('SET', 'goim:bus:notes', 'broken');
is run('bus_redis_mend', ['goim:bus:notes', 'goim:bus:1']), 1,
    'what is no stream is deleted';
is $redis->cmd('EXISTS', 'goim:bus:1'), 1, 'a stream is not';

# ---- leases ------------------------------------------------------------------

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-5');

# share, members, own leases, others', as Perl hashes
my $whole = 0;
sub turn {
    my ($me, $turn, $members, $leases) = @_;
    my ($share, @lists) = @{ run('lease_tick',
        ['goim:life', 'members', 'notes'], $life, 'goim:{', ':e',
        'goim:bus:', $whole, $me,
        $turn, 4, scalar(keys %{ $members || {} }), %{ $members || {} },
        %{ $leases || {} }) };
    return ($share, map { +{ @$_ } } @lists);
}

sub leases { return join ' ', sort keys %{ $_[0] } }

my ($share, $members, $mine, $others) = turn('a', 1);
is "$share: @{[leases($mine)]}", '4: 0 1 2 3', 'alone one has all';
is $redis->cmd('GET', 'goim:{2}:lease:e'), "a $mine->{2} 1", 'a lease';
cmp_ok $redis->cmd('TTL', $_), '>', 29 * 86400, "$_: no clock ends it soon"
    for 'goim:{2}:lease:e', 'goim:{2}:fence:e', 'members';

($share, $members, $mine, $others) = turn('b', 1);
is "$share: @{[leases($mine)]}", '2: ', 'who comes has a share, and waits';
is leases($others), '0 1 2 3', 'for what another has';
is_deeply $members, { a => 1, b => 1 }, 'both are members';

is run('lease_give', ['goim:{3}:lease:e', 'notes'], "a 99", 'a'), 'FENCED',
    'only the holder gives a lease up';
is run('lease_give', ["goim:{$_}:lease:e", 'notes'], 'a 1', 'a'), 'OK',
    'the holder does' for 2, 3;
($share, $members, $mine) = turn('b', 2);
is leases($mine), '2 3', 'then the other takes it';
is $mine->{3}, 2, 'with a higher fence';

# who has not been seen to do anything is over, if that is still so
turn('a', 2);
($share, $members, $mine) = turn('b', 3, { a => 1 }, { 0 => 'a 1 1' });
is "$share: @{[leases($mine)]}", '2: 2 3', 'not who has renewed meanwhile';
($share, $members, $mine) = turn('b', 4, { a => 2 }, { 0 => 'a 1 2',
    1 => 'a 1 2' });
is "$share: @{[leases($mine)]}", '4: 0 1 2 3', 'who has not is over';

is run('lease_leave', ['members', 'notes'], 'b'), 'OK', 'one leaves';
is $redis->cmd('EXISTS', 'members'), 0, 'and is no member';

$redis->cmd('DEL', map { "goim:{$_}:lease:e" } 0 .. 3);
$redis->cmd('SET', 'goim:bus:1:lease', 'old 7', 'PX', 60_000);
($share, $members, $mine) = turn('c', 1);
is leases($mine), '0 2 3', 'a lease of the version before is one';
like error { $life--; turn('c', 2) }, qr/^LIFE /, 'another life';
$life++;

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-5');
$whole = 1;
($share, $members, $mine) = turn('a', 1);
is "$share: @{[leases($mine)]}", '4: 0 1 2 3', 'one that has all';
($share, $members, $mine, $others) = turn('b', 1);
is "$share: @{[leases($mine)]}", '0: ', 'another stands by';
is((turn('a', 2))[0], 4, 'and waits for nothing');
($share, $members, $mine) = turn('b', 2, {}, $others);
is "$share: @{[leases($mine)]}", '0: ', 'what moved is not over';
(undef, undef, undef, $others) = turn('b', 3);
($share, $members, $mine) = turn('b', 4, { a => 2 }, $others);
is "$share: @{[leases($mine)]}", '4: 0 1 2 3', 'what did not is taken, all of it';
is((turn('a', 3))[0], 0, 'who had it stands by');

# ---- places ------------------------------------------------------------------

$redis->cmd('SET', 'goim:{0}:lease:e', 'a 5 1');
my @save = ('goim:life', 'goim:{0}:done', 'goim:{0}:lease:e',
    'goim:{0}:done:e');
my @read = ('goim:life', 'goim:{0}:done', 'goim:{0}:done:e', 'goim:done:e',
    'goim:done:e:0');

sub saved {
    my ($lease, $place, @kept) = @_;
    return run('done_save', \@save, $life, 'e', $place, 60, $lease, @kept);
}

sub stands { return run('done_read', \@read, $life, 'e', 0, 60) }
sub kept   { return $redis->cmd('GET', 'goim:{0}:done:e') }

is stands(), '', 'nothing is done';
$redis->cmd('HSET', 'goim:{0}:done', 'e since', '7-1');
is stands(), ' 7-1', 'but it was begun';
is saved('a 5', '7-2'), 'OK', 'a place';
is stands(), '7-2', 'is where one goes on';
is saved('a 5', '7-1'), 'OK', 'one before it';
is stands(), '7-2', 'changes nothing';
is saved('a 4', '8-0'), 'FENCED', 'nor does who had the lease before';
is saved('a 5', '10-0'), 'OK', 'numbers are no text';
is stands(), '10-0', 'ten is more than seven';
is run('done_read', \@read, $life, 'other', 0, 60), '',
    'another epoch, another place';
$redis->cmd('HSET', 'goim:done:e', 0, '12-3');
is stands(), '12-3', 'a place of the version before';
is saved('a 5', '13-0'), 'OK', 'goes on';
is stands(), '13-0', 'from there';
like error { run('done_save', \@save, $life - 1, 'e', '14-0', 60, 'a 5') },
    qr/^LIFE /, 'another life';
like error { run('done_read', \@read, $life - 1, 'e', 0, 60) }, qr/^LIFE /,
    'is not asked either';
cmp_ok $redis->cmd('TTL', 'goim:{0}:done'), '>', 0, 'it ends by itself';

is kept(), undef, 'nothing is kept with a place';
is saved('a 5', '14-0 a note', 0, 'abcd', 8, 'ef'), 'OK', 'unless it is said';
is stands(), '14-0 a note', 'a note';
is kept(), "abcd\0\0\0\0ef", 'and bytes';
cmp_ok $redis->cmd('TTL', 'goim:{0}:done:e'), '>', 0, 'that end by themselves';
is saved('a 4', '15-0', 0, 'x'), 'FENCED', 'not of who had the lease before';
is saved('a 5', '13-9', 0, 'x'), 'OK', 'nor of a place before';
is kept(), "abcd\0\0\0\0ef", 'changes that';
$redis->cmd('DEL', 'goim:{0}:done:e');
$redis->cmd('HSET', 'goim:{0}:done:e', 'a', 'b');
is saved('a 5', '15-0 b', 0, 'x'), 'OK', 'a key of another type';
is kept(), 'x', 'is replaced';

$redis->cmd('HSET', 'goim:done:e', 0, '16-0');
$redis->cmd('SET', 'goim:done:e:0', '16-0 123' . "\0" x 56 . 'sums');
is stands(), '16-0 123', 'what the version before noted';
is kept(), 'sums', 'and kept';
$redis->cmd('HSET', 'goim:done:e', 0, '17-0');
is stands(), '17-0', 'but not with another place';

# ---- sessions ----------------------------------------------------------------

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-5');

sub late { return 4_000_000_000_000 }

# what of events is said behind all; '': they are not told
my $events = '';

# server, zone, number, sessions as [key, mid, session] or keys
sub session {
    my ($name, @args) = @_;
    my ($zone, $number) = splice @args, 0, 2;
    push @{ $args[0] }, 0, '', 0
        if $name eq 'connect' && @{ $args[0] } == 3;
    push @{ $args[0] }, 0, 1000
        if $name eq 'connect' && @{ $args[0] } == 6;
    push @{ $args[0] }, '', ''
        if $name eq 'connect' && @{ $args[0] } == 8;
    push @{ $args[0] }, '', 0, 0, 0
        if $name eq 'connect' && @{ $args[0] } == 10;
    for my $s (grep { $name eq 'renew' && @$_ == 3 } @args) {
        push @$s, 0, 0, '';
    }
    return run("session_$name", ['goim:life'], $life, late(), 'n', $zone,
        $number, 'p_', (map { ref $_ ? @$_ : $_ } @args), $events);
}

sub holder { return $redis->cmd('HGET', "p_sess_$_[0]", 'holder') }

for my $name (qw(connect renew end missing)) {
    my @args = ('n', 'z', 1000, 'p_', 'k', 1, 1);
    like error { run("session_$name", ['goim:life'], $life - 1, late(),
        @args) }, qr/^LIFE /, "session_$name: another life";
    like error { run("session_$name", ['goim:life'], $life, 1000, @args) },
        qr/^LATE \d{13}$/, "session_$name: late, and told Redis's clock";
}
is $redis->cmd('KEYS', 'p_*')->[0], undef, 'nothing was written';

is_deeply session('connect', 'z', 9000, ['k', 7, 10]), [0, 0, 1, ''],
    'a login';
is holder('k'), 'n/z/10', 'has its key';
is $redis->cmd('GET', 'p_key_k'), 'n', 'its server';
is_deeply $redis->hgetall('p_mid_7'), { k => 'n' }, 'its user';
cmp_ok $redis->cmd('PTTL', "p_${_}_" . ($_ eq 'mid' ? 7 : 'k')), '<=', 9000,
    "$_ ends" for qw(sess key mid);
is_deeply session('connect', 'z', 9000, ['k', 7, 9]), [0, 0, 0, 'n/z/10'],
    'an older one of the zone is not let in';
is_deeply session('connect', 'z', 9000, ['k', 7, 11]), [0, 0, 1, 'n/z/10'],
    'a newer one is, and replaces it';
is_deeply session('connect', 'y', 9000, ['k', 8, 1]), [0, 0, 1, 'n/z/11'],
    'one of another zone, too';
is $redis->cmd('EXISTS', 'p_mid_7'), 0, 'the user before has it no more';

is_deeply session('renew', 'y', 9000, ['k', 8, 1], ['new', 0, 2]),
    [0, 0, 1], 'renewed, one of them restored';
is_deeply session('renew', 'z', 9000, ['a', 0, 3], ['k', 7, 11]),
    [0, 0, 1, 1], 'which of them was replaced';
is_deeply session('renew', 'y', 9000, ['k', 8, 5]), [0, 0, 1],
    'what an older one of the zone has is taken back';
is holder('k'), 'n/y/5', 'by the newer one';

# a user of many keys that are dead
$redis->cmd('HSET', 'p_mid_9', map { ("ghost$_", 'n') } 1 .. 200);
my $swept = 0;
$swept += session('connect', 'z', 9000, ["key$_", 9, $_])->[1] for 1 .. 30;
is $swept, 200, 'dead keys of a user go, however many there are';
is $redis->cmd('HLEN', 'p_mid_9'), 30, 'those that live stay';

is_deeply session('missing', 'z', 5000, 'key1', 'nobody'), [0, 0, 0],
    'missing, but new';
$redis->cmd('HSET', 'p_sess_key1', 'at', 1);
is_deeply session('missing', 'y', 5000, 'key1'), [0, 0, 0],
    'missing elsewhere';
is_deeply session('missing', 'z', 5000, 'key1', 'nobody'), [0, 0, 1],
    'missing';
is $redis->cmd('HEXISTS', 'p_mid_9', 'key1'), 0, 'the user too';

is_deeply session('end', 'y', 0, ['k', 8, 4], ['nobody', 0, 1]), [0, 0, 0],
    'the end of an older one';
is_deeply session('end', 'y', 0, ['k', 8, 6], ['key2', 9, 99]), [0, 0, 1],
    'of a newer one takes what the older one has, of this zone';
is $redis->cmd('EXISTS', 'p_sess_k', 'p_key_k', 'p_mid_8'), 0, 'all of it';
$redis->cmd('SET', 'p_sess_key2', 'broken');
is_deeply session('end', 'z', 0, ['key2', 9, 2]), [1, 0, 0],
    'a key of another type is replaced';

# ---- who is there, and events --------------------------------------------------

$events = 'cdjlm 50 3';

# "type key room why" of those told since
my $last = '-';
sub told_of {
    my @new = @{ $redis->cmd('XRANGE', 'p_goim:events', $last, '+') };
    $last = "($new[-1][0]" if @new;
    return map { my %e = @{ $_->[1] };
        join ' ', grep { length } @e{qw(type key room why)} } @new;
}

sub set { return $redis->hgetall("p_goim:sessions:n/z/$_[0]") }

session('connect', 'z', 9000, ['e1', 7, 100, 0, 'r://1', 0]);
is_deeply [told_of()], ['reset', 'connect e1 r://1', 'join e1 r://1'], 'it came';
is_deeply [sort keys %{ set(3) }], ['', 100], 'and is in the set';
session('connect', 'z', 9000, ['e1', 7, 100, 0, 'r://1', 0]);
is_deeply [told_of()], [], 'done again: nothing is told';
$redis->cmd('DEL', 'p_sess_e1', 'p_key_e1');
session('renew', 'z', 9000, ['e1', 7, 100, 2, 5000, 'r://2']);
is_deeply [told_of()], ['leave e1 r://1 moved', 'join e1 r://2'], 'it moved';
cmp_ok $redis->cmd('TIME')->[0] - $redis->cmd('HGET', 'p_sess_e1', 'at') / 1000,
    '>=', 4, 'since when is as it says';
session('renew', 'z', 9000, ['e1', 7, 100, 1, 0, 'r://1']);
is_deeply [told_of()], [], 'a move of before changes nothing';
is_deeply $redis->cmd('ZRANGE', 'p_goim:members:r://2', 0, -1),
    ["e1\0n/z/100"], 'it is in one room';
is $redis->cmd('EXISTS', 'p_goim:members:r://1'), 0, 'alone';

session('renew', 'z', 9000, ['e2', 7, 101, 0, 0, '']);
is_deeply [told_of()], ['connect e2 restored'], 'one that was not known';
session('connect', 'y', 9000, ['e2', 7, 1]);
is_deeply [told_of()], ['disconnect e2 replaced', 'connect e2'], 'its key is taken';
session('end', 'z', 0, ['e2', 7, 101], ['e1', 7, 100], ['e1', 7, 100]);
is_deeply [told_of()], ['leave e1 r://2 ended', 'disconnect e1 r://2 ended'],
    'ends: once, and not what had been replaced';
is holder('e2'), 'n/y/1', 'who has replaced it is there';

session('connect', 'z', 9000, ["s$_", 9, 200 + $_, 0, 'r://s', 0]) for 1 .. 5;
$redis->cmd('DEL', 'p_sess_s1');
$redis->cmd('HSET', 'p_sess_s2', 'at', 1);
session('missing', 'z', 1000, 's2');
told_of();

sub sweep {
    return run('who_sweep', ['goim:life'], $life, 'p_', 'n/z', @_);
}

is_deeply sweep(3, 'cdjlm 50 0', 3), [], 'a worker lives';
is_deeply [sort { $a <=> $b } grep { length } keys %{ set(3) }],
    [203, 204, 205], 'what is lost, or missing, is taken out';
is_deeply [told_of()], ['leave s1 r://s lost', 'disconnect s1 r://s lost'],
    'and told';
is_deeply sweep(2, 'cdjlm 50 0', 1), [], 'newer than what the zone knows of';
is_deeply sweep(4, 'cdjlm 50 0', 1, 4), [3], 'one is gone';

sub gone {
    return run('who_retire', ['goim:life'], $life, 'p_', 'n', 'z', 3, @_,
        'cdjlm 50 0');
}

cmp_ok gone(2, 1), '>', 0, 'its sessions go, some at a time';
1 while gone(2, 1);
is scalar(grep { /^disconnect .* died$/ } told_of()), 3, 'all are told';
is $redis->cmd('EXISTS', 'p_sess_s4', 'p_goim:members:r://s',
    'p_goim:sessions:n/z'), 0, 'nothing is left of them';
is_deeply $redis->cmd('SMEMBERS', 'p_goim:sessions'), ['n/y'], 'nor of the zone';

# sets of another life
session('connect', 'z', 9000, ['o1', 9, 300]);
told_of();
$life = run('redis_life', ['goim:life'], 'run-5a');
session('connect', 'z', 9000, ['o2', 9, 301]);
is_deeply [told_of()], ['reset', 'connect o2'], 'another life: that is told';
is_deeply [sort keys %{ set(3) }], ['', 301], 'the set has begun anew';
$redis->cmd('HSET', 'p_goim:sessions:n/z/3', '', 'old');
is gone(10, 1), 0, 'of one that nobody has begun anew';
is_deeply [told_of()], [], 'nothing is told';

# no more than may wait
session('connect', 'z', 9000, ["w$_", 9, 400 + $_]) for 1 .. 60;
is $redis->cmd('XLEN', 'p_goim:events'), 50, 'the oldest are given up';
cmp_ok $redis->cmd('HGET', 'p_goim:events:state', 'dropped'), '>', 10,
    'and counted';
$redis->cmd('DEL', 'p_goim:events');
$redis->cmd('XADD', 'p_goim:events', '9007199254740-0', 'a', 'b');
session('connect', 'z', 9000, ['w0', 9, 500]);
is $redis->cmd('XLEN', 'p_goim:events'), 1, 'ids of a stranger are, too';

# ---- whose turn it is to send them ---------------------------------------------

sub sends {
    my ($who, $over, $taken, $told, $n) = @_;
    return run('events_turn', ['goim:life'], $life, 'p_', 'cdjlm 50 0', $who,
        $over // '', $taken // '', $told // 0, $n // 10);
}

my $turn = sends('a');
is "@$turn[0, 1]", '1 a 1', 'whoever asks first';
is scalar @{ $turn->[4] }, 1, 'has what waits';
is_deeply sends('b'), [0, 'a 1'], 'others do not';
is_deeply sends('b', 'a 0'), [0, 'a 1'], 'nor those who saw another turn';
$turn = sends('a', '', $turn->[4][0][0], $turn->[2]);
is "@$turn[1 .. 3]", 'a 2 0 0', 'taken: it goes, with what was given up';
is +sends('b', 'a 2')->[1], 'b 3', 'a turn that is over is another one\'s';
is +sends('a')->[0], 0, 'and who had it is told so';
sends('b', '', '', 0, -1);
is +sends('a')->[1], 'a 1', 'given back';
$events = '';

# ---- a new life --------------------------------------------------------------

my @restore = ('goim:life', 'goim:restoring', 'goim:nodes',
    'goim:nodes:seen');

sub restore { return run('session_restore', \@restore, $life, @_) }
sub whole   { return $redis->cmd('HGET', 'goim:life', 'whole') }

like error { run('session_restore', \@restore, $life - 1, 9000, '', 0) },
    qr/^LIFE /, 'another life';
is restore(9000, '', 0), 1, 'a new installation is whole';
is whole(), 1, 'and says so';

# a node that is registered, and one that has left
$redis->cmd('HSET', 'goim:nodes', 'a/z1', 'packed', 'b/z1', "packed\x18\x01");
$redis->cmd('ZADD', 'goim:nodes:seen', 1, $_) for 'a/z1', 'b/z1';
$life = run('redis_life', ['goim:life'], 'run-6');
is whole(), undef, 'a new life does not';
is restore(9000, '', 0, 'c/z1'), 0, 'the first who comes waits';
is_deeply [sort grep { $_ } keys %{ $redis->hgetall('goim:restoring') }],
    ['a/z1', 'c/z1'], 'for those he knew and those that Redis knows';
is restore(9000, 'a/z1', 0), 0, 'one has announced';
is restore(9000, '', 0, 'a/z1'), 0, 'and is not awaited again';
is restore(9000, 'c/z1', 0), 1, 'all have';
is restore(9000, '', 0, 'd/z1'), 0, 'one that says it was there before';
is restore(9000, '', 0), 0, 'is awaited';
$redis->cmd('HSET', 'goim:restoring', 'd/z1', 1000);
is restore(9000, '', 0), 1, 'until its time is up';

# all is gone, the registry too
$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-7');
is restore(9000, '', 1), 0, 'who knew a life before waits for all nodes';
is_deeply [grep { $_ } keys %{ $redis->hgetall('goim:restoring') }], ['?'],
    'though he knows none';
is restore(9000, '', 0), 0, 'so does who knew none';
$redis->cmd('HSET', 'goim:restoring', '?', 1000);
is restore(9000, '', 0), 1, 'until all had time to register';

# a registry that began before somebody came who knew a life before
$redis->cmd('DEL', 'goim:restoring');
$redis->cmd('HSET', 'goim:nodes', 'created', $life + 10);
is restore(9000, '', 0), 1, 'who knew none takes it for a new installation';
is restore(9000, '', 1), 0, 'who did does not';
is $redis->cmd('HGET', 'goim:restoring', '?'), $life + 9010,
    'and waits from its beginning on';
$redis->cmd('DEL', 'goim:restoring');
$redis->cmd('HSET', 'goim:nodes', 'created', ($life - 9000) . ' lost');
is restore(9000, '', 1), 1, 'one that is older was not lost';

# ---- rooms of nodes -----------------------------------------------------------

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-8');

# zone, order, [rooms], order of those to be taken off, [rooms]
sub rooms {
    my ($zone, $order, $rooms, $below, $off) = @_;
    return run('rooms', ['goim:life'], $life, $zone, 'p_', $order,
        $below // 0, scalar @$rooms, @$rooms, @{ $off // [] });
}

sub told {
    my ($max, @rooms) = @_;
    return [map { ref $_ ? join ' ', sort @$_ : $_ } @{ run('room_nodes',
        ['goim:life'], $life, 'p_', $max, @rooms) }];
}

like error { run($_, ['goim:life'], $life - 1, 'a', 'b', 1, 0, 0) },
    qr/^LIFE /, "$_: another life" for qw(rooms room_nodes);

is rooms('n/1', 5, ['x', 'y']), 0, 'two rooms of a zone';
is rooms('m/2', 1, ['x', '']), 0, 'of another one, and any';
is_deeply told(9, 'x', 'y', 'z', ''), ['m/2 n/1', 'n/1', '', 'm/2'],
    'zones of rooms';
is_deeply told(1, 'x', 'y'), [1, 'n/1'], 'more than one wants to know: any';
rooms('n/1', 9, [], 4, ['x']);
is told(9, 'x')->[0], 'm/2 n/1', 'what was listed later stays';
rooms('n/1', 3, ['x']);
rooms('n/1', 9, [], 4, ['x']);
is told(9, 'x')->[0], 'm/2 n/1', 'one that comes late takes nothing back';
rooms('n/1', 9, [], 5, ['x', 'nobody']);
is told(9, 'x')->[0], 'm/2', 'else it is taken off';
rooms('m/2', 9, [], 5, ['x']);
is $redis->cmd('EXISTS', 'p_goim:rooms:x'), 0, 'with the last it is gone';

$redis->cmd('SET', 'p_goim:rooms:odd', 'broken');
is told(9, 'odd')->[0], 1, 'a key of another type: any';
is rooms('n/1', 10, ['odd']), 1, 'it is replaced';
is told(9, 'odd')->[0], '* n/1', 'and remembered';

$redis->cmd('HSET', 'p_goim:rooms:old', map { ("gone/$_", '1 1000') } 1 .. 9);
rooms("n/$_", 1, ['old']) for 1 .. 40;
is scalar(grep { /^gone/ } @{ $redis->cmd('HKEYS', 'p_goim:rooms:old') }), 0,
    'zones of long ago go when others come';
is $redis->cmd('HLEN', 'p_goim:rooms:old'), 40, 'those of today stay';
cmp_ok $redis->cmd('TTL', 'p_goim:rooms:old'), '>', 86_000, 'for a day';

is_deeply session('connect', 'z', 9000, ['k', 7, 1, 12, 'live://1', 0]),
    [0, 0, 1, ''], 'a login';
is_deeply session('connect', 'z', 9000, ['k', 8, 2, 12, 'live://1', 1]),
    [0, 0, 2, 'n/z/1'], 'a guarded one does not take the key of another user';
is_deeply session('connect', 'z', 9000, ['k', 0, 2, 12, 'live://1', 1]),
    [0, 0, 2, 'n/z/1'], 'nor does nobody';
is holder('k'), 'n/z/1', 'who goes on having it';
is_deeply session('connect', 'z', 9000, ['k', 7, 2, 12, 'live://1', 1]),
    [0, 0, 1, 'n/z/1'], 'that of its own user it does';
is_deeply session('connect', 'z', 9000, ['k2', 0, 3, 12, 'live://1', 0]),
    [0, 0, 1, ''], 'one of nobody';
is_deeply session('connect', 'z', 9000, ['k2', 7, 4, 12, 'live://1', 1]),
    [0, 0, 2, 'n/z/3'], 'is not taken either';
is told(9, 'live://1')->[0], 'n/z', 'lists its room';
like $redis->cmd('HGET', 'p_goim:rooms:live://1', 'n/z'), qr/^12 \d{10}$/,
    'with its order';

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-6');
$redis->cmd('ZADD', 'p_goim:nodes:seen', late(), "n/$_") for qw(y z);

sub of_two { return session('connect', $_[0], 9000, [@_[1 .. 3], 0, '', 0, 2, 1000]) }

is_deeply of_two('z', 'k1', 7, 1), [0, 0, 1, ''], 'the first of two';
is_deeply of_two('y', 'k2', 7, 1), [0, 0, 1, ''], 'the second';
is_deeply of_two('z', 'k3', 7, 2), [0, 0, 3, ''], 'no third';
is holder('k3'), undef, 'of which nothing is written';
is_deeply of_two('z', 'k2', 7, 3), [0, 0, 1, 'n/y/1'],
    'but another of a key that is there';
is_deeply of_two('z', 'k4', 8, 4), [0, 0, 1, ''], 'or of another user';
is_deeply of_two('z', 'k4', 7, 5), [0, 0, 3, 'n/z/4'],
    'nor one that takes a key from another user';
is holder('k4'), 'n/z/4', 'who keeps it';
$redis->cmd('ZREM', 'p_goim:nodes:seen', 'n/z');
is_deeply of_two('y', 'k3', 7, 6), [0, 0, 1, ''],
    'those of nodes that nobody sees do not count';

# ---- tokens that are revoked ----

$redis->cmd('FLUSHALL');
$life = run('redis_life', ['goim:life'], 'run-7');

sub revoke { return run('revoke', ['goim:life'], $life, 'p_', 4, @_) }
sub revoked { return run('revoked', [], 'p_', @_) }
my $session = 0;
sub by { return session('connect', 'z', 9000, ['k', 7, ++$session, 0, '', 0, 0,
    1000, @_])->[2] }

like error { run('revoke', ['goim:life'], $life - 1, 'p_', 9, 'ja', 0, 0) },
    qr/^LIFE /, 'another life';
is revoke('m7', 100, late(), 'ja', 0, 0), 2, 'a user, and an id';
is revoke('m7', 90, 1000, 'ja', 0, late()), 0, 'what says less changes nothing';
is $redis->cmd('HGET', 'p_goim:revoked', 'm7'), '100 ' . late(), 'it stays';
is revoked(7, 100, ''), 1, 'issued then';
is revoked(7, 101, ''), 0, 'later';
is revoked(7, 0, ''), 1, 'it does not say when';
is revoked(8, 0, ''), 0, 'another user';
is revoked(8, 200, 'a'), 1, 'by its id';
is revoked(8, 200, 'b'), 0, 'another id';
is by(100, ''), 4, 'no login with it';
is by(200, 'a'), 4, 'nor by its id';
is holder('k'), undef, 'nothing is written then';
is by(101, 'b'), 1, 'with another one';
is by('', ''), 1, 'without a signed one';
is_deeply run('revoked_since', [], 'p_', 0, 10),
    [2, 'm7', '100 ' . late(), 1, 'ja', '0 0', 2], 'what there is';
is_deeply run('revoked_since', [], 'p_', 2, 10), [2], 'nothing since';
is revoke('jb', 0, 1000), 1, 'one that is over';
like error { revoke('jc', 0, 0, 'jd', 0, 0) }, qr/^FULL /, 'too many';
is revoke('jc', 0, 0), 1, 'one fits';
is $redis->cmd('HGET', 'p_goim:revoked', 'jb'), undef,
    'what is over leaves with the next';
$redis->cmd('SET', "p_goim:revoked$_", 'x') for '', ':log', ':ends';
is revoked(7, 100, 'a'), 0, 'keys of another type';
is_deeply run('revoked_since', [], 'p_', 2, 10), [0], 'are none';
is revoke('m7', 100, late()), 1, 'and are replaced';
is revoked(7, 100, ''), 1, 'by what counts';

# ---- counts of rooms ---------------------------------------------------------

$redis->cmd('FLUSHALL');

sub online {
    my ($zone, $reset, $told, @rooms) = @_;
    return run('online_tell', ["goim:online:$zone", 'goim:online',
        'goim:online:zones'], $zone, $reset, $told, @rooms);
}

sub retire {
    my ($name, $n) = @_;
    return run('online_retire', ["goim:online:$name", 'goim:online',
        'goim:online:zones'], $name, $n);
}

sub sum { return $redis->cmd('ZSCORE', 'goim:online', $_[0]) }

is_deeply online('a/1', 0, '', 'x', 3, 'y', 1), [1, ''], 'a new zone tells all';
is_deeply online('b/1', 0, 1, 'x', 4), [1, ''], 'and another one';
is_deeply online('a/1', 0, '', 'x', 2), [0, ''], 'then what changed';
is sum('x'), -6, 'the sum';
is_deeply online('a/1', 0, 2, 'x', 2, 'y', 1), [0, ''], 'all, and it is right';
is_deeply online('a/1', 0, '', 'y', 0), [0, ''], 'an empty room';
is sum('y'), undef, 'is none';

my $told = online('a/1', 0, 2, 'x', 2);
is $told->[0], 1, 'more were told than are known: all again';
like $told->[1], qr{^a/1:\d+$}, 'what was counted waits to be taken out';
is sum('x'), -6, 'and still counts';
is retire($told->[1], 100), 0, 'taken out';
is sum('x'), -4, 'it does not any more';
online('a/1', 0, '', 'x', 5);
is sum('x'), -9, 'told again';

is_deeply [sort @{ run('online_due', ['goim:online:zones',
    'goim:nodes:seen'], 1000, 16) }], ['a/1', 'b/1'],
    'zones that nobody renews are due';
$redis->cmd('ZADD', 'goim:nodes:seen', 99_999_999_999_999, 'a/1', 1, 'b/1');
is_deeply run('online_due', ['goim:online:zones', 'goim:nodes:seen'], 1000,
    16), ['b/1'], 'those that are renewed are not';

online('a/1', 0, '', map { ("r$_", 1) } 1 .. 900);
my $left = retire('a/1', 500);
cmp_ok $left, '<=', 402, 'some at a time';
retire('a/1', 500) for 1 .. 2;
is $redis->cmd('EXISTS', 'goim:online:a/1'), 0, 'to the last';
is $redis->cmd('ZCARD', 'goim:online'), 2, 'what remains: one room, a mark';

$redis->cmd('DEL', 'goim:online:b/1');
is online('b/1', 0, '', 'x', 1)->[0], 1, 'counts were taken away';
is sum('x'), -1, 'the sums begin anew';

# ---- who is here -------------------------------------------------------------

is run('here', ['here:logic', 'here:job'], 5000), 0, 'logic is alone';
is run('here', ['here:job', 'here:logic'], 5000), 1, 'job sees logic';
is run('here', ['here:logic', 'here:job'], 5000), 1, 'logic sees job';
cmp_ok $redis->cmd('PTTL', 'here:job'), '<=', 5000, 'for a time';

# ---- how often a user sends ----------------------------------------------------

{
    my ($key, $each) = ('sent_7', 3_600_000_000);
    my @sends = map { run('send_rate', [$key], $each, 3) } 1 .. 4;
    is_deeply [@sends[0 .. 2]], [0, 0, 0], 'three fit';
    ok $sends[3] > 3_590_000 && $sends[3] <= 3_600_000,
        'the fourth is to wait for an hour, in ms';
    my $full = $redis->cmd('GET', $key);
    run('send_rate', [$key], $each, 3);
    is $redis->cmd('GET', $key), $full, 'who is refused takes nothing';
    my $ttl = $redis->cmd('PTTL', $key);
    ok $ttl > 10_700_000 && $ttl <= 10_800_000, 'it goes when it is full';

    is run('send_rate', [$key], $each, 4), 0, 'with more that fit: one more';
    is run('send_rate', [$key], 1, 4), 1, 'with more often: soon';
    $redis->cmd('SET', $key, '9' x 15 . '999999');
    ok run('send_rate', [$key], 1000, 2) <= 1,
        'of before the clock was set back: soon';
    for my $wrong ('x', '') {
        $redis->cmd('SET', $key, $wrong);
        is run('send_rate', [$key], $each, 3), 0, "not a number: '$wrong'";
    }
    $redis->cmd('DEL', $key);
    $redis->cmd('RPUSH', $key, 1);
    is run('send_rate', [$key], $each, 3), 0, 'not a string';
}

done_testing;
