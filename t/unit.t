# LONG
#
# The C unit tests: each program is a subtest, its TAP is passed on.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Beside;
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
    push @running, program(shift @todo) while @todo && @running < 3;

    my (@still, @ended);
    push @{ $_->alive ? \@still : \@ended }, $_ for @running;
    @running = @still;
    $_->says for @ended;
    sleep 0.05;
}

sub program {
    my ($path) = @_;
    my ($name) = $path =~ m{([^/]+)$};
    return Goim::Beside->new($name, ['timeout', 300, $path])->start;
}

done_testing;
