# Faults drawn at random, which overlap: one begins each second or so, whatever
# others there are, but never two of the same part.
#
#     my $faults = Goim::Faults->new(nodes => [...], logics => [...],
#         jobs => [...], redis => $redis, kafka => $kafka,
#         cuts => [[proxies to a node's logics], ...],
#         ways => [proxies of logics to Redis]);
#     $faults->run(60);
#     $faults->lost;      # when what is kept may have got lost
#     $faults->back;      # when it went back, and is done again
#     $faults->gone;      # [from, to]: what is not kept may not have come
#
# A fault is a function: of the part that it meets. It returns what ends it:
# seconds, and a function.

package Goim::Faults;

use strict;
use warnings;

use File::Path ();
use Time::HiRes qw(sleep time);

use Goim::HTTP ();
use Goim::Nginx ();
use Goim::Test qw(diag hit now wait_for);

# name => which part, and what happens to it
my %fault = (
    kill_worker    => [nodes  => \&kill_worker],
    kill_reader    => [nodes  => \&kill_reader],
    stop_worker    => [nodes  => \&stop_worker],
    stop_reader    => [nodes  => \&stop_reader],
    stop_node      => [nodes  => \&stop_node],
    kill_node      => [nodes  => \&kill_node],
    reload         => [nodes  => \&reload],
    upgrade        => [nodes  => \&upgrade],
    drain          => [nodes  => \&drain],
    cut_node       => [cuts   => \&hold],
    kill_logic     => [logics => \&kill_it],
    end_logic      => [logics => \&end_it],
    stop_logic     => [logics => \&stop_logic],
    hold_redis     => [ways   => \&hold],
    kill_job       => [jobs   => \&kill_it],
    end_job        => [jobs   => \&end_it],
    stop_job       => [jobs   => \&stop_job],
    end_redis      => [redis  => \&end_redis],
    kill_redis     => [redis  => \&kill_redis],
    stop_redis     => [redis  => \&stop_redis],
    empty_redis    => [redis  => \&empty_redis],
    cut_log        => [redis  => \&cut_log],
    cut_links      => [redis  => \&cut_links],
    script_flush   => [redis  => \&script_flush],
    delete_stream  => [redis  => \&delete_stream],
    trim_stream    => [redis  => \&trim_stream],
    string_stream  => [redis  => \&string_stream],
    delete_items   => [redis  => \&delete_items],
    delete_history => [redis  => \&delete_history],
    kill_kafka     => [kafka  => \&kill_it],
    stop_kafka     => [kafka  => \&stop_kafka],
);

# what is not kept and had not come when a stream went, or comes while nodes
# announce their sessions anew, in s
my ($before, $after) = (60, 40);

sub new {
    my ($class, %arg) = @_;
    my $self = bless { lost => [], back => [], gone => [], busy => {}, later => [], %arg },
        $class;
    for my $name (keys %arg) {
        $self->{$name} = [grep { $_ } ref $arg{$name} eq 'ARRAY'
            ? @{ $arg{$name} } : $arg{$name}];
    }
    return $self;
}

sub lost { return $_[0]{lost} }
sub back { return $_[0]{back} }
sub gone { return $_[0]{gone} }

sub pick { return $_[rand @_] }

# names of those that there is a part for
sub names {
    my ($self) = @_;
    return grep { @{ $self->{ $fault{$_}[0] } || [] } } sort keys %fault;
}

# faults for so many seconds, and the ends of them
sub run {
    my ($self, $seconds, @names) = @_;
    my $began = time;
    my $next = $began;

    @names = $self->names if !@names;
    while (time < $began + $seconds || @{ $self->{later} }) {
        $self->end_due;
        if (time > $next && time < $began + $seconds) {
            $self->begin(pick(@names), $began);
            $next = time + 0.5 + rand 3;
        }
        sleep 0.05;
    }
}

sub begin {
    my ($self, $name, $began) = @_;
    my ($parts, $sub) = @{ $fault{$name} };
    my @free = grep { !$self->{busy}{$_} } @{ $self->{$parts} };
    return if !@free;

    my $part = pick(@free);
    diag(sprintf '%5.1f s: %s', time - $began, $name);
    my ($seconds, $end) = $sub->($part, $self);
    return if !$end;
    $self->{busy}{$part} = 1;
    push @{ $self->{later} }, { due => time + $seconds, part => $part,
        end => $end };
}

sub end_due {
    my ($self) = @_;
    my @due = grep { $_->{due} <= time } @{ $self->{later} };

    for my $later (sort { $a->{due} <=> $b->{due} } @due) {
        @{ $self->{later} } = grep { $_ != $later } @{ $self->{later} };
        $later->{end}->();
        delete $self->{busy}{ $later->{part} };
    }
}

# ---- of any process ----------------------------------------------------------

# stopped for so many seconds
sub stand_still {
    my ($seconds, @pids) = @_;
    hit 'STOP', @pids;
    return ($seconds, sub { hit 'CONT', reverse @pids });
}

sub kill_it {
    my ($what) = @_;
    $what->kill9;
    return (rand 2, sub { $what->start });
}

sub end_it {
    my ($what) = @_;
    $what->stop;
    return (rand 2, sub { $what->start });
}

