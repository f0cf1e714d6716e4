# goim-job: options, what goes to which node, what is refused, what operators
# see. Faults are job_faults.t's.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Bus;
use Goim::Job;
use Goim::Kafka;
use Goim::Node;
use Goim::Redis;

# ---- options -----------------------------------------------------------------

subtest 'options and configuration' => sub {
    my $job = Goim::Job->new(redis => '127.0.0.1:1', stopped => 1);
    my ($rc, $said);

    ($rc, $said) = $job->run('--version');
    is $rc, 0, '--version';
    like $said, qr/^job \d+\.\d+/, 'says the version';

    ($rc, $said) = $job->run('--help');
    is $rc, 0, '--help';
    like $said, qr/--config/, 'says the options';

    ($rc) = $job->run('--nonsense');
    is $rc, 2, 'an unknown option';

    ($rc, $said) = $job->test_conf;
    is $rc, 0, '--test' or diag $said;

    ($rc, $said) = $job->run('--config', root_dir() . '/conf/job.conf',
        '--test');
    is $rc, 0, 'the example' or diag $said;

    for my $case (
        ['job', 'max_unacked', '1k'],
        ['job', 'stream_maxlen', 'many'],
        ['job', 'drain', '-1s'],
        ['job', 'http', 'nowhere'],
        ['job', 'log_level', 'loud'],
        ['job', 'nonsense', '1'],
        ['registry', 'renew', '20s'],
        ['registry', 'ttl', '1y'],
        ['redis', 'addr', 'nowhere'],
        ['bus', 'driver', 'pigeon'],
        ['bus', 'partitions', '0'],
        ['kafka', 'no.such.property', '1'])
    {
        my ($section, $key, $value) = @$case;
        my $bad = Goim::Job->new(redis => '127.0.0.1:1', stopped => 1,
            conf => { $section => { $key => $value },
                $section eq 'kafka' ? (bus => { driver => 'kafka' }) : () });
        ($rc, $said) = $bad->test_conf;
        is $rc, 1, "[$section] $key = $value is refused";
        like $said, qr/\Q$key\E|log level "loud"/, 'and named';
    }
};

