# LONG
#
# goim-job while things fail: every record that the bus took is in every live
# node's stream, and a comet, which drops what it has seen by position, reads
# each once and in the order of its partition.

use strict;
use warnings;

use lib 't/lib';
use Goim::Beside;
use Goim::Test;
use Goim::Bus;
use Goim::Job;
use Goim::Kafka;
use Goim::Node;
use Goim::Redis;

use Time::HiRes qw(time sleep);

my $seed = $ENV{GOIM_SEED} || time() * 1000 % 1000000;
srand $seed;
diag("GOIM_SEED=$seed");

my ($driver, $redis, $kafka, $bus, @node, @job);
my (%sent, %unknown);           # partition => [bodies]

each_bus(sub {
    ($driver) = @_;
    over();
});

sub over {
    $redis = Goim::Redis->new;
    $kafka = $driver eq 'kafka' ? Goim::Kafka->new : undef;
    $bus = Goim::Bus->new(redis => $redis, kafka => $kafka);
    $kafka->produce('goim-push-topic', 'k', "\xff") if $kafka;  # makes it
    @node = map { Goim::Node->new(redis => $redis, server => "comet-$_") }
        1 .. 3;
    %sent = map { $_ => [] } 0 .. 3;
    %unknown = map { $_ => [] } 0 .. 3;

    @job = map { Goim::Job->new(redis => $redis->addr, bus => $driver,
        $kafka ? (kafka => $kafka->addr) : (), stopped => 1, conf => {
            registry => { ttl => '1h', renew => '100ms' },
            bus => { partitions => 4 },
            job => { stream_maxlen => 1000000, max_unacked => '5m',
                log_level => 'info' },
            redis => { timeout => '1s' },
            $kafka ? (kafka => { 'session.timeout.ms' => 2000,
                'heartbeat.interval.ms' => 300,
                'topic.metadata.refresh.interval.ms' => 500 }) : (),
        }) } 1 .. 2;

    subtest 'nodes not known yet' => \&unknown_nodes;
    subtest 'Redis away' => \&redis_away;
    subtest 'Redis refuses' => \&refused;
    subtest 'a broker that restarts' => \&broker if $kafka;
    subtest 'no answer' => \&unanswered;
    subtest 'two jobs share the work' => \&two_jobs;
    subtest 'a stopped job wakes up late' => \&zombie;
    subtest 'stopped while partitions move' => \&moving;
    subtest 'kill -9 at random' => \&chaos;
    subtest 'Redis without its newest writes' => \&rollback if $kafka;

    $_->stop for grep { $_->alive } @job;
    $kafka->stop if $kafka;
    $redis->stop;
}

# ---- what is written, and what has to come of it -----------------------------

# $n records for everybody in each partition; what was not acknowledged may
# arrive or not
sub produce {
    my ($n, $size) = @_;

    for my $p (0 .. 3) {
        my $from = @{ $sent{$p} } + @{ $unknown{$p} };
        my @bodies = map { sprintf '%d-%06d %s', $p, $from + $_,
            'x' x ($size || rand 300) } 1 .. $n;
        my $rc = eval { $bus->write($p, map { { type => 'ROOM',
            room => "room://$p", operation => 1000, msg => $_ } } @bodies) };
        push @{ $rc ? $sent{$p} : $unknown{$p} }, @bodies;
        return 0 if !$rc;
    }
    return 1;
}

# what a comet does all the time; it survives Redis
sub follow {
    my $n = 0;
    $n += eval { $_->read } || 0 for @node;
    return $n;
}

