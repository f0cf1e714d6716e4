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

# Run svc's or logic's script: [keys], arguments.
sub run {
    my ($name, $keys, @args) = @_;
    my ($path) = grep { -e "$root/$_" } map { "$_/lua/$name.lua" }
        qw(svc logic);
    return $redis->cmd('EVAL', body($path), scalar @$keys, @$keys, @args);
}

sub error(&) {
    my ($code) = @_;
    return eval { $code->(); 1 } ? 'no error' : $@ =~ s/^redis error: //r;
}

# ---- all of them -------------------------------------------------------------

my @files = map { s{^\Q$root\E/}{}r } glob "$root/{svc,logic}/lua/*.lua";

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

for my $path (map { s{^\Q$root\E/}{}r } glob "$root/{svc,logic}/lua/lib/*.lua")
{
    my ($name) = $path =~ m{(\w+)\.lua$};
    like slurp("$root/$path"), qr/\A-- \Q$name\E\(/,
        "$path: says what it is";
    ok scalar(grep { slurp($_) =~ /^-- use: (.* )?$name\b/m }
        glob("$root/{svc,logic}/lua/*.lua"),
        glob("$root/{svc,logic}/lua/lib/*.lua")), "$path: is used";
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
is node_append($life), "$ms-1", 'and goes on there';

$redis->cmd('SET', 'goim:node:a', 'broken');
is node_append($life)->[1], 'replaced', 'what is no stream is replaced';

$redis->cmd('XADD', 'goim:node:a', '9007199254740-0', 'd', 'strange');
like error { node_append($life) }, qr/^LIFE lifted/, 'an id above the life';
is $redis->cmd('HGET', 'goim:life', 'n'), '9007199254741', 'lifts it';

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

is_deeply bus_append($life, 0, 1, 0), ["$life-0", "$life-0", "$life-1"],
    'an id a record';
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
sub turn {
    my ($me, $turn, $members, $leases) = @_;
    my ($share, @lists) = @{ run('lease_tick',
        ['goim:life', 'members', 'notes'], $life, 'goim:{', 'goim:bus:', $me,
        $turn, 4, scalar(keys %{ $members || {} }), %{ $members || {} },
        %{ $leases || {} }) };
    return ($share, map { +{ @$_ } } @lists);
}

sub leases { return join ' ', sort keys %{ $_[0] } }

my ($share, $members, $mine, $others) = turn('a', 1);
is "$share: @{[leases($mine)]}", '4: 0 1 2 3', 'alone one has all';
is $redis->cmd('GET', 'goim:{2}:lease'), "a $mine->{2} 1", 'a lease';
is_deeply [map { $redis->cmd('TTL', $_) } 'goim:{2}:lease', 'members'],
    [-1, -1], 'no clock of Redis\'s ends it';

($share, $members, $mine, $others) = turn('b', 1);
is "$share: @{[leases($mine)]}", '2: ', 'who comes has a share, and waits';
is leases($others), '0 1 2 3', 'for what another has';
is_deeply $members, { a => 1, b => 1 }, 'both are members';

is run('lease_give', ['goim:{3}:lease', 'notes'], "a 99", 'a'), 'FENCED',
    'only the holder gives a lease up';
is run('lease_give', ["goim:{$_}:lease", 'notes'], 'a 1', 'a'), 'OK',
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

$redis->cmd('DEL', map { "goim:{$_}:lease" } 0 .. 3);
$redis->cmd('SET', 'goim:bus:1:lease', 'old 7', 'PX', 60_000);
($share, $members, $mine) = turn('c', 1);
is leases($mine), '0 2 3', 'a lease of the version before is one';
like error { $life--; turn('c', 2) }, qr/^LIFE /, 'another life';
$life++;

# ---- places ------------------------------------------------------------------

$redis->cmd('SET', 'goim:{0}:lease', 'a 5 1');
my @save = ('goim:life', 'goim:{0}:done', 'goim:{0}:lease');
my @read = ('goim:{0}:done', 'goim:done:e');

sub saved {
    my ($lease, $place) = @_;
    return run('done_save', \@save, $life, 'e', $place, 60, $lease);
}

sub stands { return run('done_read', \@read, 'e', 0, 60) }

is stands(), '', 'nothing is done';
is saved('a 5', '7-2'), 'OK', 'a place';
is stands(), '7-2', 'is where one goes on';
is saved('a 5', '7-1'), 'OK', 'one before it';
is stands(), '7-2', 'changes nothing';
is saved('a 4', '8-0'), 'FENCED', 'nor does who had the lease before';
is saved('a 5', '10-0'), 'OK', 'numbers are no text';
is stands(), '10-0', 'ten is more than seven';
is run('done_read', \@read, 'other', 0, 60), '', 'another epoch, another place';
$redis->cmd('HSET', 'goim:done:e', 0, '12-3');
is stands(), '12-3', 'a place of the version before';
is saved('a 5', '13-0'), 'OK', 'goes on';
is stands(), '13-0', 'from there';
like error { run('done_save', \@save, $life - 1, 'e', '14-0', 60, 'a 5') },
    qr/^LIFE /, 'another life';
cmp_ok $redis->cmd('TTL', 'goim:{0}:done'), '>', 0, 'it ends by itself';

done_testing;