subtest 'every key is documented and takes its default' => sub {
    my (%doc, %code, $section);

    for (split /\n/, slurp(root_dir() . '/docs/job.conf.md')) {
        $section = $1 if /^## \[(\w+)\]/;
        $doc{"$section.$1"} = $2 if /^    Default:  (\w+) = (.*)/;
        $doc{"$section.$1"} ||= '' if $section && /^### (\w+)/;
    }
    for my $file (qw(job/main.c svc/redis.h svc/bus.h)) {
        my $text = slurp(root_dir() . "/$file");
        $code{"$1.$2"} = 1 while $text =~ /\{ "(\w+)", "(\w+)", CONF_/g;
    }
    is_deeply [sort keys %doc], [sort keys %code], 'the same keys';

    my %conf = (kafka => {});
    for (grep { length $doc{$_} } keys %doc) {
        my ($in, $key) = split /\./;
        $conf{$in}{$key} = $doc{$_};
    }
    my $job = Goim::Job->new(redis => '127.0.0.1:1', stopped => 1,
        conf => \%conf);
    my ($rc, $said) = $job->test_conf;
    is $rc, 0, 'the defaults parse' or diag $said;
};

# ---- over both buses ---------------------------------------------------------

my %quick = (registry => { ttl => '1h', renew => '100ms' });

sub skipped {
    my ($job, $reason) = @_;
    return $job->metrics->{"goim_job_skipped_total{reason=\"$reason\"}"};
}

sub got {
    my ($node, $n, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return eventually { $node->read; @{ $node->{records} } >= $n } 20, $name;
}

for my $driver (qw(redis kafka)) {
    subtest $driver => sub { over($driver) };
}

sub over {
    my ($driver) = @_;
    my $redis = Goim::Redis->new;
    my $kafka = $driver eq 'kafka' ? Goim::Kafka->new : undef;
    my $bus = Goim::Bus->new(redis => $redis, kafka => $kafka);
    my @node = map { Goim::Node->new(redis => $redis,
        server => "comet-$_", info => { conn_count => 20 }) } 1, 2;
    $_->register for @node;

    my $job = Goim::Job->new(redis => $redis->addr, bus => $driver,
        $kafka ? (kafka => $kafka->addr) : (),
        conf => { %quick, bus => { partitions => 4 },
            job => { log => 'LOG', stream_maxlen => 100000 },
            $kafka ? (kafka => { 'topic.metadata.refresh.interval.ms' => 500,
                'metadata.max.age.ms' => 2000 }) : () },
        stopped => 1);
    $job->configure({ job => { log => "$job->{dir}/own.log" } });
    $kafka->produce('goim-push-topic', 'k', "\xff") if $kafka;  # makes it
    $job->start;

    eventually { $job->metrics->{goim_job_partitions} == 4 } 30,
        'owns the partitions';
    is $job->health->{status}, 200, 'healthy';
    eventually { skipped($job, 'parse') == 1 } 20,
        'a wrong record is skipped' if $kafka;

    targets($bus, $job, @node);
    goims($bus, $kafka, @node);
    wrong($bus, $job, $kafka, @node);
    nodes($bus, $job, $redis, @node);
    load($bus, $job, $kafka, @node);
    broken($bus, $job, $redis, @node);

    rename "$job->{dir}/own.log", "$job->{dir}/moved.log";
    $job->signal('HUP');
    eventually { -s "$job->{dir}/own.log" } 10, 'SIGHUP opens the log again';

    is $job->get('/nonsense')->{status}, 404, 'no other page';
    is $job->stop, 0, 'SIGTERM: exit code 0';

    $_->read for @node;
    is $_->{repeated}, 0, "$_->{server}: nothing was repeated" for @node;
    is $_->{epochs}, 1, "$_->{server}: one epoch" for @node;

    is_deeply [map { $_->{body} } @{ $node[1]{records} }],
        [grep { $_ !~ /^only/ } map { $_->{body} } @{ $node[1]{records} }],
        'nothing of another node\'s';
    $kafka->stop if $kafka;
    $redis->stop;
}

sub targets {
    my ($bus, $job, @node) = @_;

    $bus->write(0, { type => 'PUSH', operation => 1000, server => 'comet-1',
        keys => ['a', 'b'], msg => "only\0one" });
    $bus->write(1, { type => 'ROOM', operation => -7, room => 'live://1',
        msg => '' });
    $bus->write(2, { type => 'BROADCAST', operation => 5, speed => 5,
        msg => 'all' });

    got($node[0], 3, 'three records for the first node') or return;
    got($node[1], 2, 'two for the second') or return;

    my %by = map { $_->{kind} => $_ } @{ $node[0]{records} };
    is_deeply $by{KEYS}{keys}, ['a', 'b'], 'keys';
    is $by{KEYS}{body}, "only\0one", 'their body';
    is $by{KEYS}{operation}, 1000, 'their operation';
    is $by{KEYS}{partition}, 0, 'their partition';
    is $by{ROOM}{room}, 'live://1', 'room';
    is $by{ROOM}{operation}, -7, 'its operation';
    is $by{ROOM}{body}, '', 'its empty body';
    is_deeply [@{ $by{ALL} }{qw(speed sessions nodes)}], [5, 40, 2],
        'the pace, and of how many connections';
    is_deeply [sort map { $_->{kind} } @{ $node[1]{records} }],
        [qw(ALL ROOM)], 'the second node got what is for all';
    ok length $node[0]{epoch}, 'with the bus\'s epoch';

    my $m = $job->metrics;
    is $m->{"goim_job_records_total{kind=\"$_\"}"}, 1, "one $_ counted"
        for qw(keys room all);
    is $m->{goim_job_nodes}, 2, 'two nodes';
}

# records as goim's own logic packs them, and what goim's tools look for
sub goims {
    my ($bus, $kafka, @node) = @_;
    my @n = map { scalar @{ $_->{records} } } @node;

    $bus->write(0, "\x10\xe8\x07\x22\x07comet-1\x32\x01a\x32\x01b"
        . "\x3a\x0bonly goim's");
    got($node[0], $n[0] + 1, 'keys, as goim writes them') or return;
    is_deeply [@{ $node[0]{records}[-1] }{qw(kind operation body)},
        @{ $node[0]{records}[-1]{keys} }],
        ['KEYS', 1000, "only goim's", 'a', 'b'], 'are understood';

    $bus->write(0, "\x08\x01\x10\x07\x2a\x08live://1\x3a\x02\0\xff");
    got($node[1], $n[1] + 1, 'a room, as goim writes it') or return;
    is_deeply [@{ $node[1]{records}[-1] }{qw(kind operation room body)}],
        ['ROOM', 7, 'live://1', "\0\xff"], 'is understood';

    $bus->write(0, "\x08\x02\x10\x05\x18\x64\x3a\x02hi");
    got($node[1], $n[1] + 2, 'a broadcast, as goim writes it') or return;
    is_deeply [@{ $node[1]{records}[-1] }{qw(kind operation body)}],
        ['ALL', 5, 'hi'], 'is understood';
    got($node[0], $n[0] + 3, 'for all nodes') or return;

    return if !$kafka;
    eventually {
        grep { defined $_->[2]
            && $_->[2] =~ /goim-push-group-job.*goim-push-topic/s }
            $kafka->records('__consumer_offsets');
    } 30, 'group and topic are goim\'s';
}

sub wrong {
    my ($bus, $job, $kafka, @node) = @_;
    my @n = map { scalar @{ $_->{records} } } @node;
    my $parse = skipped($job, 'parse');

    $bus->write(3, "\xff\xff\xff", { type => 'PUSH', keys => ['a'] },
        { type => 'PUSH', server => 'comet-1' }, { type => 'ROOM' },
        { type => 9, room => 'a' }, { type => 'PUSH', server => 'comet-9',
        keys => ['a'] }, $kafka ? () : 'x' x 4300000,
        { type => 'ROOM', room => 'r', msg => 'after' });

    got($node[0], $n[0] + 1, 'what follows wrong records arrives');
    is $node[0]{records}[-1]{body}, 'after', 'and nothing else';

    is skipped($job, 'parse') - $parse, 1, 'bytes that do not parse';
    is skipped($job, 'server'), 1, 'no server';
    is skipped($job, 'keys'), 1, 'no keys';
    is skipped($job, 'room'), 1, 'no room';
    is skipped($job, 'type'), 1, 'unknown type';
    is skipped($job, 'size'), $kafka ? 0 : 1, 'too long';
    is $job->metrics->{'goim_job_undeliverable_total{reason="unknown_node"}'},
        1, 'unknown node';

    eventually { $job->metrics->{goim_job_unacked_records} == 0 } 10,
        'they are done';
    my @lines = slurp("$job->{dir}/own.log") =~ /wrong record/g;
    is scalar @lines, 1, 'one log line';
}

# a new node gets what comes after its registration, one that left nothing
sub nodes {
    my ($bus, $job, $redis, @node) = @_;
    my $third = Goim::Node->new(redis => $redis, server => 'comet-3');
    my $before = @{ $node[0]{records} };

    for my $i (1 .. 5) {
        $third->register;
        $bus->write($_, { type => 'ROOM', room => 'r', msg => "in $i" })
            for 0 .. 3;
        got($third, 4 * $i, "registered $i: reached") or return;
        $third->deregister;
        $bus->write($_, { type => 'ROOM', room => 'r', msg => "out $i" })
            for 0 .. 3;
        got($node[0], $before + 8 * $i, "left $i: the others are reached")
            or return;
    }

    $third->read;
    is_deeply [map { $_->{body} } @{ $third->{records} }],
        [map { ("in $_") x 4 } 1 .. 5],
        'what came while it was there, nothing else';
    is $job->metrics->{goim_job_nodes}, 2, 'two nodes are left';
}

sub load {
    my ($bus, $job, $kafka, @node) = @_;
    my (%want, %mark);
    $_->read for @node;
    my ($entries, $n) = ($node[1]{entries}, scalar @{ $node[1]{records} });
    my $bodies = $node[1]->bodies;
    $mark{$_} = @{ $bodies->{$_} || [] } for 0 .. 3;

    for my $round (1 .. 5) {
        for my $p (0 .. 3) {
            my @list = map { "r$round p$p n$_ " . 'x' x 1000 } 1 .. 250;
            push @{ $want{$p} }, @list;
            $bus->write($p, map { { type => 'ROOM', room => "room://$p",
                msg => $_ } } @list);
        }
    }

    my $big = 'y' x ($kafka ? 900000 : 2000000);
    $bus->write(0, { type => 'ROOM', room => 'r', msg => $big });
    push @{ $want{0} }, $big;

    $_->{largest} = 0 for @node;
    got($_, $n + 5001, "$_->{server}: all arrive") or return for $node[1];

    $bodies = $node[1]->bodies;
    for my $p (0 .. 3) {
        my @got = @{ $bodies->{$p} };
        splice @got, 0, $mark{$p};
        ok "@got" eq "@{ $want{$p} }", "partition $p: in order";
    }

    $entries = $node[1]{entries} - $entries;
    cmp_ok $entries, '<', 4000, "in batches: 5001 records in $entries appends";
    cmp_ok $node[1]{largest}, '<', length($big) + 1000,
        'the big one alone';
}

# a key that is no stream is replaced and stops nothing
sub broken {
    my ($bus, $job, $redis, @node) = @_;
    my $n = @{ $node[0]{records} };

    $node[1]->read;
    $redis->cmd('DEL', $node[1]->key);
    $redis->cmd('SET', $node[1]->key, 'nonsense');
    $bus->write(1, { type => 'ROOM', room => 'r', msg => 'over' });

    eventually { $redis->cmd('TYPE', $node[1]->key) eq 'stream' } 10,
        'the key is a stream again';
    $node[1]{last} = '0-0';
    $node[1]->read;
    is $node[1]{records}[-1]{body}, 'over', 'with the record';
    is $job->metrics->{goim_job_replaced_total}, 1, 'counted';
}

done_testing;