sub check {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($total, $end) = (0, time() + 90 * slow());
    $total += @$_ for values %sent;

    # until all are there and nothing more comes
    while (time() < $end) {
        follow() and next;
        last if !grep { known($_) < $total } @node;
        sleep 0.05;
    }

    for my $node (@node) {
        my $bodies = $node->bodies;

        for my $p (sort keys %sent) {
            my %maybe = map { $_ => 1 } @{ $unknown{$p} };
            my @got = @{ $bodies->{$p} || [] };
            my %count;
            $count{$_}++ for @got;

            my @lost = grep { !$count{$_} } @{ $sent{$p} };
            my @more = grep { $count{$_} > 1 } keys %count;
            my @order = grep { $got[$_ - 1] gt $got[$_] } 1 .. $#got;
            my $ok = !@lost && !@more && !@order;

            ok($ok, "$name: $node->{server}, partition $p: "
                . @{ $sent{$p} } . ' records, each once, in order')
                or diag(@lost . " lost (" . join(' ', map { substr $_, 0, 8 }
                    @lost[0 .. ($#lost > 4 ? 4 : $#lost)]) . "), "
                    . @more . ' repeated, ' . @order . ' out of order');
        }
    }
    diag(join ', ', map { "$_->{server}: $_->{repeated} repeats dropped" }
        @node) if $ENV{GOIM_VERBOSE};
}

sub known {
    my ($node) = @_;
    my %maybe = map { $_ => 1 } map { @$_ } values %unknown;
    return scalar grep { !$maybe{ $_->{body} } } @{ $node->{records} };
}

sub owned {
    my ($job) = @_;
    my $m = eval { $job->metrics } or return 0;
    return $m->{goim_job_partitions};
}

# all partitions are owned, each by one
sub whole {
    my ($least) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    eventually {
        my @n = map { owned($_) } grep { $_->alive } @job;
        my $sum = 0;
        $sum += $_ for @n;
        $sum == 4 && !grep { $_ < $least } @n;
    } 60, 'the partitions are shared out';
}

# ---- faults ------------------------------------------------------------------

# an empty registry of a young Redis is not "no nodes": records wait, and are
# not done
sub unknown_nodes {
    my $held = sub { $job[0]->metrics->{goim_job_held_total} };

    $job[0]->configure({ registry => { renew => '60s', ttl => '1h' } });
    $job[0]->start;
    whole(1);
    produce(20);
    wait_for { $held->() >= 5 } 20, 'records wait';
    is $job[0]->metrics->{goim_job_unacked_records}, $kafka ? 81 : 80,
        'all of them';
    $job[0]->kill9;

    # one that was lost, as somebody who registers had been registered
    $redis->cmd('HSET', 'goim:nodes', 'created',
        sprintf('%.0f lost', time * 1000));
    $_->register for @node[0, 1];
    $job[0]->start;
    wait_for { $held->() >= 3 } 20, 'a young set may be half of it';
    $job[0]->kill9;

    $node[2]->register;
    $job[0]->configure({ registry => { renew => '100ms' } });
    $job[0]->start;
    check('nodes registered');
    whole(1);
}

# Records while Redis is away, until the job holds what it may; another time
# where its leases ran out first, as on a machine that is busy.
sub filled {
    for my $try (1 .. 10) {
        produce(100, 4000) for 1 .. 10;
        return 1 if eval { wait_for {
            $job[0]->metrics->{goim_job_paused} } 3; 1 };
        $redis->start;
        wait_for { $job[0]->health->{status} == 200 } 20, 'healthy';
        $redis->kill9;
        wait_for { $job[0]->health->{status} == 503 } 10, 'unhealthy';
    }
    return 0;
}

sub redis_away {
    produce(50);
    $redis->kill9;
    eventually { $job[0]->health->{status} == 503 } 10, 'health says so';

    # with Kafka the bus goes on: more than the job may hold
    if ($kafka) {
        ok filled(), 'no more than its memory is taken';
        cmp_ok $job[0]->metrics->{goim_job_unacked_bytes}, '<', 10 << 20,
            'about as much';
    } else {
        ok !produce(1), 'the bus is away too';
    }

    ok $job[0]->alive, 'it waits';
    $redis->start;
    eventually { $job[0]->health->{status} == 200 } 20, 'healthy again';
    produce(50);
    check('after Redis came back');
    is $job[0]->metrics->{goim_job_unacked_bytes}, 0, 'nothing is held'
        or diag $job[0]->logs;
    is $job[0]->metrics->{goim_job_paused}, 0, 'not paused';
}

# a full Redis takes no appends: nothing is done until it does
sub refused {
    # the step that a partition begins with comes before its appends
    my $retries = sub {
        my $m = $job[0]->metrics;
        return $m->{goim_job_retries_total}
            + $m->{goim_job_number_retries_total};
    };

    for my $killed (0, 1) {
        my $before = $retries->();

        $job[0]->pause;
        produce(100);
        $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
        $job[0]->resume;
        wait_for { $retries->() >= $before + 5 } 20, 'appends are refused';
        follow();

        gone() if !$killed;

        if ($killed) {
            $job[0]->kill9;
            $job[0]->start;
            wait_for { $retries->() >= 3 } 20, 'appends are refused again';
            $before = 0;
        }

        $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
        produce(10);
        check($killed ? 'killed while Redis was full' : 'a full Redis');
    }
}

# a node that leaves while records wait for it holds nothing up
sub gone {
    my $dropped = 'goim_job_dropped_total{reason="node_gone"}';

    # the tests go on with the other two
    (splice @node, 2, 1)->deregister;
    eventually { $job[0]->metrics->{$dropped} > 0 } 20,
        'what waits for a node that left is dropped and counted';
}

# connections that end and a Redis that stands still: whether an append was
# carried out is not known
sub unanswered {
    for (1 .. 20) {
        produce(30);
        $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
        follow();
    }

    for (1 .. 2) {
        $job[0]->pause;
        produce(100);
        $job[0]->resume;
        sleep rand 0.02;
        $redis->pause;
        sleep 1.2 + rand;
        $redis->resume;
        produce(100);
    }
    check('lost connections');
}

sub broker {
    produce(50);
    eventually { $job[0]->health->{status} == 200 } 20, 'healthy';
    $kafka->kill9;
    eventually { $job[0]->health->{status} == 503 } 30, 'not without a broker';
    is $job[0]->health->{content}, "the bus is away: kafka\n", 'says why';
    is $job[0]->metrics->{goim_job_bus_up}, 0, 'in the metrics, too';
    $kafka->start;
    eventually { $job[0]->health->{status} == 200 } 60, 'healthy again';

    # one that is there and says nothing
    $kafka->pause;
    eventually { $job[0]->health->{status} == 503 } 40, 'a broker that hangs';
    $kafka->resume;
    eventually { $job[0]->health->{status} == 200 } 60, 'and goes on';
    eventually { produce(1) } 60, 'the broker takes records';
    check('the broker came back');
}

sub two_jobs {
    $job[1]->start;
    whole(1);
    produce(50) for 1 .. 5;
    check('two jobs');

    # one stops in the middle, the other goes on
    produce(200);
    is $job[1]->stop, 0, 'SIGTERM: exit code 0';
    produce(200);
    whole(4);
    check('one stopped');

    $job[1]->start;
    produce(100);
    whole(1);
    produce(200);
    $job[0]->kill9;
    produce(200);
    whole(4);
    check('the other was killed');
    $job[0]->start;
    whole(1);
}

sub zombie {
    for my $round (1, 2) {
        my ($sleeper, $other) = @job[$round % 2, ($round + 1) % 2];

        produce(100) for 1 .. 3;
        $sleeper->pause;
        produce(100);
        eventually { produce(5); follow(); owned($other) == 4 } 60,
            "round $round: the other takes all partitions";
        produce(100);
        $sleeper->resume;
        produce(100);
        whole(1);
        produce(100);
    }
    check('stopped jobs woke up');
}

# a job that stops while the group is being sorted ends by itself and in time
sub moving {
    my @ends;

    for (1 .. 10) {
        $_->start for grep { !$_->alive } @job;
        produce(5);
        sleep rand 0.8;

        my @order = rand() < 0.5 ? @job : reverse @job;
        $order[0]->signal('TERM');
        sleep rand 0.1;
        $order[1]->signal('TERM') if rand() < 0.5;

        for (grep { $_ == $order[0] || !$_->alive } @job) {
            my $status = $_->wait_exit(12 * slow());
            push @ends, defined $status ? $status : 'none';
            $_->kill9;
        }
    }
    is_deeply [grep { $_ ne '0' } @ends], [], 'each ends with exit code 0';

    $_->start for grep { !$_->alive } @job;
    whole(1);
    check('partitions moved');
}

sub chaos {
    my $end = time() + ($ENV{GOIM_CHAOS} || 15);
    my (%did, %told);

    while (time() < $end) {
        produce(1 + int rand 100);
        follow();
        sleep rand 0.3;

        my $dice = rand;
        my $job = $job[rand 2];

        if ($dice < 0.25) {
            $job->kill9;
            $did{'job killed'}++;
        } elsif ($dice < 0.35) {
            $job->signal('TERM');
            $told{ $job->pid } = 1;
            $did{'job stopped'}++;
        } elsif ($dice < 0.45) {
            $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
            $did{'connections killed'}++;
        } elsif ($dice < 0.5) {
            produce(100);
            $redis->pause;
            sleep 0.5 + rand;
            $redis->resume;
            $did{'redis stopped'}++;
        } elsif ($dice < 0.6) {
            produce(100);
            $redis->kill9;
            produce(10) if $kafka;
            sleep rand 0.5;
            $redis->start;
            $did{'redis killed'}++;
        }

        for (@job) {
            eval { $_->start } if !$_->alive && rand() < 0.7;
        }
    }

    for (@job) {
        $_->wait_exit(20) if $_->alive && $told{ $_->pid };
        $_->start if !$_->alive;
    }
    produce(10);
    note(join ', ', map { "$did{$_} times $_" } sort keys %did);
    check('after chaos');
    whole(1);
}

# Redis comes back as it was some time ago: streams, places and all
sub rollback {
    my $dir = $redis->{dir};
    produce(100);
    check('before');

    for my $round (1 .. 3) {
        produce(20 + int rand 100);
        sleep rand 0.2;
        $redis->cmd('BGREWRITEAOF');
        wait_for { $redis->cmd('INFO', 'persistence')
            =~ /aof_rewrite_in_progress:0/ } 10;
        # files of before the rewrite may vanish while they are copied
        wait_for { !system("rm -rf '$dir/saved' && cp -a '$dir/appendonlydir'"
            . " '$dir/saved'") } 10, 'a copy';

        produce(20 + int rand 100);
        follow() if rand() < 0.5;
        produce(20 + int rand 100);
        sleep rand 0.5;

        $redis->kill9;
        system("rm -rf '$dir/appendonlydir' && mv '$dir/saved' "
            . "'$dir/appendonlydir'") == 0 or die 'mv';
        $redis->start;
        produce(20 + int rand 100);
    }
    check('after Redis lost its newest writes');
    ok((grep { $_->metrics->{goim_job_lives_total} } @job), 'jobs saw it');
}

done_testing;
