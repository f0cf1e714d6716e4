# What breaks while people talk (Goim::Talk). Each fault is a function that lets it
# happen and returns another that ends it; it dies when it did not happen.
#
#     my $faults = Goim::TalkFaults->new(db => 'sqlite', bus => 'redis');
#     my ($c, $db) = @$faults{qw(c db)};
#     for my $name ($faults->names) {
#         my $end = $faults->begin($name, $talk);
#         ...
#         $end->();
#     }

package Goim::TalkFaults;

use strict;
use warnings;

use File::Copy ();
use IPC::Open2 ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Goim::API ();
use Goim::Cluster ();
use Goim::Disk ();
use Goim::IM ();
use Goim::Proxy ();
use Goim::Redis ();
use Goim::Sender ();
use Goim::Test;

my %fault = (
    'job is killed' => sub { my ($f) = @_; my $j = $f->any('jobs'); $j->kill9;
        sub { $j->start } },
    'job is stopped' => sub { my ($f) = @_; my $j = $f->any('jobs'); $j->pause;
        sub { $j->resume } },
    'a second job comes and goes' => \&_another_job,
    'job is killed between commit and fan-out' => \&_between,
    'logic is killed' => sub { my ($f) = @_; my $l = $f->any('logics');
        $l->kill9; sub { $l->start } },
    'a worker is killed' => sub { my ($f) = @_;
        hit KILL => ($f->any('nodes')->workers)[0]; sub { } },
    'the reader is killed' => sub { my ($f) = @_;
        hit KILL => $f->any('nodes')->reader; sub { } },
    'a node is killed' => sub { my ($f) = @_; my $n = $f->any('nodes');
        hit KILL => $n->pid, $n->workers; $n->wait_exit(5);
        sub { $n->start } },
    'a node is reloaded' => sub { my ($f) = @_; $f->any('nodes')->reload;
        sub { } },
    'Redis is killed' => sub { my ($f) = @_; my $r = $f->{c}->redis; $r->kill9;
        sub { $r->start } },
    'Redis goes back' => \&_redis_back,
    'the disk is full' => \&_disk,
    'the database refuses' => \&_refuses,
    'the database stalls' => \&_stalls,
    'the database is a copy of before' => \&_restored,
);

my %postgres = (
    'the database is killed' => sub {
        my ($f) = @_;
        my $db = $f->{db};
        hit QUIT => $db->pid;           # as if by SIGKILL, but with its backends
        $db->wait_exit(10);
        sub { $db->start };
    },
    'the database ends its sessions' => sub {
        my ($f) = @_;
        $f->{db}->sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
            . "WHERE backend_type = 'client backend' "
            . 'AND pid <> pg_backend_pid()');
        sub { };
    },
);

sub new {
    my ($class, %arg) = @_;
    my $self = bless { kind => $arg{db}, bus => $arg{bus}, probes => 0,
        restored => [] }, $class;

    $self->{disk} = Goim::Disk->new(48);
    $self->{db} = Goim::IM->new($arg{db}, disk => $self->{disk}->dir);
    $self->{redis} = Goim::Redis->new;
    $self->{proxy} = Goim::Proxy->new(to => $self->{redis}{port});

    my %im = (im => { db => $self->{db}->url });
    my %registry = (registry => { ttl => '6s', renew => '1s' });
    $self->{c} = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2,
        jobs => 2, bus => $arg{bus}, redis => $self->{redis},
        nginx => { tcp => 1 }, logic => { Goim::Sender::logic(%im, %registry) },
        job => { redis => $self->{proxy}->addr,
            conf => { %im, %registry } });
    return $self;
}

# of the history: Kafka keeps what job has to carry out again
sub lost {
    my ($self) = @_;
    return (restored => $self->{restored},
        gone => $self->{bus} eq 'kafka' ? [] : $self->{restored});
}

sub names {
    my ($self) = @_;
    return sort keys %fault, $self->{kind} eq 'postgresql' ? keys %postgres : ();
}

sub begin {
    my ($self, $name, $talk) = @_;
    return ($fault{$name} || $postgres{$name})->($self, $talk);
}

sub any {
    my ($self, $what) = @_;
    my $list = $self->{c}{$what};
    return $list->[rand @$list];
}

