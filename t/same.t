# Logic and job must have the same Redis, database and prefix. Where they do
# not, both say it and nothing is lost: over Kafka records wait until one of
# them is mended; over the Redis bus each misses the other.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Kafka;
use Goim::Logic;
use Goim::Redis;
use Goim::RPC;
use Goim::Test;

allow_log(qr/\[emerg\] \d+: records wait: logic has .* no logic is seen/);

my $redis = Goim::Redis->new;
my $other = Goim::Redis->new;
my $kafka = Goim::Kafka->new(partitions => 2);

# the section [redis] of a job that is wrong, and of which it speaks
my %job = (
    db => [{ db => 1 }, qr/logic has Redis's database 0, this job 1/],
    prefix => [{ prefix => 'im:' },
        qr/logic has prefix "", this job "im:"/],
    server => [{ addr => $other->addr }, qr/logic has Redis with run_id \w{40}, this job \Q${\$other->addr}\E with run_id \w{40}/],
);

# a logic and a job for each, with a topic of their own; and a pair of which
# logic is wrong, and one over the Redis bus
my (%logic, %bad);

sub pair {
    my ($name, $logic, $job, %arg) = @_;
    my %bus = (bus => { topic => "t-$name" });
    $arg{redis} = $redis->addr;
    $logic{$name} = Goim::RPC::ready(Goim::Logic->new(%arg,
        conf => { %bus, redis => { addr => $redis->addr, %$logic } }));
    $bad{$name} = Goim::Job->new(%arg,
        conf => { %bus, redis => { addr => $redis->addr, %$job } });
}

my @kafka = (bus => 'kafka', kafka => $kafka->addr);
pair('bus', {}, { prefix => 'im:' });
pair($_, {}, $job{$_}[0], @kafka) for sort keys %job;
pair('logic', { prefix => 'other:' }, {}, @kafka);

my $node = Goim::RPC->new($logic{db}{rpc_port}, server => 'comet');
is $node->register->{code}, 0, 'a node';

# what it has to deliver
sub bodies {
    return map { $_->{body} } map { @{ $_->{records} } }
        Goim::RPC::deliveries($redis, 'comet');
}

my $n = 0;
sub push_room {
    my ($name) = @_;
    $n++;
    is $logic{$name}->api->room(1000, 'live', '1', "$name $n")->{code}, 0,
        "$name: accepted";
}

for my $name (sort keys %logic) {
    push_room($name) for 1 .. 3;
}

for my $name (sort(keys %job), 'logic') {
    eventually { $bad{$name}->health->{status} == 503 } 30,
        "$name: job is not healthy";
}

for my $name (sort keys %job) {
    my $what = $job{$name}[1];
    like $bad{$name}->health->{content}, $what, "$name: which says why";
    eventually { $bad{$name}->logs =~ /\[emerg\] \d+: records wait: $what,/ }
        20, "$name: the log, too";
    is $bad{$name}->metrics->{goim_job_elsewhere}, 1, "$name: a gauge";
}

subtest 'over the Redis bus' => sub {
    my ($logic, $job) = ($logic{bus}, $bad{bus});
    eventually { $job->metrics->{goim_job_no_logic} } 20,
        'job sees no logic';
    like $job->logs, qr/\[warn\] \d+: no logic is seen in redis \Q${\$redis->addr}\E, database 0, under prefix 'im:'/, 'and says so';
    is $job->health->{status}, 200, 'that may be';
    like $job->health->{content}, qr/^ok, but no logic is seen/, 'so it is told';

    eventually { $logic->metrics->{goim_logic_no_job} } 20,
        'logic sees no job';
    like $logic->logs, qr/\[error\] \d+: no job is seen in redis \Q${\$redis->addr}\E, database 0, under prefix ''/, 'and says so';
    is $logic->health->{status}, 200, 'pushes are accepted';
    like $logic->health->{content}, qr/"warning":"no job is seen/, 'it is told';
};

is join(' ', bodies()), '', 'nothing has been delivered';

# job is mended
for my $name ('bus', sort keys %job) {
    $bad{$name}->stop;
    $bad{$name}->configure({ redis => { addr => $redis->addr, db => 0,
        prefix => undef } });
    $bad{$name}->start;
}

subtest 'logic is mended' => sub {
    my ($logic, $job) = ($logic{logic}, $bad{logic});
    $logic->stop;
    $logic->configure({ redis => { prefix => undef } });
    $logic->start;
    Goim::RPC::ready($logic);
    eventually { 3 == grep { /^logic/ } bodies() } 20,
        'what was accepted before arrives';
    is $job->metrics->{goim_job_other_records_total}, 3, 'counted';
    like $job->logs, qr/\[error\] \d+: logic has prefix "other:", this job "": its/,
        'and said';
    eventually { $job->health->{status} == 200 } 10, 'job is healthy';
};

for my $name (sort keys %logic) {
    push_room($name);
    eventually { 4 == grep { /^$name / } bodies() } 30,
        "$name: all has arrived";
}

my @all = bodies();
is scalar(@all), $n, 'each once';
is $bad{$_}->metrics->{goim_job_elsewhere}, 0, "$_: none waits"
    for sort keys %job;
eventually { !$logic{bus}->metrics->{goim_logic_no_job}
    && !$bad{bus}->metrics->{goim_job_no_logic} } 10, 'they see each other';

# it has another run_id then
subtest 'Redis has restarted, and there is no logic' => sub {
    my ($logic, $job) = ($logic{db}, $bad{db});
    $node->register;
    $job->pause;
    push_room('db');
    $logic->stop;
    $redis->restart;
    $job->resume;

    # one may come again, as another run of Redis begins at what is saved there:
    # nodes know it by its position
    eventually { my %seen; 5 == grep { /^db / && !$seen{$_}++ } bodies() } 20,
        'a job that knew it delivers what was accepted before';
    is $redis->cmd('EXISTS', 'goim:here:logic:kafka:t-db'), 0,
        'though no logic is there';
};

# a logic that has ended leaves no mark of its own
$logic{bus}->stop;
is $redis->cmd('EXISTS', 'goim:here:logic:redis'), 0, 'its mark has gone';
is $redis->cmd('EXISTS', 'goim:here:logic:kafka:t-prefix'), 1,
    'others stay';

done_testing;
