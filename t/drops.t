# Nothing is dropped without a count: the list in docs/operations.md against the
# counters that there are, and each is counted somewhere. Then some of what is
# seldom: dropped really, and counted.

use strict;
use warnings;

use lib 't/lib';
use Goim::Bus;
use Goim::Client;
use Goim::Cluster;
use Goim::Proto qw(proto_encode);
use Goim::RPC;
use Goim::Test;

my $root = root_dir();

# ---- the list ----------------------------------------------------------------

# What counts things that went well, or on their way: with a new counter say
# here that it is one of these, or in docs/operations.md what it drops.
my %fine = map { $_ => 1 } qw(
    accepted closed auths renewals packets_in receives recovered history_reads inbox_ahead
    room_waits records pushed bytes_out flushes leases redis_connects
    logic_calls

    goim_logic_http_requests_total goim_logic_pushes_total
    goim_logic_push_keys_total goim_logic_push_records_total
    goim_logic_push_stored_total
    goim_logic_canaries_total goim_logic_lookups_total
    goim_logic_connects_total goim_logic_disconnects_total
    goim_logic_renewals_total
    goim_logic_heartbeats_total goim_logic_restored_total
    goim_logic_kicks_total goim_logic_missing_total
    goim_logic_rooms_listed_total goim_logic_rooms_off_total
    goim_logic_reads_total goim_logic_page_hits_total
    goim_logic_page_misses_total goim_logic_receives_total
    goim_logic_registers_total goim_logic_rpc_connections_total
    goim_logic_rpc_calls_total goim_logic_hook_requests_total

    goim_job_records_total goim_job_ends_total goim_job_canaries_total
    goim_logic_revokes_total
    goim_job_batches_total
    goim_job_appends_total goim_job_appended_records_total
    goim_job_appended_bytes_total goim_job_numbered_total
    goim_job_number_steps_total goim_job_rooms_looked_up_total
    goim_job_im_commands_total goim_job_im_batches_total goim_job_im_entries_total
    goim_job_im_offline_total goim_job_other_records_total
    goim_redis_connects_total
);

sub files { return join '', map { slurp($_) } map { glob "$root/$_" } @_ }

my $module = files('ngx_goim_module/*.[ch]');
my $services = files('{logic,job,svc}/*.[ch]');

