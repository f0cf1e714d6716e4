# Many clients that recover, on two nodes, under pushes over Kafka, while each
# part of the system is killed and started again: who was connected and who comes
# back gets every message once and in order, and nobody is told of a loss.
# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Follow;
use Goim::Test;

my $n = asan() ? 120 : 300;
my %registry = (registry => { ttl => '6s', renew => '1s' });
my $c = Goim::Cluster->new(bus => 'kafka', nodes => 2, workers => 2,
    logic => { conf => { %registry } },
    job => { conf => { %registry, history => { live => '2000 10m' } } });
my $f = Goim::Follow->new(cluster => $c, clients => $n, rooms => 20,
    base => 1000);

allow_log(qr/exited on signal 9/);
$f->ready(60);

# kill, and start again after so many seconds
sub again {
    my ($what, $seconds) = @_;
    $what->kill9;
    $f->watch($seconds);
    $what->start;
}

# begins in the middle of pushes
sub under {
    $f->quiet;
    $f->push(100);
    $f->watch(0.5);
}

# all of a node at once
under();
my $node = $c->node(1);
hit 'KILL', $node->pid, $node->workers;
$node->wait_exit(5);
$f->watch(0.5);
$node->start;
$node->wait_registered(30);
$f->whole('node');

for my $what (qw(job redis kafka)) {
    under();
    again($c->$what, 0.3);
    is($f->whole($what)->{lost}, 0, "$what: nobody has to come back");
}

$f->stop;
done_testing;
