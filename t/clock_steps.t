# ASAN: no (each process is preloaded with another clock)
#
# Clocks that are set and machines that sleep: nothing is lost, repeated or out
# of order, nobody is closed, no node and no job is taken for gone, whichever
# process's clock it is, Redis's too.

use strict;
use warnings;

use Config;
use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;
use Goim::Traffic;

my $dir = folder('clocks');

# The clocks of each process: those of the day and of the machine's life run
# ahead by what stands in its file, in ms.
spew("$dir/clock.c", <<'C');
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t  *ahead;         /* wall, boot */

__attribute__((constructor)) static void
begin(void)
{
    int          fd;
    char         path[512];
    const char  *dir = getenv("GOIM_CLOCKS"), *name = getenv("GOIM_CLOCK");

    snprintf(path, sizeof(path), "%s/%s", dir, name != NULL ? name
             : program_invocation_short_name);
    fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd != -1) {
        ahead = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int      rc;
    int64_t  ms;

    rc = (int) syscall(SYS_clock_gettime, id, ts);

    if (rc == 0 && ahead != NULL
        && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE
            || id == CLOCK_BOOTTIME))
    {
        ms = ahead[id == CLOCK_BOOTTIME];
        ts->tv_sec += ms / 1000;
    }

    return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec  ts;

    (void) tz;

    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}

time_t
time(time_t *t)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    if (t != NULL) {
        *t = ts.tv_sec;
    }

    return ts.tv_sec;
}
C

system("$Config{cc} -shared -fPIC -O -o '$dir/clock.so' '$dir/clock.c'") == 0
    or die "the clock cannot be made\n";

my %ahead;

# seconds; the clock of the day, of the machine
sub set_clock {
    my ($name, $wall, $boot) = @_;
    my $at = $ahead{$name} //= [0, 0];
    $at->[0] = $wall if defined $wall;
    $at->[1] = $boot if defined $boot;
    open my $fh, (-e "$dir/$name" ? '+<' : '>'), "$dir/$name" or die $!;
    syswrite $fh, pack 'q2', map { 1000 * $_ } @$at;
}

my @who = qw(redis-server goim-logic goim-job nginx other-job);
set_clock($_) for @who;
$ENV{GOIM_CLOCKS} = $dir;
$ENV{LD_PRELOAD} = "$dir/clock.so";

my $c = Goim::Cluster->new(nodes => 2, jobs => 2);

# one of the jobs has another machine than the first
$c->job(1)->stop;
$c->job(1)->{env}{GOIM_CLOCK} = 'other-job';
$c->job(1)->start;
delete $ENV{LD_PRELOAD};

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
        set_clock($name, $wall);
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
    set_clock($name, undef, 60);
    $traffic->more(20);
    eventually { lost() > $lost } 10, "$name: what it had was not its own any more";
    eventually { partitions() } 20, "$name: it has partitions again";
    $traffic->more(20);
}

$traffic->finish;
is $traffic->refused, '', 'all were accepted';
$traffic->arrives('clocks', room => \@room, keys => \@keys,
    all => [@room, @keys]);

is scalar(grep { $_->{closed} } @room, @keys), 0, 'no client was closed';
is $c->node($_)->status->{counters}{lapses}, 0,
    "node $_ has not lapsed" for 0, 1;
is $c->job($_)->metrics->{goim_job_nodes}, 2, "job $_ knows both nodes"
    for 0, 1;
is $c->job($_)->metrics->{goim_job_missed_records_total}, 0,
    "job $_ has counted nothing for them" for 0, 1;

done_testing;
