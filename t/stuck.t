# ASAN: no
# LONG
#
# A partition that has something to read and whose place does not move: /health
# and a metric say so, and no more when it moves again.

use strict;
use warnings;

use lib 't/lib';
use Goim::Beside;
use Goim::Test;
use Goim::Bus;
use Goim::Job;
use Goim::Kafka;
use Goim::Node;
use Goim::Redis;

each_bus(\&stuck);

sub stuck {
    my ($driver) = @_;
    my $redis = Goim::Redis->new;
    my $kafka = $driver eq 'kafka' ? Goim::Kafka->new : undef;
    my $bus = Goim::Bus->new(redis => $redis, kafka => $kafka);
    my $node = Goim::Node->new(redis => $redis, server => 'comet-1');
    my $job = Goim::Job->new(redis => $redis->addr, bus => $driver,
        $kafka ? (kafka => $kafka->addr) : (), conf => {
            bus => { partitions => 4 },
            registry => { ttl => '1h', renew => '100ms' } });
    my $write = sub { $bus->write($_[0], { type => 'ROOM',
        room => 'room://1', operation => 1000, msg => $_[1] }) };

    $node->register;
    eventually { $job->health->{status} == 200 } 30, 'healthy';
    $write->(0, 'one');
    eventually { $node->read; @{ $node->{records} } == 1 } 30, 'it moves';

    # no room for appends
    $job->pause;
    $write->(0, 'two');
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    $job->resume;
    eventually { $job->metrics->{goim_job_stuck_partitions} == 1 } 40,
        'one stands still';
    is $job->health->{status}, 503, 'not healthy';
    is $job->health->{content}, "1 partitions stand still\n", 'says why';

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    eventually { $job->health->{status} == 200 } 20, 'healthy again';
    is $job->metrics->{goim_job_stuck_partitions}, 0, 'none stands still';
    eventually { $node->read; @{ $node->{records} } == 2 } 20, 'it has moved';

    $job->stop;
    $kafka->stop if $kafka;
    $redis->stop;
}

done_testing;
