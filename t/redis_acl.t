# ASAN: no (redis_greeting.t and main.t take these ways there)
# LONG
#
# Redis as people run it: everything works for users who may do what
# docs/operations.md says and nothing more, and that is what the sources run;
# passwords in files as editors leave them; a cluster is refused with a word.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;
use Goim::Kafka;
use Goim::Job;
use Goim::Logic;
use Goim::Redis;

# ---- what the docs say -------------------------------------------------------

my %acl = slurp('docs/operations.md')
    =~ /^ +user goim-(\w+) (on .*?)\n\n/msg;
is_deeply [sort keys %acl], [qw(job logic node)], 'a user each';
s/\s+/ /g, s/<password>/se\@cret/, s/<prefix>/im:/g for values %acl;

sub folder_with {
    my ($name, $text) = @_;
    return spew(folder('acl') . "/$name", $text);
}

my $users = join '', map { "user goim-$_ $acl{$_}\n" } sort keys %acl;
my $password = folder_with('password', "se\@cret\n");

# ---- what the sources say ----------------------------------------------------

my %known;
{
    my $redis = Goim::Redis->new;
    %known = map { uc $_ => 1 } @{ $redis->cmd('COMMAND', 'LIST') };
    $redis->stop;

    # always allowed; the word of an error
    delete @known{qw(AUTH READONLY)};
}

# of svc/: what one of them alone runs
my %whose = ((map { $_ => 'logic' } qw(bus_redis_append bus_redis_producer
    node_leave node_register node_read)), (map { $_ => 'job' }
    qw(bus_redis_mend bus_redis_consumer bus_redis_read done done_read
    done_save lease lease_give lease_leave lease_tick node_missed room_nodes)));
my %sub = (SCRIPT => ['script|load'], CONFIG => ['config|get'],
    CLIENT => ['client|id', 'client|unblock'], XINFO => ['xinfo|stream']);

sub commands {
    my (@files) = @_;
    my %found;
    for my $file (grep { !m{svc/(?:http|db)} } @files) {
        my $lua = $file =~ /\.lua$/;
        my $text = $lua ? `awk -f tools/lua.awk '$file'` : slurp($file);
        $text =~ s{/\*.*?\*/}{}gs;
        $found{$_} = 1 for map { $sub{$_} ? @{ $sub{$_} } : lc }
            grep { $known{$_} } $lua ? $text =~ /['"]([A-Z]{3,})['"]/g
                : $text =~ /"([A-Z]{3,})(?:"|\ )/g;
    }
    return [sort keys %found];
}

sub of {
    my ($part) = @_;
    return commands(grep {
        my ($name) = m{^svc/.*?(\w+)\.\w+$};
        !$name || ($whose{$name} || $part) eq $part
    } glob "svc/lua/*.lua svc/*.c $part/lua/*.lua $part/*.c");
}

for my $part (sort keys %acl) {
    is_deeply [sort $acl{$part} =~ /\+(\S+)/g], $part ne 'node' ? of($part)
        : commands('ngx_goim_module/ngx_goim_reader.c',
            'ngx_goim_module/ngx_goim_redis.c'),
        "$part: what it runs is allowed, and no more";
}

# ---- and that it is enough ---------------------------------------------------

my $kafka = Goim::Kafka->new;

sub log_of {
    my ($redis) = @_;
    my @log = map { my %e = @$_; "$e{reason}: $e{object} in $e{context}" }
        @{ $redis->cmd('ACL', 'LOG', 100) };
    return \@log;
}

for my $bus (qw(redis kafka)) {
    subtest "bus on $bus" => sub { everything($bus) };
}

