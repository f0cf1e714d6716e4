# The bus over Kafka: the C tests of every driver, with a real broker.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Kafka;

my $kafka = Goim::Kafka->new(partitions => 8);
my $dir = folder('bus_kafka');
my $test = build_dir() . '/t/bus_test';

local $ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
local $ENV{GOIM_KAFKA} = $kafka->addr;
local $ENV{GOIM_KAFKA_PID} = $kafka->pid;
local $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

my $said = `cd '$dir' && timeout 600 '$test' 2>'$dir/stderr.log'`;
my $rc = $?;
my $n = 0;

while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
    $n++;
    ok(!$1, $2);
}

ok($n > 6, 'says TAP');
is($rc, 0, 'exits with 0') or diag($said, slurp("$dir/stderr.log"));

done_testing;