my ($table) = $module =~ /define NGX_GOIM_COUNTERS\(X\)(.*?)\n\n/s;
my %counter = map { $_ => [] } $table =~ /X\((\w+),/g;

# name => the fields of which it consists
while ($services =~ /X\((\w+)(?:\[\w+\])?, "(goim_\w+_total)"/g) {
    push @{ $counter{$2} }, $1;
}
while ($services =~ /(\w+)(?:\[\w+\])? = metrics_(?:counter|gauge)\(\s*"(goim_\w+_total|goim_registry_\w+)"/g) {
    push @{ $counter{$2} }, $1;
}
cmp_ok scalar keys %counter, '>', 120, 'counters of all parts are found';

my ($part) = slurp("$root/docs/operations.md")
    =~ /^## What is dropped\n(.*?)(?=^## )/ms;
my %row;
for my $line ($part =~ /^(\|.*)$/mg) {
    my ($names, @say) = $line =~ /^\| (`.*?) \| (.+) \| (.+) \|$/ or next;
    $row{$_}{n}++ for $names =~ /`(\w+)`/g;
    $row{$_}{what} = $say[0] for $names =~ /`(\w+)`/g;
}
cmp_ok scalar keys %row, '>', 80, 'rows are found';

is_deeply [grep { !$counter{$_} } sort keys %row], [], 'each row is a counter';
is_deeply [grep { !$row{$_} && !$fine{$_} } sort keys %counter], [],
    'each counter of what is dropped has a row';
is_deeply [grep { $row{$_}{n} != 1 || $fine{$_} } sort keys %row], [], 'one';
is_deeply [grep { !$counter{$_} } sort keys %fine], [],
    'what goes well is a counter, too';

# reasons
my %reason;
while ($services =~ /"(goim_\w+_total)",\s*(?:\\\n\s*)?"reason=\\"(\w+)\\""/g) {
    $reason{$1}{$2} = 1;
}
my ($bad) = $services =~ /job_bad_reasons\[\w*\] = \{(.*?)\}/s;
$reason{goim_job_skipped_total}{$_} = 1 for $bad =~ /"([a-z]+)"/g;
delete $reason{goim_job_skipped_total}{none};
my ($none) = $services =~ /reasons\[JOB_NONE_COUNT\] = \{(.*?)\}/s;
$reason{goim_job_unnumbered_total}{$_} = 1 for $none =~ /reason=\\"(\w+)/g;
is_deeply [sort keys %reason], [qw(goim_job_dropped_total goim_job_skipped_total
    goim_job_undeliverable_total goim_job_unnumbered_total
    goim_logic_push_failed_total)], 'those with reasons';
for my $name (sort keys %reason) {
    next if keys %{ $reason{$name} } == 1;
    is_deeply [grep { $row{$name}{what} !~ /`$_`/ }
        sort keys %{ $reason{$name} }], [], "$name: each reason is said";
}

# and counted
is_deeply [grep { /^[a-z_]+$/ && !/^goim_/
    && $module !~ /ngx_goim_count\($_,/ } sort keys %counter], [],
    'each of the node is counted';
is_deeply [grep { /^goim_/ && !grep { $services =~
    /(?:->|\.)$_\b(?!(?:\[\w+\])? = metrics_)/ } @{ $counter{$_} } }
    sort keys %counter], [], 'and of the services';

# ---- what a backend posts ----------------------------------------------------

my $c = Goim::Cluster->new(workers => 2, logic => { conf => {
    push => { timeout => '1s', max_keys => 20 },
    redis => { timeout => '60s' } } },
    job => { conf => { history => { live => '300 10m' } } });
my ($node, $api, $redis) = ($c->node, $c->api, $c->redis);

sub value {
    my ($name) = @_;
    return $name =~ /^goim_job/ ? $c->job->metrics->{$name}
        : $name =~ /^goim_/ ? $c->logic->metrics->{$name}
        : $node->status->{counters}{$name};
}

# a counter moves by this much, at the latest now
sub moves {
    my ($name, $by, $do) = @_;
    my $before = value($name) || 0;
    $do->();
    eventually { value($name) == $before + $by } 10, "$name: +$by";
}

sub failed { return "goim_logic_push_failed_total{reason=\"$_[0]\"}" }

moves(failed('keys'), 1, sub { $api->post('/goim/push/keys',
    [operation => 1000], 'x') });
$redis->cmd('HSET', 'mid_77', map { ("many$_", 'comet-1') } 1 .. 21);
$redis->cmd('SET', "key_many$_", 'comet-1') for 1 .. 21;
moves(failed('crowded'), 1, sub { $api->mids(1000, [77], 'x') });
moves('goim_logic_push_absent_total', 3, sub {
    is $api->mids(1000, [78, 79, -1], 'x')->{code}, 0, 'users without keys';
});
moves('goim_logic_push_offline_total', 2, sub {
    is $api->keys(1000, ['nobody', 'x' x 2000], 'x')->{code}, 0,
        'keys of nobody';
});

# ---- what clients send -------------------------------------------------------

my $early = Goim::Client->new(port => $node->{port}, mid => 1, key => 'early',
    auth => 0);
moves('packets_early', 2, sub { $early->send(4, 'x') for 1, 2 });
$early->auth;
moves('subs_ignored', 2, sub {
    is $early->call($_, '1,two')->{body}, '1,two', 'is answered' for 14, 16;
});
moves('goim_logic_receive_unwanted_total', 1, sub { $early->call(4, 'x') });
$early->close;

# ---- keys that are gone ------------------------------------------------------

my $life = $redis->cmd('HGET', 'goim:life', 'n');
my $zone = $node->status->{zone_id};

sub deliver {
    return $redis->cmd('XADD', 'goim:node:comet-1', "$life-*", 'd',
        proto_encode('Delivery', { records => [@_] }));
}

my $client = $c->client(key => 'leaves', mid => 7, accepts => [1000]);
my ($session) = $redis->cmd('HGET', 'sess_leaves', 'holder') =~ m{/(\d+)$};
moves('key_gone', 1, sub {
    deliver({ kind => 'KICK', keys => ['leaves'], zone => $zone,
        session => $session }, { kind => 'KEYS', keys => ['leaves'],
        operation => 1000, body => 'too late' });
    is $client->closed, 1008, 'replaced';
});

# more than a call takes, and a key that none can have
moves('missing_untold', 11, sub {
    deliver({ kind => 'KEYS', operation => 1000, body => 'x', keys => [
        (map { "nowhere$_" } 1 .. 1010), 'x' x 2000] });
});

# ---- bytes that nobody takes -------------------------------------------------

my $slow = $c->client(key => 'slow', mid => 8, accepts => [1000]);
my $before = value('bytes_unsent');
for (1 .. 200) {
    $api->keys(1000, ['slow'], 'x' x 100_000);
    last if value('slow_closed');
}
eventually { value('bytes_unsent') - $before > 500_000 } 10,
    'what a slow client did not take is counted';
$slow->drop;

# ---- what stands in Redis ----------------------------------------------------

Goim::Bus->new(redis => $redis)->write(0, { type => 'PUSH', operation => 1000,
    server => 'comet-1', keys => ['x' x 2000, 'good', ''], msg => 'x' });
eventually { value('goim_job_skipped_keys_total') == 2 } 10,
    'wrong keys of a record';

$redis->cmd('HSET', 'goim:nodes', 'wrong/z', "\xff");
$redis->cmd('INCR', 'goim:nodes:version');
for my $service ($c->logic, $c->job) {
    eventually { $service->metrics->{goim_registry_broken} == 1 } 20,
        'an entry of the registry';
}
$redis->cmd('HDEL', 'goim:nodes', 'wrong/z');

$redis->cmd('HSET', 'sess_odd', holder => 'no such form', mid => 9);
moves('goim_logic_kick_failed_total', 1, sub {
    $c->client(key => 'odd', mid => 9)->close;
});

# ---- answers that come late --------------------------------------------------


my $rpc = Goim::RPC->new($c->logic->{rpc_port}, zone => 'gone');
wait_for { $api->get('/goim/room/position', type => 'live', room => '1')
    ->{data} } 20, 'the room has a history';

hit STOP => $redis->pid;
moves(failed('redis'), 1, sub {
    is $api->keys(1000, ['k'], 'x')->{code}, -500, 'Redis does not answer';
});
$rpc->send(read => { timeline => 'live://1' });
wait_for { $c->logic->metrics->{goim_logic_reads_total} } 10, 'a Read';
$rpc->close;
hit CONT => $redis->pid;
eventually { value('goim_logic_rpc_unanswered_total') >= 1 } 20,
    'an answer for nobody';

done_testing;