# ---- nodes -------------------------------------------------------------------

sub reader {
    my ($node) = @_;
    return eval { $node->reader } || pick($node->workers);
}

sub kill_worker { hit 'KILL', pick($_[0]->workers); return }
sub kill_reader { hit 'KILL', reader($_[0]); return }
sub stop_worker { return stand_still(1 + rand 4, pick($_[0]->workers)) }
sub stop_reader { return stand_still(1 + rand 4, reader($_[0])) }

# for longer than it stays registered
sub stop_node {
    my ($node) = @_;
    return stand_still(9, $node->pid, $node->workers);
}

# all of it at once
sub kill_node {
    my ($node) = @_;
    hit 'KILL', $node->pid, $node->workers;
    $node->wait_exit(5);
    return (rand 2, sub { $node->start });
}

sub reload { $_[0]->reload; return }

sub upgrade {
    my ($node) = @_;
    my $old = $node->upgrade;
    return (rand 2, sub {
        hit 'QUIT', $old;
        wait_for { !Goim::Proc::running($old) } 20, 'the old nginx ends';
    });
}

sub drain {
    my ($node) = @_;
    my $url = "http://127.0.0.1:$node->{port}/goim/status?drain=";
    Goim::HTTP::post("${url}on");
    return (4 + rand 6, sub { Goim::HTTP::post("${url}off") });
}

# ---- between parts -----------------------------------------------------------

# proxies keep what comes
sub hold {
    my ($ways) = @_;
    my @ways = ref $ways eq 'ARRAY' ? @$ways : $ways;
    $_->hold for @ways;
    return (2 + rand 7, sub { $_->release for @ways });
}

# ---- services ----------------------------------------------------------------

sub stop_logic { return stand_still(7, $_[0]->pid) }
sub stop_job   { return stand_still(12, $_[0]->pid) }
sub stop_kafka { return stand_still(6, $_[0]->pid) }

# ---- Redis -------------------------------------------------------------------

# The bus in Redis begins new epochs with each of its runs; with Kafka it is
# only for what is really lost.
sub _lost {
    my ($self) = @_;
    push @{ $self->{lost} }, now();
}

sub _gone {
    my ($self) = @_;
    push @{ $self->{gone} }, [now() - $before, now() + $after];
}

sub _again {
    my ($redis, $self, %arg) = @_;
    my $lost = $arg{lost} || !@{ $self->{kafka} };

    $self->_lost if $lost;
    $self->_gone if $arg{gone};
    return (rand 2, sub {
        $redis->start;
        $self->_lost if $lost;
    });
}

sub end_redis {
    my ($redis, $self) = @_;
    $redis->stop;
    return _again($redis, $self);
}

sub kill_redis {
    my ($redis, $self) = @_;
    $redis->kill9;
    return _again($redis, $self);
}

sub stop_redis { return stand_still(1 + rand 4, $_[0]->pid) }

# back without its data
sub empty_redis {
    my ($redis, $self) = @_;
    $redis->kill9;
    File::Path::remove_tree("$redis->{dir}/appendonlydir");
    return _again($redis, $self, lost => 1, gone => 1);
}

# back without its newest writes
sub cut_log {
    my ($redis, $self) = @_;
    $redis->kill9;
    my ($log) = sort { -s $b <=> -s $a }
        glob "$redis->{dir}/appendonlydir/*.incr.aof";
    my $size = $log ? -s $log : 0;
    truncate $log, $size - 1 - int rand($size < 65536 ? $size : 65536)
        if $size;

    # Redis 7.0 leaves half a transaction at its end, and does it at the start
    # after the next
    system("yes | redis-check-aof --fix '$log' >/dev/null 2>&1") if $size;
    push @{ $self->{back} }, now();
    return _again($redis, $self, gone => 1);
}

sub cut_links {
    my ($redis) = @_;
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
    return;
}

sub script_flush { $_[0]->cmd('SCRIPT', 'FLUSH'); return }

# ---- a node's stream ---------------------------------------------------------

sub _stream {
    my ($self) = @_;
    $self->_gone;
    return 'goim:node:' . pick(@{ $self->{nodes} })->{server_id};
}

sub delete_stream {
    my ($redis, $self) = @_;
    $redis->cmd('DEL', $self->_stream);
    return;
}

sub trim_stream {
    my ($redis, $self) = @_;
    $redis->cmd('XTRIM', $self->_stream, 'MAXLEN', int rand 3);
    return;
}

sub string_stream {
    my ($redis, $self) = @_;
    $redis->cmd('SET', $self->_stream, 'a string');
    return;
}

# ---- histories ---------------------------------------------------------------

# Keys of half of the rooms. What is numbered just then may be done again, and not
# be found: then its epoch ends.
sub _delete {
    my ($redis, $self, @kinds) = @_;
    my @keys = grep { rand 2 < 1 } map { @{ $redis->cmd('KEYS', "goim:{*}:$_:*") } }
        @kinds;
    $self->_lost;
    $redis->cmd('DEL', @keys) if @keys;
    $self->_lost;
    return;
}

sub delete_items   { return _delete(@_, 'items') }
sub delete_history { return _delete(@_, 'items', 'meta') }

1;
