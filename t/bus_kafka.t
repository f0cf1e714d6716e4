# The bus over Kafka: the C tests of every driver, with a real broker.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Kafka;

my $kafka = Goim::Kafka->new(partitions => 8);
my $dir = folder('bus_kafka');

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

for my $name (qw(bus_test bus_churn_test)) {
    subtest $name => sub {
        my $test = build_dir() . "/t/$name";
        my $said = `cd '$dir' && timeout 600 '$test' 2>'$dir/$name.log'`;
        my $rc = $?;
        my $n = 0;

        while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
            $n++;
            ok(!$1, $2);
        }

        ok($n, 'says TAP');
        is($rc, 0, 'exits with 0') or diag($said, slurp("$dir/$name.log"));
    };
}

kill 'KILL', slurp("$dir/pid") =~ /(\d+)/;

done_testing;
