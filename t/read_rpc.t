# What nodes read of a room's history, through logic: pages, where it stands, or
# that it cannot be; pages that logic keeps, which never outlive their epoch;
# many heads at once; and what a call may ask for.

use strict;
use warnings;

use lib 't/lib';
use Goim::Bus;
use Goim::Job;
use Goim::Logic;
use Goim::Proto qw(proto_decode);
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $redis = Goim::Redis->new;
my $bus = Goim::Bus->new(redis => $redis);
my %common = (redis => $redis->addr);
my %wait = (redis => { timeout => '60s' });
my $logic = Goim::Logic->new(%common, conf => { %wait,
    logic => { threads => 2 } });
my $job;

sub job {
    my $was = $redis->cmd('HGET', 'goim:history', 'stamp') // '';
    $job->stop if $job;
    $job = Goim::Job->new(%common, conf => { %wait, history => { @_ } });
    wait_for { ($redis->cmd('HGET', 'goim:history', 'stamp') // '') ne $was }
        30, 'job says what has a history';
}

Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});
is $rpc->register->{registered}{stamp}, '', 'nobody knows what has a history';
is $rpc->call(read => { timeline => 'live://1' })->{code}, 1,
    'so no room is said to have none';
is $rpc->call(heads => { timelines => ['live://1'] })->{code}, 1,
    'by heads neither';
job();
eventually { $rpc->register->{registered}{stamp} eq '0' } 20,
    'a job says that no room has one';
is $rpc->call(read => { timeline => 'live://1' })->{page}{status}, 'NONE',
    'and nodes are told';
job(live => '300 10m', big => '50 10m');

my %n;

sub produce {
    my ($room, $many, $text) = @_;
    $bus->write(Goim::Bus::partition($room, 8), map { { type => 'ROOM',
        room => $room, operation => 1000, msg => ($text || 'b') . ++$n{$room}
        } } 1 .. $many);
    numbered($room, $n{$room});
}

sub numbered {
    my ($room, $n) = @_;
    wait_for { page($room, '', 0, 0)->{head} == $n } 20, "$room has $n";
}

sub page {
    my ($room, $epoch, $after, $limit) = @_;
    my $r;

    # a job has just been started, or Redis
    wait_for {
        $r = $rpc->call(read => { timeline => $room, epoch => $epoch,
            after => $after, limit => $limit });
        ($r->{error} || '') !~ /^no job numbers this room yet/;
    } 20, "$room is numbered";
    die "read: $r->{code}, $r->{error}\n" if $r->{code};
    return $r->{page};
}

sub bodies {
    my ($page) = @_;
    return map { "$_->{seq}=" . proto_decode('Record', $_->{record})->{body} }
        @{ $page->{items} };
}

sub said {
    my ($p) = @_;
    my @b = bodies($p);
    return join ' ', $p->{status}, $p->{first}, $p->{head},
        @b > 3 ? ($b[0], '..', $b[-1]) : @b;
}

sub count { return $logic->metrics->{"goim_logic_page_$_[0]"} }

# ---- pages -------------------------------------------------------------------

my $room = 'live://1';
my $p = page($room, '', 0, 10);
is said($p), 'OK 1 0', 'a room that nobody knows begins';
my $epoch = $p->{epoch};
like $epoch, qr/^[!-~]{1,32}$/, 'with an epoch';

produce($room, 250);
is said(page($room, '', 0, 0)), 'OK 1 250', 'where it stands';
is said(page($room, '', 0, 2)), 'OK 1 250 249=b249 250=b250', 'the newest two';
is said(page($room, '', 0, 1000)), 'OK 1 250 1=b1 .. 250=b250', 'all of them';
is said(page($room, $epoch, 0, 100)), 'OK 1 250 1=b1 .. 100=b100', 'a page';
is said(page($room, $epoch, 247, 100)), 'OK 1 250 248=b248 249=b249 250=b250',
    'the last one';
