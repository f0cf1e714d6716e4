# Redis comes back from a log that ends early, before it was noted how far a
# partition is done: what it had numbered since has its numbers again, from
# Kafka, and nobody is told of a loss. Where Kafka has removed what was not done,
# who recovers is told.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(bus => 'kafka', workers => 2, nginx => { tcp => 1 },
    broker => { partitions => 1, conf => join "\n", 'log.segment.bytes=20000',
        'log.retention.bytes=40000', 'log.retention.check.interval.ms=300',
        'log.initial.task.delay.ms=300', 'log.segment.delete.delay.ms=100' },
    job => { conf => { history => { live => '300 10m' } } });
my ($redis, $job) = ($c->redis, $c->job);
my $n = 0;

sub say_more {
    my ($many, $size) = @_;
    for (1 .. $many) {
        my $body = 'i' . ++$n . ' ' . 'x' x ($size // 0);
        wait_for {
            $c->api->room(1000, 'live', '1', $body)->{code} == 0
        } 30, 'a push is taken';
    }
}

# what came: number and body's, and what was told
sub got {
    my ($client, $last) = @_;
    Goim::Client->pump_all([$client], 30, sub {
        grep { $_->{body} =~ /^i$last / } @{ $client->{pushes} }
    });
    return join ' ', map { $_->{body} =~ /^i(\d+)/ && "$_->{seq}:$1" }
        splice @{ $client->{pushes} };
}

# The bytes of the log before Redis first notes how far partition 0 is done.
sub cut_before_done {
    my ($log) = glob "$redis->{dir}/appendonlydir/*.incr.aof";
    my $bytes = slurp($log);
    $bytes =~ /\r\nHSET\r\n\$\d+\r\ngoim:\{0\}:done\r\n\$32\r\n/
        or die "the place was never saved\n";
    my $end = rindex $bytes, "\r\nMULTI\r\n", $-[0];
    truncate $log, $end;
}

# ---- Redis goes back ---------------------------------------------------------

my $client = $c->client(key => 'a', room => 'live://1', recover => {});
my $at = $client->position(20)->{'live://1'};
say_more(10);
is got($client, 10), join(' ', map { "$_:$_" } 1 .. 10), 'items';
eventually {
    grep { !/ / } keys %{ $redis->hgetall('goim:{0}:done') }
} 10, 'it is saved how far they are done';

# at its end it tells Kafka how far it is
$job->stop;
$redis->kill9;
cut_before_done();
$redis->start;
is_deeply [grep { !/ / } keys %{ $redis->hgetall('goim:{0}:done') }], [],
    'Redis comes back without that';
my $kept = $redis->cmd('HGET', 'goim:{0}:meta:live://1', 'seq');
cmp_ok $kept, '>', 0, "and with $kept of the items";
$job->start;

say_more(3);
is got($client, 13), '11:11 12:12 13:13', 'who is there gets what follows';
is_deeply [$client->position(0.2)], [undef], 'and is told nothing';
my $back = $c->client(key => 'b', room => 'live://1',
    recover => { 'live://1' => { epoch => $at->{epoch}, seq => 4 } });
is $back->position(20)->{'live://1'}{recovered}, 1, 'who comes back recovers';
is got($back, 13), join(' ', map { "$_:$_" } 5 .. 13),
    'with the same numbers';

# ---- Kafka removes what was not done -----------------------------------------

$job->stop;
say_more(150, 1000);
my $log = "$c->{kafka}{dir}/data/goim-push-topic-0";
wait_for { !-e "$log/00000000000000000000.log" } 60, 'Kafka removes records';
$job->start;
for (['who is there', $client], ['who came back', $back]) {
    my ($who, $f) = @$_;
    my $p = $f->position(60)->{'live://1'};
    ok !$p->{recovered} && $p->{epoch} ne $at->{epoch}, "$who is told";
    like got($f, $n), qr/:$n$/, "$who gets what Kafka has";
}

done_testing;
