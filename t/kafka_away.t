# ASAN: no
# LONG
#
# A broker that is killed and comes back, or stands still for a while, under a
# job that reads: reading goes on as soon as the broker is there again. And a
# job that is killed: the other has its partitions soon, and its own go on
# meanwhile. GOIM_CYCLES=100 for as many broken brokers.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Bus;
use Goim::Job;
use Goim::Kafka;
use Goim::Node;
use Goim::Redis;

use Time::HiRes qw(sleep time);

my $cycles = $ENV{GOIM_CYCLES} || 10;
my $redis = Goim::Redis->new;
my $kafka = Goim::Kafka->new;
my $bus = Goim::Bus->new(redis => $redis, kafka => $kafka);
my $node = Goim::Node->new(redis => $redis, server => 'comet-1');
my @job = map { Goim::Job->new(redis => $redis->addr, bus => 'kafka',
    kafka => $kafka->addr, stopped => 1, conf => {
        registry => { ttl => '1h', renew => '100ms' },
        job => { log_level => 'info' } }) } 1 .. 2;
my ($n, %sent) = (0);

$kafka->produce('goim-push-topic', 'k', "\xff");    # makes the topic
$node->register;

# one in each partition
sub produce {
    for my $p (0 .. 3) {
        my $body = "$p-" . ++$n;
        $bus->write($p, { type => 'ROOM', room => "room://$p",
            operation => 1000, msg => $body });
        $sent{$body} = 1;
    }
}

sub missing {
    $node->read;
    my %got = map { $_->{body} => 1 } @{ $node->{records} };
    return grep { !$got{$_} } keys %sent;
}

# Every one arrives, within so many seconds: more than is promised, and less
# than what was seen of clients that wait for their group.
sub arrives {
    my ($seconds, $what) = @_;
    produce();
    my $from = time;
    my $ok = eval { wait_for { !missing() } $seconds, $what; 1 };
    return $ok ? time - $from : undef;
}

$job[0]->start;
ok defined arrives(30, 'the first'), 'a job reads';

my ($slowest, $stuck) = (0, 0);

for my $cycle (1 .. $cycles) {
    if ($cycle % 3 == 1) {
        $kafka->kill9;
        sleep rand 1;
        $kafka->start;
    } else {
        $kafka->pause;
        sleep rand $cycle % 5 == 0 ? 7 : 1;
        $kafka->resume;
    }
    wait_for { eval { produce(); 1 } } 60, 'the broker takes records';

    my $took = arrives(8, "cycle $cycle");
    if (!defined $took) {
        $stuck++;
        diag "cycle $cycle: nothing for 8 s";
        last;
    }
    $slowest = $took if $took > $slowest;
}
is $stuck, 0, "$cycles times a broker was away, and reading went on";
diag sprintf 'slowest: %.1f s', $slowest if $ENV{GOIM_VERBOSE};
is $job[0]->metrics->{goim_job_partitions}, 4, 'the job has what it had';
is $job[0]->metrics->{goim_bus_partitions_lost_total}, 0, 'all the time';

is $job[0]->metrics->{goim_bus_logs_back_total}, 0, 'and no log went back';

# two jobs, one of them killed
$job[1]->start;
eventually { $job[1]->metrics->{goim_job_partitions} == 2
    && $job[0]->metrics->{goim_job_partitions} == 2 } 30, 'two jobs share';
ok defined arrives(20, 'both'), 'and both read';

$job[1]->kill9;
my $killed = time;
my (%moving, $whole);
while (!defined $whole && time - $killed < 10 * slow()) {
    produce();
    sleep 0.1;
    my %late = map { substr($_, 0, 1) => 1 } missing();
    $moving{ keys %late }++;
    $whole = time - $killed
        if $job[0]->metrics->{goim_job_partitions} == 4 && !%late;
}
ok defined $whole, 'the other has all partitions';
diag sprintf 'after %.1f s', $whole if $ENV{GOIM_VERBOSE};
ok !$moving{3} && !$moving{4}, 'its own went on meanwhile';
is $job[0]->metrics->{goim_bus_partitions_lost_total}, 0, 'it lost none';
is scalar(grep { $_->{body} } @{ $node->{records} }), scalar keys %sent,
    'each record once';

$_->stop for grep { $_->alive } @job;
done_testing;
