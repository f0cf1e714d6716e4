# ASAN: no
# LONG
#
# Redis without its data, without the end of it, and a replica in its place.
# Over Kafka nothing was lost, or what was is told; with the Redis bus everybody
# who recovers is told, as what was accepted may be gone.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Audience;
use Goim::Beside;
use Goim::Proxy;
use Goim::Redis;
use Goim::Test;

each_bus(\&over);

sub over {
    my ($bus) = @_;
    my @gone = $bus eq 'redis' ? (lost => 1, plain => 0) : ();
    my $c = with_history(bus => $bus);
    my $redis = $c->redis;

    my $audience = through('the end of its file is cut off', $c, @gone,
        fault => sub {
            my ($file) = glob "$redis->{dir}/appendonlydir/*.incr.aof";
            wait_for { -s $file > 60_000 } 30, 'there is something to cut off';
            $redis->kill9;
            truncate $file, (-s $file) - 20_000 or die "$file: $!";
            $redis->start;
        });
    told($bus eq 'redis', $audience);

    $audience = through('without its data', $c, @gone, lost => 1,
        fault => sub {
            $redis->kill9;
            system('rm', '-r', "$redis->{dir}/appendonlydir") == 0 or die;
            $redis->start;
        });
    told(1, $audience);
    ended($c);
    ended(promoted($bus, @gone));
}

# Another Redis, which has not got the last of it.
sub promoted {
    my ($bus, @gone) = @_;
    my $redis = Goim::Redis->new;
    my $way = Goim::Proxy->new(to => $redis->{port});
    my $c = with_history(bus => $bus, redis => $way);

    my $replica = Goim::Redis->new(conf => {
        replicaof => "127.0.0.1 $redis->{port}" });
    wait_for { $replica->cmd('INFO', 'replication') =~ /link_status:up/ } 20,
        'it follows';
    my $audience = through('a replica in its place', $c, @gone, fault => sub {
        sleep 0.5;
        hit STOP => $replica->pid;
        sleep 0.3;
        $redis->kill9;
        hit CONT => $replica->pid;
        $replica->cmd('REPLICAOF', 'NO', 'ONE');
        $way->switch($replica->{port});
    });
    told($bus eq 'redis', $audience);
    return $c;
}

sub ended {
    my ($c) = @_;
    $_->stop for $c->node, $c->job, $c->logic, $c->kafka || (), $c->redis;
}

sub told {
    my ($is, $audience) = @_;
    return $is ? cmp_ok($audience->told_false, '>=', 4, 'all are told')
        : is($audience->told_false, 0, 'nothing is lost');
}

done_testing;
