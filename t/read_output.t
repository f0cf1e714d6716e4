# Answers that a node does not take: at 4 MB of them logic reads no more of its
# histories for it, and says later; other nodes are served meanwhile, and so is
# this one when it has taken what there is.

use strict;
use warnings;

use lib 't/lib';
use Goim::Bus;
use Goim::Job;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $redis = Goim::Redis->new;
my $bus = Goim::Bus->new(redis => $redis);
my $logic = Goim::Logic->new(redis => $redis->addr,
    conf => { logic => { threads => 1 } });
my $job = Goim::Job->new(redis => $redis->addr,
    conf => { history => { live => '50 10m' } });

Goim::RPC::ready($logic);

my ($rpc, $other) = map { Goim::RPC->new($logic->{rpc_port}, zone => "z$_") }
    1, 2;
my $room = 'live://1';
my ($large, $many) = (1_000_000, 250);

$bus->write(Goim::Bus::partition($room, 8), { type => 'ROOM', room => $room,
    operation => 1000, msg => 'x' x $large });

sub items {
    my ($r) = @_;
    return $r->{page}{status} eq 'OK' ? scalar @{ $r->{page}{items} } : '';
}

eventually {
    my $r = $other->call(read => { timeline => $room, limit => 1 });
    !$r->{code} && items($r);
} 20, 'the room has an item';

sub memory {
    my ($which) = @_;
    return slurp('/proc/' . $logic->pid . '/status') =~ /^$which:\s+(\d+)/m
        ? $1 : die;
}

sub later { return $logic->metrics->{goim_logic_reads_later_total} }

# a quarter of a gigabyte is asked for, and not read
my $before = memory('VmRSS');
my @id = map { $rpc->send(read => { timeline => $room, limit => 1 }) }
    1 .. $many;
eventually { later() > 0 } 20, 'soon it is later';

is items($other->call(read => { timeline => $room, limit => 1 })), 1,
    'another node is answered';
cmp_ok memory('VmHWM') - $before, '<', 60_000, 'and logic does not grow'
    if !asan();

my %n;
for my $id (@id) {
    my $r = $rpc->reply($id);
    $n{ $r ? $r->{page}{status} : 'none' }++;
}
is $n{OK} + $n{LATER}, $many, 'each call has its answer';
cmp_ok $n{LATER}, '>', $many / 2, 'most of them: later';
cmp_ok $n{OK}, '>=', 4, 'the first ones: what was asked for';
is $n{LATER}, later(), 'which is counted';
is items($rpc->call(read => { timeline => $room, limit => 1 })), 1,
    'who has taken them all is served again';


# Calls whose answers are small: the link itself is not read any more.
my $flood = Goim::RPC->new($logic->{rpc_port}, zone => 'flood');
my $sock = $flood->socket->{sock};
my $wrong = Goim::RPC::frame($flood->packed(1, read => {}));
my $calls = 4_000_000;
my $all = $wrong x $calls;
my $sent = 0;

# what is taken until nothing is for a while
sub stands {
    my $last = Time::HiRes::time();
    while ($sent < length $all && Time::HiRes::time() - $last < slow()) {
        my $n = syswrite $sock, $all, 1 << 20, $sent;
        $n ? ($sent += $n, $last = Time::HiRes::time())
            : Time::HiRes::sleep(0.01);
    }
    return $sent < length $all;
}

ok stands(), 'from who takes no answers no more calls are taken';
is items($other->call(read => { timeline => $room, limit => 1 })), 1,
    'another node is answered';

my ($was, $took) = ($sent, 0);
eventually {
    for (1 .. 100) {
        sysread $sock, my $buf, 1 << 20 or last;
        $took += length $buf;
    }
    my $n = syswrite $sock, $all, 1 << 20, $sent;
    $sent += $n if $n;
    $sent > $was + 4_000_000;
} 30, 'who takes them may go on';
cmp_ok $took, '>', 4_000_000, 'and has been owed as much as that';
$flood->close;

done_testing;
