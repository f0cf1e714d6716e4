#!/usr/bin/perl
# What a room message costs job and Redis in a cluster of six nodes, with each
# room on one of them: CPU, and appends to nodes' streams. Needs `make all` and
# real Redis.
#
#     perl bench/rooms.pl [--messages 20000] [--posters 4]
#
# GOIM_BUILD=DIR takes another build. 16,000 messages of 100 bytes to 60 rooms,
# two cores shared with the posters and other work, before rooms were listed and
# since; us of CPU a message:
#
#                        job   Redis   nginx   appends   records appended
#     1 poster, before    66     377     175      5.3        6
#               since     73     290      67      0.95       1
#     8 posters, before   14      90      44      0.96       6
#               since     13      73      25      0.42       1
#
# Redis's part holds the bus and its fsync, which are the same in both.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::Test;
use POSIX ();
use Time::HiRes qw(sleep time);

$| = 1;
my ($messages, $posters) = (20000, 4);
GetOptions('messages=i' => \$messages, 'posters=i' => \$posters) or exit 2;

my ($nodes, $rooms) = (6, 60);
my %registry = (registry => { renew => '1s' });
my $c = Goim::Cluster->new(nodes => $nodes, logic => { conf => \%registry },
    job => { conf => \%registry });

my @clients = map { $c->client(node => $_ % $nodes, mid => $_ + 1,
    room => "live://$_", accepts => []) } 0 .. $rooms - 1;

# until rooms are listed, if they ever are
my $end = time + 10;
sleep 0.2 while time < $end
    && grep { !$_->status->{listed} } @{ $c->{nodes} };

sub cpu {
    my ($pid) = @_;
    my @stat = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;
    return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub figures {
    my $m = $c->job->metrics;
    my $nginx = 0;
    $nginx += cpu($_) for map { $_->workers } @{ $c->{nodes} };
    return (cpu($c->job->pid), cpu($c->redis->pid), $nginx,
        $m->{goim_job_appends_total}, $m->{goim_job_appended_records_total});
}

sub measure {
    my ($posters) = @_;
    my @before = figures();
    my $began = time;
    my $each = int($messages / $posters);
    my @pids;

    for my $n (1 .. $posters) {
        my $pid = fork // die "fork: $!";
        push @pids, $pid;
        next if $pid;
        my $api = $c->api;
        $api->room(1000, 'live', $_ % $rooms, 'x' x 100) for 1 .. $each;
        POSIX::_exit(0);
    }

    my $got = 0;
    Goim::Client->pump_all(\@clients, 120, sub {
        $got += @{ $_->{pushes} }, $_->{pushes} = [] for @clients;
        return $got == $each * $posters;
    });
    waitpid $_, 0 for @pids;

    my $time = time - $began;
    my @after = figures();
    my @d = map { ($after[$_] - $before[$_]) / $got } 0 .. 4;
    printf "%d poster%s: %d messages, %d/s: job %.1f us, Redis %.1f us, "
        . "nginx %.1f us, %.2f appends, %.2f records appended a message\n",
        $posters, $posters > 1 ? 's' : '', $got, $got / $time,
        map({ 1e6 * $_ } @d[0 .. 2]), @d[3, 4];
}

measure(1);
measure($posters);

$_->stop for @{ $c->{nodes} };