# ---- a message of which nobody hears before its end --------------------------

# sent without waiting for the answer
sub _probe {
    my ($self, $size) = @_;
    my $id = 'probe.' . ++$self->{probes};
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        my $api = Goim::API->new($self->{c}->logic->{http_port}, timeout => 5);
        eval { $api->post('/goim/im/send', [mid => 1, to => 2, id => $id],
            join '', "$id ", map { chr 97 + rand 26 } 1 .. $size) };
        POSIX::_exit(0);
    }
}

# the ids of all that is stored
sub _stored {
    my ($self) = @_;
    return map { $_ => 1 } split /\n/, $self->{db}->sql('SELECT cid FROM message '
        . "WHERE kind = 'msg'");
}

# nobody else writes, until what it returns is called
sub _hold {
    my ($self) = @_;
    my $db = $self->{db};
    my ($cmd, $sql) = $self->{kind} eq 'sqlite'
        ? ([qw(sqlite3 -cmd), '.timeout 20000', $db->{file}], 'BEGIN IMMEDIATE;')
        : (["$db->{bin}/psql", '-h', $db->{dir}, '-p', $db->{port}, qw(-U goim
            -qAt postgres)], 'BEGIN; LOCK TABLE account IN EXCLUSIVE MODE;');
    my $pid = IPC::Open2::open2(my $out, my $in, @$cmd);
    $in->autoflush;
    print $in "$sql\nSELECT 'held';\n";
    my $said = <$out> // '';
    die "the database is not held: $said\n" if $said ne "held\n";
    return sub {
        print $in "ROLLBACK;\n";
        close $in;
        close $out;
        waitpid $pid, 0;
    };
}

# ---- job ---------------------------------------------------------------------

# Commands wait for the database, then nothing of job gets to Redis any more, then
# the database goes on: what is stored from then on is committed, and no node has
# it. Both jobs die there.
sub _between {
    my ($self) = @_;
    my ($c, $proxy) = @$self{qw(c proxy)};
    my (%before, @new);

    for my $try (1 .. 4) {
        my $free = $self->_hold;
        %before = $self->_stored;
        $self->_probe(10);
        sleep 0.5 * $try;
        $proxy->hold;
        $free->();
        @new = $self->_new(%before) and last;
        $proxy->release;            # no command was with job yet
    }
    $_->kill9 for @{ $c->{jobs} };
    $proxy->switch($self->{redis}{port});   # what was under way is gone

    my $end = sub { $_->start for @{ $c->{jobs} } };
    my $brought = join ' ', map { map { "@{ $_->[1] }" } @{ $self->{redis}
        ->cmd('XRANGE', "goim:node:$_->{server_id}", '-', '+') } }
        @{ $c->{nodes} };
    my $wrong = !@new ? 'nothing was stored'
        : !grep({ $brought =~ /"\Q$_\E"/ } keys %before) ? 'nothing ever came'
        : grep({ $brought =~ /"\Q$_\E"/ } @new) ? "brought: @new" : undef;
    $end->(), die "not between commit and fan-out: $wrong\n" if $wrong;
    return $end;
}

# what is stored besides, within a few seconds
sub _new {
    my ($self, %before) = @_;
    my $end = time + 4 * slow();
    while (time < $end) {
        my %stored = $self->_stored;
        my @new = grep { !$before{$_} } keys %stored;
        return @new if @new;
        sleep 0.02;
    }
    return;
}

sub _another_job {
    my ($self) = @_;
    my $job = $self->{more};

    if (!$job) {
        my $like = $self->{c}->job;
        $job = $self->{more} = Goim::Job->new(redis => $self->{proxy}->addr,
            bus => $self->{bus}, conf => { im => $like->{conf}{im},
            registry => $like->{conf}{registry} }, $self->{c}->kafka
            ? (kafka => $self->{c}->kafka->addr) : ());
    } else {
        $job->start;
    }
    return sub { rand() < 0.5 ? $job->kill9 : $job->stop };
}

# ---- Redis -------------------------------------------------------------------

