# ASAN: no
#
# The workers of a node, of which one reads its stream, killed at their nth
# write, for each tenth of the first 200, while messages flow: everybody has
# everything once, numbers and all, and nobody is told otherwise. GOIM_WRITES=1
# for each of them, GOIM_BUS=kafka with another bus.

use strict;
use warnings;

use lib 't/lib';
use Goim::Audience;
use Goim::Proc;
use Goim::Test;

my $step = $ENV{GOIM_WRITES} || 10;
my $c = with_history(bus => $ENV{GOIM_BUS}, workers => 2);
my $node = $c->node;

allow_log(qr/exited on signal 9/);
my $audience = through('killed at each of their writes', $c, fault => sub {
    killed_at($_ * $step) for 1 .. 200 / $step;
});
cmp_ok $audience->connections, '>', 200 / $step, 'clients had to come back';

# The workers die, and those that come after them are traced from their birth.
sub killed_at {
    my ($write) = @_;
    my @before = wait_for { my @w = $node->workers; @w == 2 && [@w] } 20,
        'two workers';
    hit KILL => @{ $before[0] };
    my @born = born(@{ $before[0] });
    my $strace = Goim::Proc->new(name => 'strace', dir => $node->{dir},
        cmd => ['strace', '-f', '-qq', '-o', '/dev/null', '-e',
            'trace=write,writev,sendto,sendmsg', '-e',
            "inject=write,writev,sendto,sendmsg:signal=KILL:when=$write",
            map { ('-p', $_) } @born])->start;

    wait_for { !grep { !traced($_) } @born } 20, 'they are traced';
    hit CONT => @born;
    eventually { reader_died(@born) } 20, "at write $write";
    $strace->stop;
}

# One of them has died, and the other one, which may have nobody to write to,
# is dead, too, or does not read.
sub reader_died {
    my @alive = grep { Goim::Proc::running($_) } @_;
    return @alive == 0 if @alive != 1;
    my $reader = eval { $node->status->{reader_pid} };
    return $reader && $reader != $alive[0];
}

# two workers that have just begun, stopped
sub born {
    my %old = map { $_ => 1 } @_;
    my $master = $node->master;
    my @born;

    wait_for {
        my $parent = Goim::Proc::table();
        for (grep { $parent->{$_} == $master && !$old{$_}++ } keys %$parent) {
            hit STOP => $_;
            push @born, $_;
        }
        @born == 2;
    } 20, 'others begin';
    return @born;
}

sub traced {
    my ($pid) = @_;
    return slurp("/proc/$pid/status") =~ /^TracerPid:\s+[1-9]/m;
}

done_testing;
