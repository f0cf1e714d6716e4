# Services start at once though Redis hangs, and hear SIGTERM. One that would
# put keys into other partitions than its peers ends, and says why.

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Proc;
use Goim::Redis;
use Goim::Test;

allow_log(qr/\[emerg\].*\[bus\] partitions = 4, but the bus in this Redis/);

my $redis = Goim::Redis->new;
my $threads = 12;

sub exit_code {
    my ($service) = @_;
    my $status = $service->wait_exit(10 * slow());
    return defined $status ? $status >> 8 : 'it is still there';
}

# ---- Redis hangs -------------------------------------------------------------

$redis->pause;

for my $service (
    Goim::Logic->new(redis => $redis->addr, stopped => 1,
        conf => { logic => { threads => $threads } }),
    Goim::Job->new(redis => $redis->addr, stopped => 1))
{
    my $name = $service->{name};

    my $start = time;
    $service->start;
    cmp_ok time - $start, '<', 0.5 * $threads * slow(),
        "$name answers before a second a thread is over";
    is $service->health->{status}, 503, "$name: /health says what is wrong";
    $service->signal('TERM');
    is exit_code($service), 0, "$name ends when it is told to";
}

$redis->resume;

# ---- another number of partitions --------------------------------------------

my $logic = Goim::Logic->new(redis => $redis->addr);
wait_for { $redis->cmd('EXISTS', 'goim:bus') } 10, 'the bus is made';

for my $class ('Goim::Logic', 'Goim::Job') {
    my $service = $class->new(redis => $redis->addr, stopped => 1,
        conf => { bus => { partitions => 4 } });
    Goim::Proc::start($service);
    is exit_code($service), 1,
        "$service->{name} with other partitions ends with 1";
    like $service->logs, qr/\[emerg\].*was made with 8: set the same number/,
        'and says why';
}

is $logic->api->room(1000, 'live', '1', 'x')->{code}, 0,
    'whoever is right goes on';

# ---- SIGTERM while Redis is being looked for ---------------------------------

$redis->pause;
my $job = Goim::Job->new(redis => $redis->addr, stopped => 1);
Goim::Proc::start($job);
wait_for { $job->logs =~ /started/ } 10, 'it begins';
$job->signal('TERM');
is exit_code($job), 0, 'a signal that comes at once is heard';
$redis->resume;

done_testing;