is said(page($room, $epoch, 250, 100)), 'OK 1 250', 'nothing new';
is said(page($room, $epoch, 251, 100)), 'LATER 1 250', 'beyond the head';
is page($room, $epoch, 2 ** 53 - 1, 9)->{status}, 'LATER', 'far beyond';
is page($room, $epoch, 251, 100)->{epoch}, $epoch, 'of the same epoch';
$p = page($room, 'another', 0, 100);
is said($p), 'CANNOT 1 250', 'of another one';
is $p->{epoch}, $epoch, 'it says which it is';
is said(page('chat://1', '', 0, 10)), 'NONE 0 0', 'no history';

# ---- pages that are kept -----------------------------------------------------

my ($hits, $misses) = (count('hits_total'), count('misses_total'));
my $same = join ' ', bodies(page($room, $epoch, 0, 100));
is count('hits_total'), $hits + 1, 'a page below the head is kept';
is count('misses_total'), $misses, 'and not asked for';
cmp_ok count('bytes'), '>', 100, 'within bytes that are counted';
page($room, $epoch, 240, 100) for 1 .. 3;
is count('hits_total'), $hits + 1, 'one at the head is not';

produce($room, 5);
is said(page($room, $epoch, 240, 100)), 'OK 1 255 241=b241 .. 255=b255',
    'so that what is new is in it';
$p = page($room, $epoch, 0, 100);
is said($p), 'OK 1 255 1=b1 .. 100=b100', 'one that is kept has the new head';
is join(' ', bodies($p)), $same, 'and what it had';
is count('hits_total'), $hits + 2, 'from here';

# nothing is trimmed before it is done, and then with what comes next
produce($room, 300);
eventually {
    page($room, '', 0, 0)->{first} > 100 || do { produce($room, 1); 0 };
} 20, 'the oldest are trimmed';
$p = page($room, $epoch, 0, 100);
is "$p->{status} $p->{head} @{[bodies($p)]}", "CANNOT $n{$room} ",
    'what Redis does not have any more is not said from here';
cmp_ok $p->{first}, '>', 100, 'as it was trimmed';
is count('hits_total'), $hits + 2, 'nor counted';

# Redis went back to fewer than that
page($room, $epoch, 400, 100);
my ($meta) = @{ $redis->cmd('KEYS', "goim:{*}:meta:$room") };
(my $items = $meta) =~ s/meta/items/;
$redis->cmd('XDEL', $items, map { "$_-0" } 451 .. $n{$room});
$redis->cmd('HSET', $meta, 'seq', 450);
$p = page($room, $epoch, 400, 100);
is "$p->{status} $p->{head} " . @{ $p->{items} }, 'OK 450 50',
    'a page that is not below the head any more';

# ---- the end of an epoch -----------------------------------------------------

sub ends {
    my ($how, $room, $end) = @_;
    produce($room, 20);
    my $epoch = page($room, '', 0, 0)->{epoch};
    page($room, $epoch, 0, 10) for 1 .. 2;
    $end->();
    my $p;
    wait_for {
        my $r = $rpc->call(read => { timeline => $room, epoch => $epoch,
            limit => 10 });
        $p = $r->{page};
        !$r->{code};
    } 30, 'Redis answers';
    is "$p->{status} " . @{ $p->{items} || [] }, 'CANNOT 0',
        "$how: what is kept is of another epoch";
    isnt $p->{epoch}, $epoch, "$how: it has begun";

    # what was not done yet has a number in it, too
    $bus->write(Goim::Bus::partition($room, 8), map { { type => 'ROOM',
        room => $room, operation => 1000, msg => "new$_" } } 1 .. 3);
    eventually { "@{[bodies(page($room, $p->{epoch}, 0, 100))]}"
        =~ /^1=(.* \d+=)?new1 \d+=new2 \d+=new3$/ } 20, "$how: and goes on";
}

my $stamp = $rpc->register->{registered}{stamp};
ends('meta gone', 'live://2', sub { $redis->cmd('DEL', map { s/1$/2/r }
    @{ $redis->cmd('KEYS', "goim:{*}:*:live://2") }) });
ends('another [history]', 'live://3', sub { job(live => '200 10m') });
eventually { $rpc->register->{registered}{stamp} ne $stamp } 20,
    'nodes are told so';
ends('a new run of Redis', 'live://4', sub {
    $redis->stop;
    $redis->start;
});

# ---- what nodes are told -----------------------------------------------------

