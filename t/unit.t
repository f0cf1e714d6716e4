# The C unit tests: each program is a subtest, its TAP is passed on.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

# bus_test gives a bus another number of partitions
allow_log(qr/\[emerg\] \d+: \[bus\] partitions = \d+, but the bus/);

# the one that needs a broker is t/bus_kafka.t's alone
my @tests = grep { !/bus_kafka_test$/ } glob build_dir() . '/t/*_test';

ok(@tests, 'there are unit tests');

for my $test (@tests) {
    my ($name) = $test =~ m{([^/]+)$};

    local $ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
    local $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

    subtest $name => sub {
        my $dir = folder($name);
        my $said = `cd '$dir' && timeout 300 '$test' 2>'$dir/stderr.log'`;
        my $rc = $?;
        my $n = 0;

        # a program that has several groups says several plans
        while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
            $n++;
            ok(!$1, $2);
        }
        ok($n, 'says TAP');
        is($rc, 0, 'exits with 0') or diag($said, slurp("$dir/stderr.log"));
    };
}

done_testing;
