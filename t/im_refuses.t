# A database that is there and does not take what job writes: no place on the disk, a
# transaction that may only read, tables that are gone, others in the way. Nothing of it is a command's fault: it is counted, said, and tried again,
# and nothing is lost, stored twice or kept among what was given up. A value that is
# refused is.

use strict;
use warnings;

use POSIX ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:postgresql: |sqlite |im: )/);

# a file that may not grow is an error of a write, as a full disk is
$SIG{XFSZ} = 'IGNORE';

my ($c, $db, $kind);
my $n = 0;

# a process that sends it until it is accepted
sub sender {
    my ($id) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    for (1 .. 20) {
        my $said = eval { $c->api->post('/goim/im/send', [mid => 1, to => 2,
            id => $id], $id) };
        POSIX::_exit(0) if $said && $said->{code} == 0;
        POSIX::_exit(2) if $said && $said->{code} == -500;
        select undef, undef, undef, 0.1;
    }
    POSIX::_exit(1);
}

sub metric { return $c->job->metrics->{"goim_job_im_$_[0]_total"} }

# begins, what the log says of it, and how it ends
sub fault {
    my ($name, $begin, $why, $end) = @_;
    my $retries = metric('retries');
    my $logs = length $c->job->logs;
    $begin->();
    my $pid = sender('c' . ++$n);
    eventually { metric('retries') > $retries + 2 } 30, "$name: tried again";
    like(substr($c->job->logs, $logs), $why, 'the log says why') if $why;
    $end->();
    waitpid $pid, 0;
    is($? >> 8, 0, 'then it is stored');
}

sub sql { my ($sql) = @_; return sub { $db->sql($sql) } }

# PostgreSQL says so, as it would by itself
sub raises {
    my ($name, $state) = @_;
    fault($name, sql("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
        . "\$\$ BEGIN RAISE EXCEPTION 'no luck' USING ERRCODE = '$state'; END \$\$;"
        . 'CREATE TRIGGER t BEFORE INSERT ON message FOR EACH ROW '
        . 'EXECUTE FUNCTION f()'), undef,
        sql('DROP TRIGGER t ON message; DROP FUNCTION f()'));
}

sub family {
    $db = Goim::IM->new($kind);
    my %im = (im => { db => $db->url });
    $c = Goim::Cluster->new(job => { conf => { %im } },
        logic => { conf => { im => { %{ $im{im} }, insecure => 1 } } });
    is(waitpid(sender('c' . ++$n), 0) && $? >> 8, 0, 'it is stored');

    if ($kind eq 'sqlite') {
        my $limit = sub { my ($size) = @_; sub {
            system('prlimit', '--pid', $c->job->pid, "--fsize=$size:unlimited")
                == 0 or die "prlimit: $?\n" } };
        fault('no place on the disk', $limit->(8192),
            qr/\[warn\] \d+: im: (?:database or disk is full|disk I\/O error)/,
            $limit->('unlimited'));

    } else {
        my $role = sub { my ($what) = @_; sub {
            $db->sql("BEGIN READ WRITE; ALTER ROLE goim $what; COMMIT");
            $db->sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
                . 'WHERE pid <> pg_backend_pid() '
                . 'AND datname = current_database()');
        } };
        fault('it may only be read',
            $role->('SET default_transaction_read_only = on'),
            qr/\[warn\] \d+: im: cannot execute \w+ in a read-only transaction/,
            $role->('RESET default_transaction_read_only'));
        raises('no place on the disk', '53100');
        raises('a serialization failure', '40001');
        raises('a deadlock', '40P01');
    }

    fault('a table is gone', sql('ALTER TABLE message RENAME TO gone'), undef,
        sql('ALTER TABLE gone RENAME TO message'));

    is(metric('given_up'), 0, 'nothing is given up');
    is($c->redis->cmd('EXISTS', 'goim:dead'), 0, 'or kept among that');
    is($c->redis->cmd('HLEN', 'goim:im:places') > 1, 1, 'places are in Redis');
    is(metric('epochs'), 0, 'it is the same database');

    $db->sql($kind eq 'sqlite' ? 'CREATE TRIGGER t BEFORE INSERT ON message WHEN '
        . "new.cid = 'bad' BEGIN SELECT RAISE(ABORT, 'not that'); END"
        : "ALTER TABLE message ADD CONSTRAINT x CHECK (cid <> 'bad')");
    is(waitpid(sender('bad'), 0) && $? >> 8, 2, 'a value that is refused: -500');
    is(metric('given_up'), 1, 'is given up');
    is(waitpid(sender('c' . ++$n), 0) && $? >> 8, 0, 'what is behind it goes on');
    is($db->sql('SELECT count(*), count(DISTINCT cid) FROM message'),
        "$n|$n\n", 'each is stored once');

    # job's place is behind what was given up: nothing to be done again
    $c->job->stop;
    $c->job->start;
    is(waitpid(sender('c' . ++$n), 0) && $? >> 8, 0, 'started again: it goes on');
    is(metric('given_up') + metric('missing') + metric('epochs'), 0,
        'and misses nothing');
}

subtest $kind = $_ => sub {
    $n = 0;
    family();
    undef $c;
} for qw(sqlite postgresql);

done_testing;
