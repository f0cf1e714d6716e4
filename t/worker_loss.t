# LONG
#
# Workers that are killed or stopped, Redis that is killed, clients that stop
# reading: nobody else misses a message or gets one twice, and counts are right
# afterwards.

use strict;
use warnings;

use Time::HiRes ();
use Time::Local ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Proc;
use Goim::Test;
use Goim::Traffic;

allow_log(qr/\[alert\].*exited on signal 9/,
    qr/\[alert\].*shared memory zone "goim" was locked by/);

# a listening socket a worker, so that each worker has its clients, and one
# with small buffers
my ($spread, $small) = (free_port(), free_port());

sub start_cluster {
    my (%goim) = @_;
    return Goim::Cluster->new(workers => 3, nginx => { goim => { %goim },
        server => "listen 127.0.0.1:$spread reuseport;\n"
            . "listen 127.0.0.1:$small sndbuf=16k;" });
}

# status from a worker that answers: one that is stopped doesn't
sub status {
    my ($c) = @_;
    my $st;
    wait_for {
        my $res = Goim::HTTP::get("http://127.0.0.1:$c->{nodes}[0]{port}"
            . '/goim/status', timeout => 1,
            headers => { Connection => 'close' });
        $st = $res->{status} == 200 && $res->{json};
    } 20, 'the status page';
    return $st;
}

# $n clients: all in live://1 but each third one, which is alone in its room
my $next = 0;

sub join_node {
    my ($n) = @_;
    my @list;
    for (1 .. $n) {
        $next++;
        push @list, Goim::Client->new(port => $spread, mid => $next,
            key => "key$next", accepts => [1000], local =>
            '127.0.1.' . ($next % 200 + 1), room => $next % 3 ? 'live://1'
            : "solo://$next");
    }
    return Goim::Traffic::came(@list);
}

sub back {
    my ($old) = @_;
    my $auth = $old->{auth};
    return Goim::Traffic::came(Goim::Client->new(%$auth));
}

sub alone { return $_[0]{auth}{room} =~ /^solo/ ? 1 : 0 }

sub traffic {
    my ($c, @keyed) = @_;
    return Goim::Traffic->new(apis => [$c->api], to => { all => [],
        room => ['live', '1'], keys => [map { $_->{auth}{key} } @keyed] });
}

sub arrives {
    my ($traffic, $name, @clients) = @_;
    $traffic->arrives($name, all => \@clients, keys => \@clients,
        room => [grep { !alone($_) } @clients]);
}

# split into those that are connected and those that are not
sub sort_out {
    my (@clients) = @_;
    my (@alive, @lost);
    for my $c (@clients) {
        $c->pump;
        $c->transport->socket->eof ? push @lost, $c : push @alive, $c;
    }
    return (\@alive, \@lost);
}

# what the node and the cluster count is what there is
my $workers = 3;

sub counted {
    my ($c, $name, @clients) = @_;
    my $room = grep { !alone($_) } @clients;
    my %want = (sessions => scalar @clients, authorized => scalar @clients,
        addrs => scalar @clients, workers => $workers,
        rooms => @clients - $room + ($room ? 1 : 0));
    my %got;

    eventually {
        my $st = status($c);
        %got = map { $_ => $st->{$_} } keys %want;
        !grep { $got{$_} != $want{$_} } keys %want;
    } 10, "$name: sessions, addresses and rooms"
        or diag explain [\%got, \%want];
    eventually { (grep { !alone($_) } @clients)[0]->heartbeat == $room } 10,
        "$name: a heartbeat tells the room's number";
    eventually {
        my $all = $c->api->online_total->{data} || {};
        my $live = $c->api->online_room('live', ['1'])->{data} || {};
        ($all->{conn_count} || 0) == @clients && ($live->{1} || 0) == $room;
    } 15, "$name: and so does logic";
}

# connections from the node's workers to Redis
sub redis_links {
    my ($c) = @_;
    my $port = sprintf ':%04X', $c->redis->{port};
    my %inode = map { (split)[9] => 1 } grep { (split)[2] =~ /$port$/
        && (split)[3] eq '01' } split /\n/, slurp('/proc/net/tcp');
    return scalar grep { (readlink $_ || '') =~ /^socket:\[(\d+)\]$/
        && $inode{$1} } map { glob "/proc/$_/fd/*" } $c->node->workers;
}

