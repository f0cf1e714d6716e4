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

is_deeply run('bus_redis_append', ['goim:life', 'done', 'goim:bus:0',
    'goim:bus:1', 'goim:bus:0'], $life, map { ($_, 'k', 'v') } 0, 1, 0),
    ["$life-0", "$life-0", "$life-1"], 'an id a record';
like error { run('bus_redis_append', ['goim:life', 'done', 'goim:bus:0'],
    $life - 1, 0, 'k', 'v') }, qr/^LIFE /, 'another life';

$redis->cmd('HSET', 'done', 0, "$life-1");
$redis->cmd('DEL', 'goim:bus:0');
like error { run('bus_redis_append', ['goim:life', 'done', 'goim:bus:0'],
    $life, 0, 'k', 'v') }, qr/^LIFE lifted/, 'a partition that was lost';
cmp_ok $redis->cmd('HGET', 'goim:life', 'n'), '>', $life, 'lifts the life';

# ---- the registry of nodes ---------------------------------------------------

$redis->cmd('FLUSHALL');

sub enter {
    my ($server, $zone, %arg) = @_;
    return run('node_register', ['goim:nodes', 'goim:nodes:version',
        'goim:nodes:seen', "goim:nodes:zones:$server", "goim:node:$server",
        'goim:nodes:missed'], $server, $zone, $arg{instance} || "h/$server",
        $arg{replaces} || '', 30_000, 'packed', 3600, $arg{before} || 0,
        $arg{known} || 0, 20_000);
}

sub leave {
    my ($server, $zone) = @_;
    return run('node_leave', ['goim:nodes', 'goim:nodes:version',
        'goim:nodes:seen', "goim:nodes:zones:$server"], $server, $zone,
        'unpacked');
}

sub entry { return $redis->cmd('HGET', 'goim:nodes', $_[0]) }

my $r = enter('a', 'z1');
like $r->[2], qr/^\d{13}$/, 'registered: Redis\'s time';
is_deeply [@$r[0, 1, 3, 4]], ['OK', 0, 0, 0], 'and nothing was missed';
is $redis->cmd('HGET', 'goim:nodes', 'created'), $r->[2], 'a new registry';
like entry('a/z1'), qr/^packed\x10[\x80-\xff]{5}[\x01-\x7f]$/s,
    'the packed node, and when';
is_deeply enter('a', 'z2', instance => 'h/other'), ['REFUSED', 'h/a'],
    'another instance is told who has it';
is enter('a', 'z2', instance => 'h/other', replaces => 'h/a')->[0], 'OK',
    'unless that one is dead';
like entry('a/z1'), qr/\x18\x01$/, 'which has left then';

my $version = $redis->cmd('GET', 'goim:nodes:version');
is_deeply leave('a', 'z2'), ['OK', 0], 'it leaves';
like entry('a/z2'), qr/\x18\x01$/, 'its entry says so';
is $redis->cmd('GET', 'goim:nodes:version'), $version + 1, 'that is news';
leave('a', 'z2');
is $redis->cmd('GET', 'goim:nodes:version'), $version + 1, 'once';

leave('c', 'z1');
is entry('c/z1'), "unpacked\x18\x01", 'one that was swept says it too';

is enter('b', 'z1', before => 1)->[4], 1,
    'one that was registered, and nobody knows: it has lapsed';
is run('node_missed', ['goim:nodes:missed'], 'b', 3), 3, 'it missed some';
is run('node_missed', ['goim:nodes:missed'], 'b', 4), 7, 'and some more';
is_deeply [@{ enter('b', 'z1', before => 1) }[3, 4]], [7, 0],
    'known, and told how much it missed';

$redis->cmd('FLUSHALL');
is enter('b', 'z1', before => 1)->[4], 0, 'Redis lost it: that is no lapse';
like $redis->cmd('HGET', 'goim:nodes', 'created'), qr/^\d+ lost$/,
    'and the others are waited for';
is enter('c', 'z1', before => 1)->[4], 0, 'as long as they come in time';
$redis->cmd('FLUSHALL');
enter('d', 'z1', known => 1);
like $redis->cmd('HGET', 'goim:nodes', 'created'), qr/ lost$/,
    'the same when the caller knows nodes';

$redis->cmd('FLUSHALL');
$redis->cmd('SET', $_, 'broken') for 'goim:nodes', 'goim:nodes:zones:a';
is enter('a', 'z1')->[1], 1, 'keys of another type are replaced';

done_testing;
