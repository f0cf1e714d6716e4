# ASAN: no
# LONG
#
# Processes that stand still for a while and go on as if nothing had been: a job
# beyond its leases, a logic, workers, the reader, a whole node beyond its
# registration, Redis, Kafka. Everybody has everything, and nobody who recovers is
# told that anything is gone.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Audience;
use Goim::Beside;
use Goim::Test;

each_bus(\&over);

sub over {
    my ($bus) = @_;
    my $c = with_history(bus => $bus, nodes => 2, workers => 2, jobs => 2,
        logics => 2);
    my $kafka = $c->kafka;

    through('each job, Redis, Kafka', $c, fault => sub {
        stands(5, $c->job(0)->pid);
        stands(5, $c->job(1)->pid);
        stands(3, $c->redis->pid);
        stands(3, $kafka->pid) if $kafka;
    });
    nodes_and_logic($c) if !$kafka;
    $_->stop for map({ @{ $c->{$_} } } qw(nodes jobs logics)), $kafka || (),
        $c->redis;
}

sub nodes_and_logic {
    my ($c) = @_;
    my $node = $c->node;

    through('a logic, workers', $c, fault => sub {
        stands(4, $c->logic->pid);
        stands(2, $node->reader);
        my $reader = $node->reader;
        stands(2, grep { $_ != $reader } $node->workers);
    });
    my $audience = through('a whole node', $c, fault => sub {
        stands(8, $node->pid, $node->workers);
    });
    cmp_ok $audience->connections, '>', 8, 'clients had to come back';
}

sub stands {
    my ($seconds, @pids) = @_;
    hit STOP => @pids;
    sleep $seconds;
    hit CONT => reverse @pids;
    sleep 0.5;
}

done_testing;