# it is as it was some time ago, and what was written since is gone
sub _redis_back {
    my ($self, $talk) = @_;
    my $redis = $self->{redis};
    my $copy = folder('copy');

    $redis->pause;
    system("cp -a $redis->{dir}/appendonlydir $copy/") == 0 or die "cp: $?\n";
    $redis->resume;
    $talk->listen(0.7);
    $redis->kill9;
    system("rm -r $redis->{dir}/appendonlydir && "
        . "cp -a $copy/appendonlydir $redis->{dir}/") == 0 or die "cp: $?\n";
    return sub { $redis->start };
}

# ---- the database ------------------------------------------------------------

# until job has met it: it tries again
sub _meets {
    my ($self, $talk, $what) = @_;
    my $retries = sub {
        my $n = 0;
        $n += eval { $_->metrics->{goim_job_im_retries_total} } // 0
            for @{ $self->{c}{jobs} };
        return $n;
    };
    my $before = $retries->();
    my $free = $what->();
    my $end = time + 15 * slow();
    $talk->listen(0.2) while $retries->() <= $before && time < $end;
    $free->(), die "job has not met it\n" if $retries->() <= $before;
    return $free;
}

# SQLite: the file is on it; PostgreSQL: a tablespace, so 53100
sub _disk {
    my ($self, $talk) = @_;
    return $self->_meets($talk, sub {
        $self->_probe(60_000);
        $self->{db}->sql('PRAGMA wal_checkpoint(TRUNCATE)')
            if $self->{kind} eq 'sqlite';
        $self->{disk}->fill;
        $self->_probe(60_000) for 1 .. 3;
        return sub { $self->{disk}->free };
    });
}

# SQLite: another has the file for longer than job waits; PostgreSQL: read only,
# also to those who are connected
sub _refuses {
    my ($self, $talk) = @_;
    my $db = $self->{db};
    return $self->_meets($talk, sub {
        return $self->_hold if $self->{kind} eq 'sqlite';
        my $set = sub {
            my ($to) = @_;
            $db->sql($_) for "ALTER SYSTEM SET default_transaction_read_only "
                . "= $to", 'SELECT pg_reload_conf()';
        };
        $set->('on');
        return sub { $set->('off') };
    });
}

# as an administrator would do it, while all use it
sub _copy {
    my ($self) = @_;
    my $db = $self->{db};
    my $copy = folder('copy') . '/copy';
    if ($self->{kind} eq 'sqlite') {
        $db->sql("VACUUM INTO '$copy'");
    } else {
        system("$db->{bin}/pg_dump -h $db->{dir} -p $db->{port} -U goim "
            . "--clean --if-exists postgres >$copy") == 0 or die "pg_dump: $?\n";
    }
    return $copy;
}

sub _put_back {
    my ($self, $copy) = @_;
    my $db = $self->{db};
    if ($self->{kind} eq 'sqlite') {
        system('cp', $copy, "$db->{file}.new") == 0 or die "cp: $?\n";
        unlink "$db->{file}-wal", "$db->{file}-shm";
        rename "$db->{file}.new", $db->{file} or die "rename: $!\n";
        return;
    }
    for (1 .. 5) {              # it may be what a deadlock ends
        return if system("$db->{bin}/psql -h $db->{dir} -p $db->{port} -U goim -1 "
            . "-q -v ON_ERROR_STOP=1 -f $copy postgres >/dev/null 2>&1") == 0;
    }
    die "psql: $?\n";
}

sub _restored {
    my ($self, $talk) = @_;
    my $epoch = sub { eval { $self->{db}->sql('SELECT value FROM meta '
        . "WHERE name = 'epoch'") } // '' };
    my $before = $epoch->();
    my $window = [time];
    my $copy = $self->_copy;
    $talk->listen(0.7);
    $self->_put_back($copy);
    my $end = time + 20 * slow();
    $talk->listen(0.1) while $epoch->() =~ /^(?:\Q$before\E)?$/ && time < $end;
    push @$window, time + 2;
    push @{ $self->{restored} }, $window;
    die "there is no new epoch\n" if $epoch->() eq $before;
    return sub { };
}

sub _stalls {
    my ($self) = @_;
    return $self->_hold if $self->{kind} eq 'sqlite';
    my @pids = split /\n/, $self->{db}->sql('SELECT pid FROM pg_stat_activity '
        . "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
    hit STOP => @pids;
    return sub { hit CONT => @pids };
}

1;
