# ASAN: no
# LONG
#
# goim-job killed at its nth write, for each tenth of the first 200, while
# messages flow: everybody has everything once, numbers and all, and nobody is
# told otherwise. GOIM_WRITES=1 for each of them.

use strict;
use warnings;

use lib 't/lib';
use Goim::Audience;
use Goim::Beside;
use Goim::Proc;
use Goim::Test;

my $step = $ENV{GOIM_WRITES} || 10;

each_bus(\&over);

sub over {
    my ($bus) = @_;
    my $c = with_history(bus => $bus);
    my $job = $c->job;
    my $program = $job->{cmd};

    through('killed at each of its writes', $c, count => 4, fault => sub {
        $job->kill9;
        killed_at($c, $_ * $step) for 1 .. 200 / $step;
        $job->{cmd} = $program;
        without_its_leases($c);
        $job->start;
    });
    $_->stop for $c->node, $job, $c->logic, $c->kafka || (), $c->redis;
}

sub killed_at {
    my ($c, $write) = @_;
    my $job = $c->job;
    my @trace = ('strace', '-f', '-qq', '-o', '/dev/null', '-e',
        'trace=write,writev,sendto,sendmsg', '-e',
        "inject=write,writev,sendto,sendmsg:signal=KILL:when=$write");

    without_its_leases($c);
    $job->{cmd} = [@trace, @{ $job->{cmd} }[-3 .. -1]];
    Goim::Proc::start($job);
    my $status = $job->wait_exit(20 * slow()) // 0;
    is $status & 127, 9, "at write $write";
}

# who comes next would wait for 4 s to see that nobody renews them
sub without_its_leases {
    my ($c) = @_;
    my @keys = map { @{ $c->redis->cmd('KEYS', $_) } } 'goim:{*}:lease:*',
        'goim:bus:members:*';
    $c->redis->cmd('DEL', @keys) if @keys;
}

done_testing;
