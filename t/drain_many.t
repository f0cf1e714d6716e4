# Many clients that recover, while their node is reloaded and while it is told to
# drain: each gets every message once and in order, and they log in anew one
# after another.

use strict;
use warnings;

use List::Util qw(max);

use lib 't/lib';
use Goim::Cluster;
use Goim::Follow;
use Goim::HTTP;
use Goim::Test;

my ($n, $rooms, $drain) = (asan() ? 320 : 1200, 40, 6);
my $c = Goim::Cluster->new(nodes => 2, workers => 2,
    nginx => { main => 'worker_shutdown_timeout 60s;',
        goim => { drain => "${drain}s" } },
    job => { conf => { history => { live => '300 10m' } } });
my ($node, $other) = map { $c->node($_) } 0, 1;
my $f = Goim::Follow->new(cluster => $c, clients => $n, rooms => $rooms,
    base => 500);

$f->ready(60);

# What there was since all was quiet, when $came clients had to log in anew: no
# two seconds of `drain` with more than 2.5 times the mean.
sub judge {
    my ($name, $came) = @_;
    my $r = $f->whole($name);
    is($r->{logins}, $came, "$name: who had to log in anew, once");
    is($r->{again}, $came, "$name: told to come back at once");
    is($r->{recovered}, $came, "$name: they recover");

    my @a = (@{ $r->{logins_a_second} }, 0);
    my $most = max map { $a[$_] + $a[$_ + 1] } 0 .. $#a - 1;
    cmp_ok($most, '<=', 2.5 * 2 * $came / $drain, "$name: logins are flat")
        or diag("a second: @a");
}

subtest 'a reload' => sub {
    $f->quiet;
    my $came = $node->status->{sessions};
    cmp_ok($came, '>', $n / 3, 'half of them are here');
    $f->push(60);
    $node->reload;
    eventually { !$node->draining } 40, 'the workers of before leave';
    judge('reload', $came);
    is($node->status->{sessions} + $other->status->{sessions}, $n,
        'here, and elsewhere');
};

subtest 'drain=on' => sub {
    $f->quiet;
    my $came = $other->status->{sessions};
    cmp_ok($came, '>', 0, 'somebody is here');
    $f->push(60);
    Goim::HTTP::post("http://127.0.0.1:$other->{port}/goim/status?drain=on");
    eventually { $other->status->{sessions} == 0 } 40, 'until nobody is';
    judge('drain', $came);
    is($node->status->{sessions}, $n, 'all are elsewhere');
};

$f->stop;
done_testing;
