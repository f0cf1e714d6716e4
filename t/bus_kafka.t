# LONG
#
# The bus over Kafka: the C tests of every driver, with a real broker.

use strict;
use warnings;

use lib 't/lib';
use Goim::Beside;
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

# One kills the broker, and another gives it time to save things: those are
# alone. The last two run side by side.
sub program {
    my ($name) = @_;
    return Goim::Beside->new($name,
        ['timeout', 600, build_dir() . "/t/$name"])->start;
}

program($_)->says
    for qw(bus_test bus_kafka_test bus_fault_test bus_place_test);
$_->says for map { program($_) } qw(bus_churn_test bus_stop_test);

hit 'KILL', slurp("$dir/pid") =~ /(\d+)/;

done_testing;
