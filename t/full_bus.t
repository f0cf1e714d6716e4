# Redis refuses to append to the bus while many pushes wait: one batch is tried
# now and then, not all that waits again and again; and all are taken as soon as
# there is room, once.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;
use Goim::Test;

my ($n, $size) = (400, 50_000);
my $redis = Goim::Redis->new(conf => { appendonly => 'no' });
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 }, push => { timeout => '60s' } });
Goim::RPC::ready($logic);

sub refused {
    my ($oom) = $redis->cmd('INFO', 'errorstats')
        =~ /^errorstat_OOM:count=(\d+)/m;
    return $oom || 0;
}

sub waiting {
    my $sum = 0;
    $sum += $redis->cmd('XLEN', "goim:bus:$_") for 0 .. 7;
    return $sum;
}

$redis->cmd('CONFIG', 'SET', 'maxmemory', 1);

my @pushes = map {
    my $s = Goim::Socket->new(port => $logic->{http_port});
    $s->write("POST /goim/push/room?operation=1000&type=live&room=$_ HTTP/1.1\r\n"
        . "Host: localhost\r\nConnection: close\r\nContent-Length: $size\r\n\r\n"
        . 'x' x $size);
    $s } 1 .. $n;
eventually { $logic->metrics->{goim_logic_push_waiting} == $n } 20,
    'all of them wait';

# what was tried before the first refusal was known does not count
my ($before, $start) = (refused(), time);
cmp_ok $before, '>', 0, 'Redis refuses';
sleep 2;
my $tried = refused() - $before;
note "refused: $before at first, then $tried";
cmp_ok $tried, '>', 0, 'it is tried again';
cmp_ok $tried, '<', 20 * (time - $start), 'by one batch at a time';

$redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
my $taken = 0;
for my $s (@pushes) {
    my $end = time + 20 * slow();
    $s->wait_read($end) or last until $s->eof;
    $taken++ if $s->{buf} =~ /"code":0\b/;
}
is $taken, $n, 'then all of them are taken';
is waiting(), $n, 'each once';

done_testing;
