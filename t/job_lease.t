# ASAN: no (it is about waiting)
#
# A job that stood still and lost its partition meanwhile appends none of what
# it still had for the nodes: another one has done that, and more.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Bus;
use Goim::Cluster;
use Goim::Test;

my %conf = (bus => { partitions => 1 });
my $c = Goim::Cluster->new(jobs => 2, logic => { conf => \%conf },
    job => { conf => \%conf });
my $redis = $c->redis;
my $bus = Goim::Bus->new(redis => $redis);
my $client = $c->client(mid => 1, accepts => [1000], room => 'live://1');
my $n = 0;

sub stands {
    my ($job) = @_;
    $job->pause;
    wait_for { slurp('/proc/' . $job->pid . '/stat') =~ /\) T / } 10,
        'it stands still';
}

# so many messages, and that they come
sub writes {
    my @bodies = map { ++$n } 1 .. $_[0];
    $bus->write(0, map { { type => 'ROOM', room => 'live://1',
        operation => 1000, msg => $_ . '.' x 100_000 } } @bodies);
    return @bodies;
}

sub arrive {
    my ($name, @want) = @_;
    is_deeply [map { $_->{body} =~ s/\.+$//r }
        $client->pushes(scalar @want, 30)], \@want, $name;
}

# entries of the node's stream, ever
sub appended {
    my %info = @{ $redis->cmd('XINFO', 'STREAM', 'goim:node:comet-1') };
    return $info{'entries-added'};
}

sub has { return $_[0]->metrics->{goim_job_partitions} }

# More than once: where its lease is due to be renewed just then it learns that
# first.
for my $round (1 .. 2) {
    my ($job, $other);
    wait_for {
        ($job) = grep { has($_) } $c->job(0), $c->job(1);
        ($other) = grep { !has($_) } $c->job(0), $c->job(1);
        $job && $other;
    } 20, 'one of them has the partition';
    arrive("round $round: at rest", writes(1));

    # it reads more than an append takes while Redis lets nobody write, and
    # stands still again with an append on its way and others to come
    stands($job);
    my @large = writes(9);
    $redis->cmd('CLIENT', 'PAUSE', 60_000, 'WRITE');
    $job->resume;
    sleep 0.1;
    stands($job);
    $redis->cmd('CLIENT', 'UNPAUSE');

    arrive("round $round: another job does it all", @large);
    arrive("round $round: and goes on", writes(3));

    my $before = appended();
    $job->resume;
    eventually { has($job) == 0 && has($other) } 10,
        "round $round: the first one learns that it has none";
    sleep 0.3;
    is appended(), $before, "round $round: and has appended nothing";
}
arrive('what comes next arrives', writes(1));

done_testing;