sub everything {
    my ($bus) = @_;
    my $port = free_port();
    my %user = map { $_ => { conf => { redis => { user => "goim-$_",
        prefix => 'im:', password_file => $password, db => 1 },
        registry => { renew => '300ms', ttl => '3s' } } } } qw(logic job);
    $user{job}{conf}{history} = { live => '10 1m' };

    # so many nodes that rooms are listed
    my $c = Goim::Cluster->new(bus => $bus, kafka => $bus eq 'kafka'
        && $kafka, redis => { port => $port, conf => {
            aclfile => folder_with('users', $users) } },
        logic => $user{logic}, job => $user{job}, nodes => 4,
        nginx => { redis => "127.0.0.1:$port user=goim-node db=1 prefix=im:"
            . " password_file=$password" });
    my $api = $c->api;

    my %who = (mid => 7, room => 'live://1', accepts => [1000]);
    my $one = eval { $c->client(%who, key => 'one') } or diag explain log_of($c->redis);
    my $two = $c->client(%who, key => 'two', node => 1);
    is $c->logic->health->{status}, 200, 'logic is healthy';
    is $c->job->health->{status}, 200, 'job is healthy';
    my %seen = map { $_ => 1 }
        $c->redis->cmd(qw(CLIENT LIST)) =~ /user=(\S+)/g;
    is_deeply [sort keys %seen], [qw(default goim-job goim-logic goim-node)],
        'each as its user, and this test';

    $one->heartbeat;
    $one->change_room('live://2');
    $two->change_room('live://2');
    $one->change_room('live://1');

    is $api->keys(1000, ['one'], 'to a key')->{code}, 0, 'keys';
    is $api->mids(1000, [7], 'to a mid')->{code}, 0, 'mids';
    is $api->room(1000, 'live', '1', 'to a room')->{code}, 0, 'room';
    is $api->all(1000, 'to all')->{code}, 0, 'all';
    $api->post('/goim/push/room', [operation => 1000, type => 'live',
        room => 2, id => 'one'], 'numbered') for 1 .. 30;
    eventually { $c->job->metrics->{goim_job_repeats_total} == 29 } 20,
        'numbers';
    is_deeply log_of($c->redis), [], 'nothing is refused';
    is_deeply [sort map { $_->{body} } $one->pushes(4)],
        ['to a key', 'to a mid', 'to a room', 'to all'], 'arrive';
    is_deeply [sort map { $_->{body} } $two->pushes(3)],
        ['numbered', 'to a mid', 'to all'], 'where they should';

    is scalar @{ $api->get('/goim/room/history', type => 'live', room => 2,
        limit => 10)->{data}{items} }, 1, 'a page of history';

    eventually { $api->online_total->{data}{conn_count} == 2 } 20, 'total';
    eventually { ($api->online_room('live', 1)->{data}{1} || 0) == 1 } 20,
        'a room';
    eventually { @{ $api->online_top('live', 10)->{data} || [] } == 2 } 20,
        'top';
    is scalar @{ $api->nodes_instances->{data} || [] }, 4, 'nodes';
    eventually { 4 == grep { $_->status->{listed} } @{ $c->{nodes} } } 20,
        'their rooms are listed';
    is $one->change_room('live://3')->{body}, 'live://3', 'one more';
    is $api->room(1000, 'live', '3', 'listed')->{code}, 0, 'room';
    is $one->push->{body}, 'listed', 'arrives';
    is_deeply log_of($c->redis), [], 'nothing is refused';

    # a newer connection of the same key ends the one before
    my $again = $c->client(%who, key => 'one', node => 1);
    ok defined $one->closed, 'replaced';
    is $api->keys(1000, ['one'], 'to the newer')->{code}, 0, 'keys again';
    is $again->push->{body}, 'to the newer', 'arrives';

    $again->close;
    eventually { $api->online_total->{data}{conn_count} == 1 } 20, 'gone';

    # a node goes and comes; a job and a logic too
    $c->node(0)->stop;
    eventually { @{ $api->nodes_instances->{data} || [] } == 3 } 20,
        'deregistered';
    $c->node(0)->start;
    $c->node(0)->wait_registered(20);
    is $c->job->stop, 0, 'job stops';
    $c->job->start;
    is $c->logic->stop, 0, 'logic stops';
    $c->logic->start;
    $c->redis->restart;
    eventually { $c->logic->health->{status} == 200
        && $c->job->health->{status} == 200 } 20, 'Redis starts again';
    eventually { ($api->all(1000, 'at the end')->{code} // 1) == 0 } 20,
        'pushed';
    eventually { $two->pump; grep { $_->{body} eq 'at the end' }
        @{ $two->{pushes} } } 20, 'and delivered';

    is_deeply log_of($c->redis), [], 'nothing was refused';

    $_->stop for @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };
}

# ---- password files ----------------------------------------------------------

my $redis = Goim::Redis->new(conf => { requirepass => 'se@cret' });

for my $file (["\xef\xbb\xbfse\@cret", 'a byte order mark'],
    ["se\@cret\r\n", 'CRLF'], ["se\@cret\n\n\n", 'blank last lines'],
    ["\xef\xbb\xbfse\@cret\r\n\r\n", 'all of it'])
{
    my ($text, $name) = @$file;
    my $path = spew(folder('password') . '/redis', $text);
    my $job = Goim::Job->new(redis => $redis->addr, bus => 'redis',
        conf => { redis => { password_file => $path } });
    eventually { $job->health->{status} == 200 } 20, "a password with $name";
    $job->stop;
}

# ---- a cluster ---------------------------------------------------------------

my $cluster = Goim::Redis->new(conf => { 'cluster-enabled' => 'yes',
    'cluster-port' => free_port() });

for my $class (qw(Goim::Logic Goim::Job)) {
    my $service = $class->new(redis => $cluster->addr, bus => 'redis');
    eventually { $service->logs =~ /it runs as a cluster, which is not/ } 20,
        "$class says that it is a cluster";
    is $service->health->{status}, 503, 'and is not healthy';
    $service->stop;
}

done_testing;
