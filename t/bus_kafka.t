# The bus over Kafka: the C tests of every driver, with a real broker.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Kafka;

my $kafka = Goim::Kafka->new(partitions => 8);
my $dir = folder('bus_kafka');
my $test = build_dir() . '/t/bus_test';

# the test kills the broker and starts it again in the middle
my $cmd = join ' ', map { "'$_'" } @{ $kafka->{cmd} };

spew("$dir/pid", $kafka->pid);
spew("$dir/restart.sh", <<"SH");
kill -9 "\$(cat '$dir/pid')"
cd '$kafka->{dir}'
setsid $cmd >>kafka.log 2>&1 </dev/null &
echo \$! >'$dir/pid'
SH

local $ENV{GOIM_BUS_KAFKA_RESTART} = "sh '$dir/restart.sh'";
local $ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
local $ENV{GOIM_BUS_KAFKA} = $kafka->addr;
local $ENV{GOIM_BUS_KAFKA_PID} = $kafka->pid;
local $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

my $said = `cd '$dir' && timeout 600 '$test' 2>'$dir/stderr.log'`;
my $rc = $?;
my $n = 0;

kill 'KILL', slurp("$dir/pid") =~ /(\d+)/;

while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
    $n++;
    ok(!$1, $2);
}

ok($n > 6, 'says TAP');
is($rc, 0, 'exits with 0') or diag($said, slurp("$dir/stderr.log"));

done_testing;
