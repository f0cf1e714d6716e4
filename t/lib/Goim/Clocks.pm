# Clocks of a test's own: those of the day and of the machine's life run ahead in
# each process that is started meanwhile, by what is said for it. Not with the
# sanitizers, which want to be loaded first.
#
#     my $clocks = Goim::Clocks->new('nginx', 'other');
#     $clocks->load;                      # for what is started from here on
#     ...                                 # GOIM_CLOCK: another name for one
#     $clocks->unload;
#     $clocks->ahead(nginx => 60);        # s; undef: as it is
#     $clocks->ahead(nginx => undef, 60); # the machine has slept

package Goim::Clocks;

use strict;
use warnings;

use Config;

use Goim::Test qw(folder spew);

my $source = <<'C';
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

# the names of processes: of their programs, if GOIM_CLOCK says no other
sub new {
    my ($class, @names) = @_;
    my $dir = folder('clocks');
    my $self = bless { dir => $dir }, $class;

    spew("$dir/clock.c", $source);
    system("$Config{cc} -shared -fPIC -O -o '$dir/clock.so' '$dir/clock.c'")
        == 0 or die "the clock cannot be made\n";

    $self->ahead($_) for @names;
    return $self;
}

sub load {
    my ($self) = @_;
    $ENV{GOIM_CLOCKS} = $self->{dir};
    $ENV{LD_PRELOAD} = "$self->{dir}/clock.so";
}

sub unload { delete $ENV{LD_PRELOAD} }

sub ahead {
    my ($self, $name, $wall, $boot) = @_;
    my $at = $self->{ahead}{$name} //= [0, 0];
    my $path = "$self->{dir}/$name";
    $at->[0] = $wall if defined $wall;
    $at->[1] = $boot if defined $boot;
    open my $fh, (-e $path ? '+<' : '>'), $path or die "$path: $!";
    syswrite $fh, pack 'q2', map { 1000 * $_ } @$at;
}

1;
