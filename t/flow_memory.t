# ASAN: no
# What many connections held goes back to the system when they have ended, also
# when some of those that came between are still there.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my ($n, $stay) = (3000, 30);
my $c = Goim::Cluster->new(workers => 1, nginx => { connections => $n + 200 });
my $node = $c->node;
my ($worker) = $node->workers;

# KB, without the shared zone
sub rss { return slurp("/proc/$worker/status") =~ /RssAnon:\s+(\d+)/ ? $1 : die }

my $before = rss();
my @clients = map { $c->client(key => "key$_", accepts => [1000],
    room => 'live://' . $_ % 100) } 1 .. $n;
my $grew = rss() - $before;
cmp_ok($grew, '>', $n / 2, "$n clients take memory: $grew KB");

my @last;
for my $i (reverse 0 .. $n - 1) {
    $i % ($n / $stay) ? $clients[$i]->drop : push @last, $clients[$i];
}
eventually { $node->status->{sessions} == $stay } 20, 'most of them end';
eventually { rss() - $before < $grew / 3 } 20, 'and it goes back'
    or diag('from ' . $grew . ' KB to ' . (rss() - $before));

is($_->heartbeat > 0, 1, 'who stayed is served') for $last[0], $last[-1];
$_->drop for @last;

done_testing;