# the seconds from a time to the first line of it or later that matches: who
# takes over may say so before the master notices who is gone
sub after {
    my ($log, $start, $line) = @_;
    for (grep { /$line/ } split /\n/, $log) {
        my ($y, $mon, $d, $h, $m, $s) =
            m{^(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)} or next;
        my $t = Time::Local::timelocal($s, $m, $h, $d, $mon - 1, $y) - $start;
        return $t if $t >= 0;
    }
    return undef;
}

subtest 'kill -9 of workers' => sub {
    my $c = start_cluster();
    my $node = $c->node;
    my @clients = join_node(36);
    my @first = @clients;
    my $traffic = traffic($c, @first);
    my $epoch = status($c)->{reader_epoch};

    for my $case (['the reader', 1, 0], ['another', 0, 1],
        ['the reader and another', 1, 1])
    {
        my ($name, $reader, $others) = @$case;
        my $holder = $node->reader;

        # not the oldest: it has its clients from the beginning, a young one
        # perhaps none yet
        my @victims = (($holder) x $reader, (sort { $b <=> $a }
            grep { $_ != $holder } $node->workers)[0 .. $others - 1]);
        $traffic->more(20);
        my $killed = time;
        hit 'KILL', @victims;

        my $new;
        eventually {
            my $pid = status($c)->{reader_pid};
            $new = $pid if $pid && ($reader xor $pid == $holder);
        } 10, "$name: there is a reader, "
            . ($reader ? 'another' : 'the same');
        $traffic->more(20);

        if ($reader) {
            my $s = after($node->error_log, $killed,
                qr/reads the node's stream now/);
            ok(defined $s && $s <= 1 + slow(),
                "$name: the role moves within a second or so")
                or diag defined $s ? "$s s" : $node->error_log;
        }

        wait_for { $node->workers == 3 } 10, 'new workers';
        my ($alive, $lost) = sort_out(@clients);
        ok(@$alive && @$lost, "$name: clients are lost, and others not")
            or diag @$alive . ' and ' . @$lost;
        counted($c, "$name, who is left", @$alive);

        # who was lost comes again, with the same keys
        @clients = (@$alive, map { back($_) } @$lost);
        counted($c, "$name, all again", @clients);
    }

    $traffic->more(20);
    $traffic->finish;
    is($traffic->refused, '', 'every message was accepted');
    arrives($traffic, 'nobody misses anything', @clients);

    my $st = status($c);
    is($st->{reader_epoch}, $epoch + 2, 'the role was given away twice');
    is($st->{counters}{$_}, 0, "none $_") for qw(holes lapped corrupt broken);
    ok($st->{counters}{accepted} >= 36, 'counters of the dead stay');
    is($_->close, 1000, 'goodbye') for @clients[0, -1];
    $node->stop;
};

subtest 'kill -9 after a reload' => sub {
    my $c = start_cluster();
    my $node = $c->node;

    # so many that each worker has some: one that has none ends at the reload
    my @clients = join_node(36);
    my $traffic = traffic($c, @clients);

    $traffic->more(20);
    $node->reload;
    push @clients, my @new = join_node(9);
    my $st = status($c);
    $workers = $st->{workers};
    ok($st->{draining} > 1, 'two generations');

    # the reader is of the newer one
    my $holder = $node->reader;
    hit 'KILL', $holder;
    $traffic->more(20);
    eventually { $node->reader != $holder } 10, 'another reader';
    my ($alive, $lost) = sort_out(@clients);
    counted($c, 'without a worker of the newer', @$alive);

    my ($victim) = $node->draining;
    hit 'KILL', $victim;
    $workers--;
    wait_for { !Goim::Proc::running($victim) } 10, 'it ends';
    $traffic->more(20);
    ($alive, $lost) = sort_out(@$alive);
    ok(scalar @$lost, 'clients of the older are lost too');
    counted($c, 'without a worker of the older', @$alive);
    $traffic->finish;

    my %keyed = map { $_ => 1 } @new;
    $traffic->arrives('the others miss nothing', all => $alive,
        room => [grep { !alone($_) } @$alive],
        keys => [grep { !$keyed{$_} } @$alive]);
    $workers = 3;
    $node->stop;
};

subtest 'a reader that is stopped for a while' => sub {
    my $c = start_cluster();
    my $node = $c->node;
    my @clients = join_node(24);
    my $traffic = traffic($c, @clients);

    $traffic->more(20);
    my $before = status($c);
    my $holder = $node->reader;
    hit 'STOP', $holder;
    my $stopped = Time::HiRes::time();

    eventually { my $pid = status($c)->{reader_pid};
        $pid && $pid != $holder } 10, 'another takes the role';
    $traffic->more(60);
    my $st = status($c);
    is($st->{sessions}, 24, 'who is stopped has its clients still');
    my $left = 3 - (Time::HiRes::time() - $stopped);
    Time::HiRes::sleep($left) if $left > 0;
    hit 'CONT', $holder;

    $traffic->more(60);
    my $reader = $node->reader;
    isnt($reader, $holder, 'it does not get it back by waking up');
    eventually { redis_links($c) == 1 } 10, 'one reads the stream, no more';
    $traffic->finish;
    arrives($traffic, 'nobody misses anything, nothing comes twice',
        @clients);
    $st = status($c);
    is($st->{reader_epoch}, $before->{reader_epoch} + 1, 'another epoch, one');
    is($st->{counters}{$_}, 0, "none $_") for qw(holes lapped corrupt broken);
    ok(Goim::Proc::running($holder), 'who was stopped goes on working');
    counted($c, 'afterwards', @clients);
    $node->stop;
};

subtest 'Redis killed' => sub {
    my $c = start_cluster();
    my @clients = join_node(12);
    my $traffic = traffic($c, @clients);

    for my $times (1 .. 3) {
        $traffic->more(30);
        $c->redis->kill9;
        Time::HiRes::sleep(0.3 * $times);
        $c->redis->start;
        $traffic->more(10);
    }
    $traffic->finish;
    arrives($traffic, 'nothing that was accepted is lost', @clients);
    my $st = status($c);
    is($st->{counters}{$_}, 0, "none $_") for qw(holes lapped corrupt broken);
    eventually { $st = status($c); $st->{registered}
        && $st->{reader_connected} } 15, 'the node is registered, the reader '
        . 'connected';
    counted($c, 'afterwards', @clients);
    $c->node->stop;
};

for my $way (qw(close drop)) {
    subtest "a client that does not read: $way" => sub {
        my $c = start_cluster(queue_size => "128k $way");
        my @clients = join_node(12);
        my $idle = Goim::Client->new(port => $small, mid => 9999,
            key => 'idle', room => 'live://1', accepts => [1000],
            rcvbuf => 4096, local => '127.0.0.9');
        my $traffic = traffic($c, @clients);
        my $pad = 'x' x 20_000;
        my $counter = $way eq 'close' ? 'slow_closed' : 'push_dropped';
        my $big = 0;

        # the others read all the while
        wait_for {
            $c->api->keys(1000, ['idle'], ++$big . " $pad")->{code} == 0
                or die "refused\n";
            $_->pump for @clients;
            status($c)->{counters}{$counter};
        } 30, $counter;
        $traffic->more(30);
        $traffic->finish;
        arrives($traffic, 'nobody else is disturbed', @clients);

        my $st = status($c);
        my $other = $way eq 'close' ? 'push_dropped' : 'slow_closed';
        is($st->{counters}{$other}, 0, "none $other");

        if ($way eq 'close') {
            is($st->{counters}{slow_closed}, 1, 'one was closed');
            isnt($idle->closed, undef, 'its connection ends');
            $idle->pump;
            eventually { status($c)->{sessions} == @clients } 15,
                'and is no longer counted';
        } else {
            is($st->{sessions}, @clients + 1, 'it stays');
            my $sentinel;
            eventually {
                $idle->pump;
                $c->api->keys(1000, ['idle'], 'sentinel');
                grep { $_->{body} eq 'sentinel' } @{ $idle->{pushes} };
            } 20, 'and gets messages again when it reads';
            my @got = map { $_->{body} =~ /^(\d+) x+$/ ? $1 : () }
                @{ $idle->{pushes} };
            my %seen;
            ok(@got < $big, 'some were dropped');
            ok(!(grep { $seen{$_}++ } @got)
                && "@got" eq join(' ', sort { $a <=> $b } @got),
                'the others came once and in order');
        }
        $c->node->stop;
    };
}

done_testing;
