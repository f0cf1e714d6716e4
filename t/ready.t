# ASAN: no
# LONG
#
# Ready means that pushes get through: what logic sends comes back, and where it
# does not /ready of logic and job, and `ready` of the node, say so and name the
# hop. All faults at once, each in a system of its own, as they take 15 s to
# count; all end, and all is ready again.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my @parts = (logic => { conf => { logic => { canary => '500ms' } } });
my %c = map { $_ => Goim::Cluster->new(@parts) } qw(job redis node bare);
$c{worker} = Goim::Cluster->new(@parts, workers => 3, nodes => 2);

sub said {
    my ($service) = @_;
    my $res = eval { $service->get('/ready') } || return '';
    return "$res->{status} $res->{content}" =~ s/\s+\z//r;
}

sub unready {
    my ($node) = @_;
    my $st = eval { $node->status } || return 'no answer';
    return $st->{ready} ? 'ready' : $st->{unready};
}

sub all_ready {
    my ($when) = @_;
    for my $name (sort keys %c) {
        my $c = $c{$name};
        eventually { said($c->logic) eq '200 {"status":"ok"}' } 15,
            "$when, $name: logic is ready" or diag said($c->logic);
        eventually { said($c->job) eq '200 ok' } 15,
            "$when, $name: job is ready" or diag said($c->job);
        eventually { unready($c->node) eq 'ready' } 15,
            "$when, $name: the node is ready" or diag unready($c->node);
    }
}

all_ready('at first');

my $m = $c{node}->logic->metrics;
for my $hop (qw(produce bus job stream ring rpc all)) {
    my $name = 'goim_logic_canary_seconds';
    my $n = $m->{"${name}_count{hop=\"$hop\"}"};
    cmp_ok $n, '>=', 8, "$hop: each partition's";
    is $m->{"${name}_bucket{hop=\"$hop\",le=\"+Inf\"}"}, $n, "$hop: buckets";
    my @n = map { $m->{"${name}_bucket{hop=\"$hop\",le=\"$_\"}"} }
        qw(0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 15 +Inf);
    is_deeply \@n, [sort { $a <=> $b } @n], "$hop: they grow";
    like $m->{"${name}_sum{hop=\"$hop\"}"}, qr/^\d+\.\d{3}$/, "$hop: the sum";
}

# they are no pushes, no records, nothing of a session's
is $m->{goim_logic_push_records_total}, 0, 'logic counts no push';
my $j = $c{node}->job->metrics;
is $j->{"goim_job_records_total{kind=\"$_\"}"}, 0, "job counts no $_"
    for qw(keys room all);
is $j->{'goim_job_undeliverable_total{reason="no_nodes"}'}, 0, 'for no node';
my $st = $c{node}->node->status->{counters};
is $st->{$_}, 0, "the node counts none as $_"
    for qw(pushed broken key_missing filtered duplicates);

my $client = $c{worker}->client(key => 'k', accepts => [1000]);
my @stopped = ($c{worker}->node->reader, $c{node}->node->workers,
    $c{worker}->node(1)->workers);

$c{job}->job->pause;
$c{redis}->redis->pause;
hit 'STOP', $_ for @stopped;
$c{bare}->node->stop;

eventually { said($c{redis}->job) eq '503 redis is away' } 30,
    'a Redis that stands still: job is not ready';
eventually { said($c{redis}->logic) =~ /^503 .*"bus: redis / } 40,
    'and for logic it is the bus' or diag said($c{redis}->logic);
eventually { unready($c{redis}->node) eq 'stream' } 40,
    'for the node its stream' or diag unready($c{redis}->node);

eventually { said($c{job}->logic) =~ /^503 .*"job: none is seen/ } 40,
    'a job that stands still' or diag said($c{job}->logic);
is unready($c{job}->node), 'ready', 'its node still is';

eventually { said($c{node}->logic)
    =~ /^503 .*"stream: no canary came back in 15 s from any of 1 nodes/ } 40,
    'a node that stands still' or diag said($c{node}->logic);
is said($c{node}->job), '200 ok', 'its job still is';

eventually { unready($c{worker}->node) eq 'ring' } 40,
    'a reader that stands still, among other workers'
    or diag unready($c{worker}->node);
is said($c{worker}->logic), '200 {"status":"ok"}',
    'logic has the canaries of the others';

is said($c{bare}->logic), '200 {"status":"ok"}',
    'without a node the bus alone decides';

# a node that has lapsed misses nothing by canaries
my $lapsed = $c{worker}->job;
eventually { $lapsed->metrics->{goim_job_nodes_lapsed} == 1 } 40, 'one lapsed';
my $n = $lapsed->metrics->{goim_job_canaries_total};
eventually { $lapsed->metrics->{goim_job_canaries_total} >= $n + 16 } 20,
    'canaries go on';
is $lapsed->metrics->{goim_job_missed_records_total}, 0, 'it misses nothing';

$c{job}->job->resume;
$c{redis}->redis->resume;
hit 'CONT', $_ for @stopped;
$c{bare}->node->start;

all_ready('afterwards');

done_testing;
