# ASAN: no (each process is preloaded with another clock)
# LONG
#
# Clocks that are set and machines that sleep: nothing is lost, repeated or out
# of order, nobody is closed, no node and no job is taken for gone, whichever
# process's clock it is, Redis's too.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Clocks;
use Goim::Cluster;
use Goim::Test;
use Goim::Traffic;

my @who = qw(redis-server goim-logic goim-job nginx other-job);
my $clocks = Goim::Clocks->new(@who);
$clocks->load;

my $c = Goim::Cluster->new(nodes => 2, jobs => 2);

# one of the jobs has another machine than the first
$c->job(1)->stop;
$c->job(1)->{env}{GOIM_CLOCK} = 'other-job';
$c->job(1)->start;
$clocks->unload;

my %who = (accepts => [1000]);
my @room = map { $c->client(%who, key => "r$_", node => $_,
    room => 'live://1') } 0, 1;
my @keys = map { $c->client(%who, key => "k$_", node => $_) } 0, 1;

# Redis's clock, in steps of ten minutes
sub redis_steps {
    my ($t) = @{ $c->redis->cmd('TIME') };
    return sprintf '%.0f', ($t - time) / 600;
}

sub partitions {
    my @n = map { $c->job($_)->metrics->{goim_job_partitions} } 0, 1;
    return $n[0] + $n[1] == 8 && $n[0] && $n[1];
}

sub lost {
    my $n = 0;
    $n += $c->job($_)->metrics->{goim_bus_partitions_lost_total} for 0, 1;
    return $n;
}

eventually { partitions() } 20, 'both jobs have partitions';

my $traffic = Goim::Traffic->new(apis => [$c->api], to =>
    { room => ['live', '1'], keys => ['k0', 'k1'], all => [] });

# by ten minutes, which is less than a session lives in Redis; and by hours
for my $name (@who) {
    my $far = $name eq 'redis-server' ? 600 : 36_000;
    for my $wall ($far, -$far, 0) {
        $clocks->ahead($name, $wall);
        is redis_steps(), $wall / 600, 'Redis has it' if $far == 600;
        $traffic->more(20);
        sleep 0.3;
    }
    pass "$name: its clock was set";
}

is lost(), 0, 'no job took its partitions for lost';

# a machine that has slept for a minute: its leases were another's meanwhile
for my $name (qw(goim-job other-job)) {
    my $lost = lost();
    $clocks->ahead($name, undef, 60);
    $traffic->more(20);
    eventually { lost() > $lost } 10, "$name: what it had was not its own any more";
    eventually { partitions() } 20, "$name: it has partitions again";
    $traffic->more(20);
}

$traffic->finish;
is $traffic->refused, '', 'all were accepted';
$traffic->arrives('clocks', room => \@room, keys => \@keys,
    all => [@room, @keys]);

is scalar(grep { defined $_->closed(0) } @room, @keys), 0, 'no client was closed';
is $c->node($_)->status->{counters}{lapses}, 0,
    "node $_ has not lapsed" for 0, 1;
is $c->job($_)->metrics->{goim_job_nodes}, 2, "job $_ knows both nodes"
    for 0, 1;
is $c->job($_)->metrics->{goim_job_missed_records_total}, 0,
    "job $_ has counted nothing for them" for 0, 1;

done_testing;
