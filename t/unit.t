# LONG
#
# The C unit tests: each program is a subtest, its TAP is passed on.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Proc;
use Goim::Test;

# bus_test gives a bus another number of partitions
allow_log(qr/\[emerg\] \d+: \[bus\] partitions = \d+, but the bus/);

# the one that needs a broker is t/bus_kafka.t's alone
my @tests = grep { !/bus_kafka_test$/ } glob build_dir() . '/t/*_test';

ok(@tests, 'there are unit tests');

$ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

# some at once: they wait more than they compute
my @todo = @tests;
my @running;

while (@todo || @running) {
    while (@todo && @running < 3) {
        my $test = shift @todo;
        my ($name) = $test =~ m{([^/]+)$};
        my $dir = folder($name);

        push @running, Goim::Proc->new(name => $name, dir => $dir,
            log => "$dir/out", cmd => ['sh', '-c',
                'exec timeout 300 "$0" 2>stderr.log', $test])->start;
    }
    my (@still, @ended);
    push @{ $_->alive ? \@still : \@ended }, $_ for @running;
    @running = @still;
    subtest $_->{name} => \&says, $_ for @ended;
    sleep 0.05;
}

sub says {
    my ($test) = @_;
    my $said = slurp($test->{log});
    my $rc = $test->exit_status;
    my $n = 0;

    # a program that has several groups says several plans
    while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
        $n++;
        ok(!$1, $2);
    }
    ok($n, 'says TAP');
    is($rc, 0, 'exits with 0')
        or diag($said, slurp("$test->{dir}/stderr.log"));
}

done_testing;
