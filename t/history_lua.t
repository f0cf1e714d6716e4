# The scripts of history, one promise after the other; t/number_model.t has
# what they promise together.

use strict;
use warnings;

use lib 't/lib';
use Goim::Redis;
use Goim::Test;

my $root = root_dir();
my $redis = Goim::Redis->new;
my $OF = 'bus 4 stamp';
my $DAY = 86_400_000;

sub run {
    my ($path, $keys, @args) = @_;
    my $body = `cd '$root' && awk -f tools/lua.awk $path.lua`;
    return $redis->cmd('EVAL', $body, scalar @$keys, @$keys, @args);
}

sub error(&) {
    my ($code) = @_;
    return eval { $code->(); 1 } ? 'no error' : $@ =~ s/^redis error: //r;
}

sub fresh {
    $redis->cmd('FLUSHALL');
    $redis->cmd('HSET', 'goim:life', 'n', 7);
    $redis->cmd('HSET', 'goim:history', 'of', $OF, 'lived', 0);
    $redis->cmd('SET', 'goim:{1}:lease', 'job 1 5');
}

my %how;        # life, of, lease: as long as they are right, not said

# Records: [room, position, body, id, at]; what has become of each: its number,
# or less.
sub number {
    my (@records) = @_;
    my $a = run($how{full} ? 'job/lua/number_full' : 'job/lua/number',
        [qw(goim:life goim:history goim:{1}:lease goim:{1}:done
        goim:{1}:repeats:bus goim:{1}:judged goim:{1}:rooms goim:{1}:open)],
        $how{life} // 7, $how{of} // $OF, $how{lease} // 'job 1', 'bus', 'bus',
        'goim:{1}:', 'word' . int rand 1e9, 5000, $how{since} // '',
        map { my ($room, $pos, $body, $id, $at) = @$_;
            ($room, $how{keep} // 10, 60_000, $pos, $body // "b$pos",
             $id // '', $at // 0) } @records);
    return $a if !ref $a;
    $how{replaced} = shift @$a;
    $how{epoch} = $a->[-1];
    return join ' ', @$a[grep { !($_ % 2) } 0 .. $#$a];
}

sub done { $redis->cmd('HSET', 'goim:{1}:done', 'bus', $_[0]) }

sub read_room {
    my ($room, $epoch, $what, $n, %arg) = @_;
    my $a = run('logic/lua/read', [qw(goim:life goim:history
        goim:{1}:done), "goim:{1}:meta:$room", "goim:{1}:items:$room",
        'goim:{1}:rooms', 'goim:{1}:judged'], $how{life} // 7,
        $how{of} // $OF, $room, $epoch, $what, $n, $arg{limit} // 100,
        $arg{bytes} // 1e6, 'read' . int rand 1e9, $arg{most} // 1e6);
    return $a if !ref $a;
    my ($got, $e, @rest) = @$a;
    $how{epoch} = $e;
    return join ' ', $got, @rest;
}

sub meta { return $redis->cmd('HGET', "goim:{1}:meta:$_[0]", $_[1]) }

# ---- numbers -----------------------------------------------------------------

fresh();
is number(['a', '0-0'], ['b', '0-1'], ['a', '0-2']), '1 1 2',
    'from one, by one, a room';
like $how{epoch}, qr/^[!-~]{1,32}$/, 'an epoch is a word';
is number(['a', '0-3'], ['a', '0-5']), '3 4', 'and so on';
my $epoch = $how{epoch};
is number(['a', '0-0'], ['a', '0-2'], ['a', '0-5']), '1 2 4',
    'what is done again has the number it had';
is number(['a', '0-5'], ['a', '0-3'], ['b', '0-1']), '4 3 1', 'in any order';
is_deeply $redis->cmd('XRANGE', 'goim:{1}:items:a', '2', '2'),
    [['2-0', ['p', '0-2', 'r', 'b0-2']]], 'it is stored';
is number(), '', 'a step without records';

$redis->cmd('HSET', 'goim:life', 'n', 8);
like error { number(['a', '0-6']) }, qr/^LIFE /, 'another life';
$how{life} = 8;
is number(['a', '0-6']), '5', 'has the same epoch';
is $how{epoch}, $epoch, 'on a bus of its own';
$redis->cmd('HSET', 'goim:history', 'lived', 1);
is number(['b', '0-7']), '1', 'and another one';
isnt $how{epoch}, $epoch, 'where the bus was Redis';
%how = ();

fresh();
is do { local $how{of} = 'bus 4 other'; number(['a', '0-0']) }, 'HISTORY',
    'another [history]';
is do { local $how{lease} = 'job 2'; number(['a', '0-0']) }, 'FENCED',
    'another owner';
is_deeply [$redis->cmd('KEYS', 'goim:{1}:[miro]*')], [[]],
    'neither has done anything';

# ---- done --------------------------------------------------------------------

fresh();
done('0-4');
is number(['a', '0-3'], ['a', '0-4'], ['a', '0-5']), '-2 -2 1',
    'what was done is not numbered';
is meta('a', 'last'), '0-5', 'the newest';

$redis->cmd('DEL', 'goim:{1}:items:a');
$how{was} = $how{epoch};
is number(['a', '0-6'], ['a', '0-5']), '2 0',
    'a number that nobody knows any more';
isnt meta('a', 'epoch'), $how{was}, 'is said by another epoch';
is number(['a', '0-7']), '1', 'which goes on by itself';

# ---- how long ----------------------------------------------------------------

fresh();
number(['a', '0-1']);
is $redis->cmd('PTTL', 'goim:{1}:items:a'), -1, 'no time while it is not done';
number();
is $redis->cmd('PTTL', 'goim:{1}:items:a'), -1, 'nor later';
done('0-1');
number();
my $ttl = $redis->cmd('PTTL', 'goim:{1}:items:a');
ok $ttl > 50_000 && $ttl <= 60_000, 'its time, when it is done';
number(['a', '0-2']);
is $redis->cmd('PTTL', 'goim:{1}:items:a'), -1, 'none again with the next one';

fresh();
number(map { ['a', "0-$_"] } 1 .. 40);
is $redis->cmd('XLEN', 'goim:{1}:items:a'), 40, 'what is not done stays';
done('0-20');
number(['a', '0-41']);
is $redis->cmd('XLEN', 'goim:{1}:items:a'), 21, 'no more goes than is done';
done('0-41');
number(map { ['a', "0-$_"] } 42 .. 60);
my @len = map {
    done('0-' . ($_ - 1));
    number(['a', "0-$_"]);
    $redis->cmd('XLEN', 'goim:{1}:items:a');
} 61 .. 100;
@len = sort { $a <=> $b } @len;
cmp_ok $len[0], '>=', 10, 'so many are kept';
cmp_ok $len[-1], '<', 40, 'and not many more';

fresh();
number(['a', '0-1', undef, 'x 1', 1000]);
done('0-1');
number();
my $soon = $redis->cmd('ZSCORE', 'goim:{1}:rooms', 'a') - time() * 1000;
ok abs($soon - 30 * $DAY) < 60_000, 'a meta is looked after in 30 days';

sub due {
    $redis->cmd('HSET', 'goim:{1}:meta:a', 'until', (time() - $_[0]) * 1000);
    $redis->cmd('ZADD', 'goim:{1}:rooms', 1, 'a');
    number();
    return join ' ', map { $redis->cmd('EXISTS', "goim:{1}:$_:a") }
        qw(meta items ids);
}

is due(31 * 86_400), '1 1 1', 'and stays while it has items';
$redis->cmd('DEL', 'goim:{1}:items:a');
is due(29 * 86_400), '1 0 1', 'and 30 days more';
is due(31 * 86_400), '0 0 0', 'and goes, and ids with it';
is $redis->cmd('EXISTS', 'goim:{1}:rooms'), 0, 'for good';

# ---- repeats -----------------------------------------------------------------

fresh();
is number(['a', '0-1', 'x', 'me 1', 10_000], ['a', '0-2', 'x', 'me 1', 10_400],
    ['a', '0-3', 'x', 'you 1', 10_400], ['b', '0-4', 'x', 'me 1', 10_400],
    ['a', '0-5', 'x', 'me 2', 10_400], ['a', '0-6', 'x', 'me 1', 5000]),
    '1 -1 2 1 3 -1', 'the same id, sender and room, near in time';
is number(['a', '0-2', 'x', 'me 1', 10_400], ['a', '0-1', 'x', 'me 1', 10_000],
    ['a', '0-6', 'x', 'me 1', 5000]), '-1 1 -1', 'and again';
is number(['a', '0-7', 'x', 'me 1', 15_001]), '4', 'no repeat: too late';
is number(['a', '0-8', 'x', '', 15_001], ['a', '0-9', 'x', '', 15_001]), '5 6',
    'without an id nothing is one';
is $redis->cmd('ZCARD', 'goim:{1}:repeats:bus'), 2, 'repeats are remembered';
done('0-5');
number();
is $redis->cmd('ZCARD', 'goim:{1}:repeats:bus'), 1, 'until they are done';
is number(['a', '0-2', 'x', 'me 1', 10_400]), '-2', 'then they are known so';

$redis->cmd('DEL', 'goim:{1}:meta:a');
is number(['a', '0-6', 'x', 'me 1', 5000], ['a', '0-7', 'x', 'me 1', 15_001]),
    '-1 1', 'ids outlive an epoch, and nothing is its own repeat';
is number(['a', '0-10', 'x', 'me 9', 90_000],
    ['a', '0-11', 'x', 'me 1', 15_002]), '2 3', 'they are forgotten by the times of records';

$redis->cmd('EVAL', 'for i = 1, 100000 do redis.call("ZADD", KEYS[1], 90000, i)
    end', 1, 'goim:{1}:ids:a');
number(['a', '0-12', 'x', 'me 3', 90_000]);
cmp_ok $redis->cmd('ZCARD', 'goim:{1}:ids:a'), '<=', 100_002, 'and bounded';

# ---- keys of another type ----------------------------------------------------

for my $key (qw(meta:a items:a repeats:bus judged rooms open ids:a)) {
    fresh();
    number(['a', '0-1', 'x', 'me 1', 1000]);
    my $wrong = $key =~ /meta|judged/ ? 'SADD' : 'APPEND';
    $redis->cmd('DEL', "goim:{1}:$key");
    $redis->cmd($wrong, "goim:{1}:$key", 'wrong');
    $how{was} = $how{epoch};
    like number(['a', '0-2', 'x', 'me 2', 1000],
        ['a', '0-3', 'x', 'me 2', 1000]), qr/^[12] -1$/, "$key: goes on";
    number() if !$how{replaced};
    ok $how{replaced}, "$key: counted";
    if ($key =~ /meta|items/) {
        number(['a', '0-2']);
        isnt $how{epoch}, $how{was}, "$key: begins anew";
    }
    is error { number(['a', '0-4']) }, 'no error', "$key: is right again";
}

# ---- a full Redis ------------------------------------------------------------

fresh();
my ($used) = $redis->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
$redis->cmd('CONFIG', 'SET', 'maxmemory', int $used * 0.97);
like error { number(['a', '0-1']) }, qr/^OOM /, 'a full Redis';
$how{full} = 1;
is number(['a', '0-1']), '1', 'is taken from, to empty the bus';
$redis->cmd('CONFIG', 'SET', 'maxmemory', int $used * 0.5);
like error { number(['a', '0-2']) }, qr/^OOM /, 'up to 10 % more';
$redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
%how = ();

# ---- reading -----------------------------------------------------------------

fresh();
done('0-9');
is read_room('a', '', 'last', 50), 'UNSAID',
    'a room does not begin before its partition goes by [history]';
is $redis->cmd('EXISTS', 'goim:{1}:meta:a'), 0, 'nothing is written';
number();
is read_room('a', '', 'last', 50), 'OK 1 0', 'a room without meta makes one';
$epoch = $how{epoch};
is meta('a', 'last'), '0-9', 'at what is done';
my $kept = $redis->cmd('ZSCORE', 'goim:{1}:rooms', 'a') - time() * 1000;
ok abs($kept - $DAY) < 60_000, 'kept a day';
is read_room('a', $epoch, 'after', 0), 'OK 1 0', 'nothing new';
is number(['a', '0-10', 'x'], ['a', '0-11', 'y'], ['a', '0-12', 'z']), '1 2 3',
    'it is the one that job finds';
is $how{epoch}, $epoch, 'with its epoch';

is read_room('a', $epoch, 'after', 1), 'OK 1 3 2 y 3 z', 'after';
is read_room('a', '', 'after', 1), 'OK 1 3 2 y 3 z', 'of any epoch';
is read_room('a', $epoch, 'after', 0, limit => 2), 'OK 1 3 1 x 2 y', 'a page';
is read_room('a', $epoch, 'after', 3), 'OK 1 3', 'the newest is known';
is read_room('a', $epoch, 'after', 4), 'LATER 1 3', 'more than there is';
is read_room('a', 'other', 'after', 1), 'CANNOT 1 3', 'another epoch';
is read_room('a', '', 'last', 2), 'OK 1 3 2 y 3 z', 'the newest';
is read_room('a', '', 'last', 9), 'OK 1 3 1 x 2 y 3 z', 'all of them';
is read_room('a', '', 'before', 3), 'OK 1 3 1 x 2 y', 'before';
is read_room('a', '', 'before', 3, limit => 1), 'OK 1 3 2 y',
    'the last of them';
is read_room('a', '', 'before', 1), 'OK 1 3', 'before all';
is read_room('a', $epoch, 'after', 0, bytes => 2), 'OK 1 3 1 x 2 y',
    'so many bytes';
is read_room('a', $epoch, 'after', 0, bytes => 1), 'OK 1 3 1 x', 'or one';

$redis->cmd('XTRIM', 'goim:{1}:items:a', 'MINID', '3-0');
is read_room('a', $epoch, 'after', 1), 'CANNOT 3 3', 'not kept any more';
is read_room('a', $epoch, 'after', 2), 'OK 3 3 3 z', 'just so';
is read_room('a', '', 'last', 9), 'OK 3 3 3 z', 'what there is';
number(map { ['a', "0-$_", "b$_"] } 13 .. 53);
$redis->cmd('XDEL', 'goim:{1}:items:a', '30-0');
is read_room('a', $epoch, 'after', 28), 'BROKEN 31 44',
    'what somebody has deleted is given up';
is read_room('a', $epoch, 'after', 28, limit => 1), 'OK 4 44 29 b38',
    'where it is no part of the answer, it does not matter';
is read_room('a', '', 'before', 33), 'BROKEN 31 44 31 b40 32 b41',
    'nothing is read before it';
is read_room('a', '', 'last', 15), 'BROKEN 31 44 ' . join(' ',
    map { $_, 'b' . ($_ + 9) } 31 .. 44), 'of the newest neither';
$redis->cmd('XDEL', 'goim:{1}:items:a', '43-0', '44-0');
is read_room('a', $epoch, 'after', 42), 'BROKEN 45 44', 'nor the newest';
is read_room('a', '', 'last', 1), 'BROKEN 45 44', 'when it has gone';

# the newest two anew, of other forms
$redis->cmd('DEL', 'goim:{1}:items:a');
for (['42-0', qw(p 0-1 r b51)], ['43-1', qw(p 0-1 r b)], ['44-0', qw(r b53)]) {
    $redis->cmd('XADD', 'goim:{1}:items:a', @$_);
}
is read_room('a', $epoch, 'after', $_), 'BROKEN 45 44', 'one of another form'
    for 42, 43;
is read_room('a', $epoch, 'after', 41, limit => 1, most => 2),
    'BROKEN 43 44', 'or too long';
$redis->cmd('DEL', 'goim:{1}:items:a');
is read_room('a', $epoch, 'after', 43), 'CANNOT 45 44', 'all items gone';
is read_room('a', $epoch, 'after', 44), 'OK 45 44', 'numbers stay';
is number(['a', '0-54']), '45', 'and go on';
is read_room('a', $epoch, 'after', 44), 'OK 45 45 45 b0-54', 'from there';

$redis->cmd('HSET', 'goim:history', 'of', $how{of} = 'bus 8 stamp');
is read_room('a', $epoch, 'after', 45), 'UNSAID', 'another [history]';
is do { local $how{of} = $OF; number() }, 'HISTORY',
    'who does not know it says nothing';
number();
is read_room('a', $epoch, 'after', 45), 'CANNOT 1 0',
    'of another number of partitions: it begins anew';
is $redis->cmd('EXISTS', 'goim:{1}:items:a'), 0, 'without items';
$redis->cmd('HSET', 'goim:history', 'of', $how{of} = 'tram 8 stamp');
number();
is read_room('a', '', 'last', 9), 'UNSAID', 'nor does a job of another bus';
$redis->cmd('HSET', 'goim:history', 'of', $OF);
%how = ();

# ---- where a partition began -----------------------------------------------------

# with nothing done it is told each time
fresh();
$how{since} = '0-3';
is number(['a', '0-3'], ['a', '0-4']), '1 2', 'a partition begins';
$epoch = $how{epoch};
is number(['a', '0-3'], ['a', '0-5']), '1 3', 'again there: all goes on';
is $how{epoch}, $epoch, 'in its epoch';
cmp_ok $redis->cmd('TTL', 'goim:{1}:done'), '>', 0, 'it ends by itself';
is read_room('a', $epoch, 'after', 2), 'OK 1 3 3 b0-5', 'is read';
$how{since} = '';
done('0-5');
is number(['a', '0-6']), '4', 'behind its place';
is $how{epoch}, $epoch, 'it is the same epoch';

$how{since} = '0-90';
is number(), '', 'away from its place';
like read_room('a', $epoch, 'after', 2), qr/^CANNOT 1 0/, 'no epoch goes on';
is_deeply run('logic/lua/heads', ['goim:life', 'goim:history',
    'goim:{1}:done', 'goim:{1}:meta:b'], 7, $OF), ['', 0], 'nor for heads';
is number(['a', '0-90'], ['b', '0-91']), '1 1', 'numbers begin anew';
isnt $how{epoch}, $epoch, 'under another epoch';
%how = ();

# ---- heads -------------------------------------------------------------------

fresh();
number(['a', '0-1'], ['a', '0-2'], ['b', '0-3']);
my @metas = map { ('goim:{1}:done', "goim:{1}:meta:$_") } qw(a b c d);
$redis->cmd('HSET', 'goim:{1}:meta:d', 'epoch', 'e', 'seq', 9, 'of', 'else');

sub heads {
    return run('logic/lua/heads', ['goim:life', 'goim:history', @metas], @_);
}

is_deeply heads(7, $OF), [meta('a', 'epoch'), 2, meta('b', 'epoch'), 1,
    '', 0, '', 0], 'newest numbers; none, and of something else, is none';
is heads(7, 'other'), 'HISTORY', 'another [history]';
like error { heads(8, $OF) }, qr/^LIFE /, 'another life';

# ---- [history] ---------------------------------------------------------------

$redis->cmd('FLUSHALL');

sub history { return run('job/lua/history', ['goim:history'], @_) }

is_deeply history($_, '', 's1', 'bus', 1, 4), ['', 'bus 4 0', 4, 'bus'],
    'nothing is kept, and it is said so' for 0, 1, 0;
is_deeply history(0, 'live', 's2', 'bus', 1, 4), ['live', 'bus 4 s2', 4, 'bus'],
    'where nothing was kept it is written';
is history(1, 'live', 's3', 'bus', 1, 4)->[1], 'bus 4 s2',
    'the same: as before';
is_deeply history(0, 'chat', 's4', 'bus', 1, 4), ['live', 'bus 4 s2', 4, 'bus'],
    'who has not just started learns';
is history(1, 'chat', 's5', 'bus', 1, 4)->[1], 'bus 4 s5', 'who has, says';
is history(0, 'x', 's6', 'bus', 1, 8)->[1], 'bus 8 s5', 'partitions grow';
is history(1, 'chat', 's7', 'bus', 1, 4)->[1], 'bus 8 s5', 'and only that';
is history(0, 'x', 's8', 'tram', 0, 2)->[1], 'bus 8 s5', 'another bus learns';
is history(1, 'chat', 's9', 'tram', 0, 2)->[1], 'tram 2 s5', 'or begins';
is $redis->cmd('HGET', 'goim:history', 'lived'), 0, 'and says what it is';
is history(1, '', 's10', 'tram', 0, 2)->[0], '', 'none any more';
is history(0, 'x', 's11', 'tram', 0, 2)->[1], 'tram 2 s10', 'is remembered';
$redis->cmd('DEL', 'goim:history');
is history(0, 'live', 's11', 'tram', 0, 2)->[1], 'tram 2 s11',
    'where nothing stands it is written';
$redis->cmd('SET', 'goim:history', 'broken');
is history(0, 'live', 's12', 'tram', 0, 2)->[1], 'tram 2 s12',
    'a key of another type is replaced';

done_testing;
