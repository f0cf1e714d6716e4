# LONG
#
# A worker that is killed while it has the zone's lock leaves lists half changed:
# they are made anew, every other worker brings in what it has, counts are right
# and nobody misses a message.

use strict;
use warnings;
no warnings qw(portable);         # addresses

use Time::HiRes ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Proc;
use Goim::Test;
use Goim::Traffic;

allow_log(qr/\[alert\].*exited on signal 9/,
    qr/\[alert\].*shared memory zone "goim" was locked by/);

my $spread = free_port();
my $c = Goim::Cluster->new(workers => 3, nginx => {
    server => "listen 127.0.0.1:$spread reuseport;" });
my ($node, $api) = ($c->node, $c->api);
my $lock = find_lock($node->master);

# The zone begins with the word of its lock, which holds the owner's pid; it is
# known by a number farther behind.
sub find_lock {
    my ($pid) = @_;

    for (split /\n/, slurp("/proc/$pid/maps")) {
        my ($from, $to) = m{^(\w+)-(\w+) rw-s .*/dev/zero} or next;
        return hex $from if read_memory($pid, hex $from, 1 << 20)
            =~ /goimzone/;
    }
    die "no zone in the memory of $pid\n";
}

sub read_memory {
    my ($pid, $at, $len) = @_;
    my $bytes = '';
    open my $fh, '<:raw', "/proc/$pid/mem" or return $bytes;
    sysseek $fh, $at, 0;
    sysread $fh, $bytes, $len;
    return $bytes;
}

sub owner {
    my $bytes = read_memory($node->master, $lock, 8);
    return length $bytes == 8 ? unpack 'Q', $bytes : 0;
}

# kill -9 at a moment when the worker has the lock
sub kill_owner {
    my $end = Time::HiRes::time() + 60;

    while (Time::HiRes::time() < $end) {
        for my $pid ($node->workers) {
            hit 'STOP', $pid;
            if (owner() == $pid) {
                hit 'KILL', $pid;
                return $pid;
            }
            hit 'CONT', $pid;
        }
        select undef, undef, undef, 0.001;
    }
    die "no worker was met with the lock\n";
}

my $next = 0;

sub joined {
    my ($n) = @_;
    return Goim::Traffic::came(map { $next++; Goim::Client->new(
        port => $spread, mid => $next, key => "key$next", accepts => [1000],
        room => 'live://1', local => '127.0.1.' . ($next % 200 + 1)) }
        1 .. $n);
}

# the node's counts, the heartbeat's, and the cluster's
sub counted {
    my ($name, @clients) = @_;
    my $n = @clients;

    eventually {
        my $st = $node->status;
        $st->{sessions} == $n && $st->{authorized} == $n
            && $st->{addrs} == $n && $st->{rooms} == 1;
    } 20, "$name: sessions, addresses and rooms"
        or diag explain $node->status;
    eventually { $clients[0]->heartbeat == $n } 10, "$name: the room";
    eventually {
        my $room = $api->online_room('live', ['1'])->{data} || {};
        ($room->{1} || 0) == $n;
    } 30, "$name: and logic knows";
}

my @clients = joined(24);
my @keys = map { $_->{auth}{key} } @clients;
my $traffic = Goim::Traffic->new(apis => [$api], to => { all => [],
    room => ['live', '1'], keys => \@keys });

for my $round (1 .. 4) {
    my $storm = Goim::Proc->new(name => 'storm', dir => folder('storm'),
        cmd => [$^X, '-I' . root_dir() . '/t/lib', '-MGoim::Storm', '-e',
            'Goim::Storm::run(shift)', $spread]);
    $storm->start;
    my $pid = kill_owner();
    $storm->stop;

    wait_for { !Goim::Proc::running($pid) && $node->workers == 3 } 20,
        'another worker';
    $traffic->more(20);
    $_->pump for @clients;
    my @alive = grep { !$_->transport->socket->eof } @clients;
    my @lost = grep { $_->transport->socket->eof } @clients;
    counted("kill $round", @alive);
    @clients = (@alive,
        Goim::Traffic::came(map { Goim::Client->new(%{ $_->{auth} }) } @lost));
    counted("kill $round, all again", @clients);
}

$traffic->more(20);
$traffic->finish;
is($traffic->refused, '', 'every message was accepted');
$traffic->arrives('nobody misses anything', all => \@clients,
    room => \@clients, keys => \@clients);
like($node->error_log, qr/\[warn\].*a worker died while it changed the zone/,
    'it is said');

my $st = $node->status;
is($st->{counters}{$_}, 0, "none $_") for qw(holes lapped corrupt broken);
$_->close for @clients;
eventually { my $now = $node->status;
    $now->{sessions} == 0 && $now->{rooms} == 0 && $now->{addrs} == 0 } 20,
    'when all are gone nothing is left';

done_testing;
