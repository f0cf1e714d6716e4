# Messages between people while their database is away, or silent, and records of their bus
# that are no commands: nothing is lost or stored twice, and pushes go on.

# ASAN: no

use strict;
use warnings;

use IO::Socket::INET ();
use IPC::Open2 qw(open2);

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Proc ();
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:postgresql: |im: a record of the bus)/);

my $pg = Goim::Postgres->new;
my $db = $pg->url;
my $c = Goim::Cluster->new(logic => { conf => { im => { db => $db,
    insecure => 1 } } }, job => { conf => { im => { db => $db } } });
my $api = $c->api;
my $client = $c->client(mid => 2, key => 'k', accepts => [20, 1000]);

sub send_to {
    my ($id) = @_;
    return $api->post('/goim/im/send', [mid => 1, to => 2, id => $id], $id);
}

# its answer is not awaited
sub asks {
    my ($what, $body) = @_;
    my $newest = sub { join ' ', map { my %info = @{ $c->redis->cmd('XINFO',
        'STREAM', $_) }; $info{'last-generated-id'} } sort grep {
        /^goim:bus:im:\d+$/ } @{ $c->redis->cmd('KEYS', '*') } };
    my $before = $newest->();
    my $socket = IO::Socket::INET->new("127.0.0.1:$c->{logics}[0]{http_port}")
        or die "connect: $@\n";
    print $socket "POST /goim/im/$what HTTP/1.1\r\nHost: localhost\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    wait_for { $newest->() ne $before } 20, 'it is in the bus';
    return $socket;
}

is(send_to('before')->{code}, 0, 'stored');
like($client->push->{body}, qr/\nbefore$/, 'and brought');

$pg->stop;
is($api->get('/goim/im/sync', mid => 2)->{code}, -503, 'nothing is read');
is(send_to('away')->{code}, -504, 'nor stored in time');
is($api->keys(1000, ['k'], 'push')->{code}, 0, 'a push');
is($client->push->{body}, 'push', 'goes on');
eventually { $c->job->metrics->{goim_job_im_retries_total} > 0 } 20,
    'job tries again';

$pg->start;
eventually { send_to('away')->{code} == 0 } 30, 'the same again';
like($client->push(20)->{body}, qr/\naway$/, 'comes');
is(send_to('after')->{code}, 0, 'and the next');
like($client->push->{body}, qr/\nafter$/, 'once, in order');
is($pg->sql('SELECT count(*) FROM message'), "3\n", 'each is stored once');

# it says nothing: the connection is made anew, and others have their answers
my @backends = ($pg->pid, Goim::Proc::descendants($pg->pid));
hit STOP => @backends;
is($api->get('/goim/im/sync', mid => 2)->{code}, -503, 'silent: nothing is read');
is($api->get('/goim/im/history', mid => 2, conv => 'p1.2')->{code}, -503,
    'nor connected');
is(send_to('silent')->{code}, -504, 'nor stored in time');
is($api->keys(1000, ['k'], 'meanwhile')->{code}, 0, 'a push');
is($client->push->{body}, 'meanwhile', 'goes on');
eventually { grep { /postgresql: no answer/ } $c->job->logs } 30,
    'job gives the connection up';
hit CONT => @backends;
eventually { send_to('silent')->{code} == 0 } 30, 'it speaks: the same again';
like($client->push(20)->{body}, qr/\nsilent$/, 'comes');
is($pg->sql("SELECT count(*) FROM message WHERE cid = 'silent'"), "1\n",
    'once');
# stored, and not brought to anybody: the next job does
$c->redis->cmd(qw(ACL SETUSER default -hgetall));
my @held = split /\n/, $pg->sql("SELECT pid FROM pg_stat_activity "
    . "WHERE usename = 'goim' AND pid <> pg_backend_pid()");
my $taken = $c->job->metrics->{goim_job_im_commands_total};
hit STOP => @held;
# (while the first waits, which changes nothing, the others become one batch)
my @asked = map { asks(@$_) } ['read?mid=1&conv=p1.2&read=1', ''],
    ['send?mid=1&to=2&id=stored', 'stored'],
    ['read?mid=2&conv=p1.2&read=2', ''], ['conv?mid=2&conv=p1.2&notify=0', ''];
wait_for { $c->job->metrics->{goim_job_im_commands_total} >= $taken + 4 } 20,
    'all are taken';
hit CONT => @held;
eventually { $c->job->logs =~ /im: what is stored is not brought: NOPERM/ } 20,
    'Redis does not tell who is connected';
is($pg->sql("SELECT read, notify FROM member WHERE conv = 'p1.2' AND mid = 2"),
    "2|0\n", 'all of it is stored');
$c->job->kill9;
$c->redis->cmd(qw(ACL SETUSER default +hgetall));
$c->job->start;
my @came;                   # what came before, too: it follows no inbox
while (@came < 3 and my $p = $client->push(20)) {
    my ($what) = $p->{body} =~ /\n(stored)$|^\{[^\n]*"kind":"(?:read|conv)"/
        or next;
    push @came, $what || $p->{body} =~ /"kind":"(\w+)"/;
}
is("@came", 'stored read conv',
    'a message that is stored comes, and so do a cursor and settings');

# what is no command
my @keys = sort grep { /^goim:bus:im:\d+$/ } @{ $c->redis->cmd('KEYS', '*') };
cmp_ok(scalar @keys, '>=', 1, 'commands have streams of their own');
my ($life) = ($c->redis->xrange($keys[0]))[-1]
    ? ($c->redis->xrange($keys[0]))[-1][0] =~ /^(\d+)-/
    : $c->redis->cmd('HGET', 'goim:life', 'n');
$c->redis->cmd('XADD', $keys[0], "$life-*", 'k', 'x', 'v', "\xff\xff");
eventually { $c->job->metrics->{goim_job_im_skipped_total} == 1 } 20,
    'a record that is no command is left out, and counted';
is(send_to('last')->{code}, 0, 'those behind it are carried out');

# another makes the tables at the same time: IF NOT EXISTS fails then
$pg->sql('CREATE DATABASE other');
my $other = $db =~ s/dbname=postgres/dbname=other/r;
my $pid = open2(my $out, my $in, "$pg->{bin}/psql", '-h', $pg->{dir}, '-p',
    $pg->{port}, qw(-U goim -qAt other));
$in->autoflush;
print $in 'BEGIN; CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);'
    . "\nSELECT 'made';\n";
is(scalar <$out>, "made\n", 'another makes a table');
my $job = Goim::Job->new(redis => $c->redis->addr, stopped => 1,
    conf => { im => { db => $other } });
$job->Goim::Proc::start;
eventually { $pg->sql('SELECT count(*) FROM pg_stat_activity WHERE datname = '
    . "'other' AND wait_event_type = 'Lock'") == 1 } 20, 'job waits for it';
print $in "COMMIT;\n";
close $in;
waitpid $pid, 0;
my $look = "$pg->{bin}/psql -h $pg->{dir} -p $pg->{port} -U goim -qAt other";
eventually { `$look -c 'SELECT count(*) FROM meta'` > 1 } 20,
    'it makes the rest';
ok(eval { $job->metrics }, 'and starts');

done_testing;