job(live => '300 10m', big => '50 10m', '~odd' => '1 1s');
$stamp = $redis->cmd('HGET', 'goim:history', 'stamp');
like $stamp, qr/^[!-~]{16}$/, 'another stamp';
eventually { $rpc->register->{registered}{stamp} eq $stamp } 20,
    'is told to nodes';
is page('~odd://1', '', 0, 0)->{status}, 'OK', 'as rooms are read by it';

# ---- items of any size -------------------------------------------------------

$room = 'big://1';
my $large = 'x' x 3_000_000;
produce($room, 1, 'small');
produce($room, 2, $large);
produce($room, 2, 'small');
$epoch = page($room, '', 0, 0)->{epoch};
$p = page($room, $epoch, 0, 100);
is join(' ', map { $_->{seq} } @{ $p->{items} }), '1 2',
    'a page ends with what fills it';
is length((bodies($p))[1]), 2 + 3_000_001, 'larger than a frame of a node';
is join(' ', map { $_->{seq} } @{ page($room, $epoch, 2, 100)->{items} }), '3',
    'one item at least';
is join(' ', map { $_->{seq} } @{ page($room, $epoch, 3, 100)->{items} }),
    '4 5', 'and the rest';

# ---- heads -------------------------------------------------------------------

sub heads {
    my $r = $rpc->call(heads => { timelines => [@_] });
    return $r->{code} if $r->{code};
    return join ' ', map { $_->{none} ? 'none' : $_->{epoch} eq '' ? 'gone'
        : $_->{seq} } @{ $r->{headed}{heads} };
}

produce("live://h$_", $_) for 1 .. 3;
is heads(qw(live://h3 chat://1 live://h1 live://nobody big://1 live://h2)),
    '3 none 1 gone 5 2', 'in the order they are asked for';
is heads('chat://1', 'x'), 'none none', 'without history';
my @many = map { "live://h" . ($_ % 3 + 1) } 1 .. 256;
is heads(@many), join(' ', map { $_ % 3 + 1 } 1 .. 256), 'as many as may be';
my $r = $rpc->call(heads => { timelines => ['live://h3'] });
is $r->{headed}{heads}[0]{epoch}, page('live://h3', '', 0, 0)->{epoch},
    'of that epoch';
job(big => '50 10m');
like heads('live://h3', 'big://1'), qr/^none (gone|\d)$/, 'as [history] is now';

# ---- bounds ------------------------------------------------------------------

is $rpc->call(heads => { timelines => $_ })->{code}, 4, 'wrong heads'
    for [], [@many, 'live://1'], [''], ["a\0b"], ['x' x 257];
is $rpc->call(read => $_)->{code}, 4, 'a wrong read' for {},
    { timeline => 'x' x 257 }, { timeline => "live://\0" },
    { timeline => 'live://1', epoch => 'x' x 33 },
    { timeline => 'live://1', epoch => "a b" },
    { timeline => 'live://1', epoch => "\xc3\xa4" },
    { timeline => 'live://1', epoch => 'a', after => 2 ** 53 },
    { timeline => 'live://1', limit => 1001 };
is page('big://' . 'x' x 250, '~' x 32, 0, 1000)->{status}, 'CANNOT',
    'all at their bounds';

# Redis does not answer: 256 wait for it, in all threads
my @rpc = ($rpc, map { Goim::RPC->new($logic->{rpc_port}) } 1 .. 3);
hit('STOP', $redis->pid);
my @id = map { my $c = $_; map { [$c, $c->send(read => {
    timeline => 'big://quiet', limit => 1 })] } 1 .. 75 } @rpc;
eventually { $logic->metrics->{goim_logic_reads_later_total} == 44 } 20,
    'beyond that it is later';
hit('CONT', $redis->pid);
my %status;
$status{ $_->[0]->reply($_->[1])->{page}{status} }++ for @id;
is_deeply \%status, { OK => 256, LATER => 44 }, 'each has its answer';
is page('big://1', '', 0, 0)->{status}, 'OK', 'and there is room again';

# Redis is away
$redis->stop;
eventually { $rpc->call(read => { timeline => 'big://1' })->{code} == 1 } 20,
    'not without Redis';
is heads('big://1'), 1, 'neither are heads';

done_testing;
