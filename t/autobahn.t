# WebSocket conformance: the Autobahn|Testsuite against goim_echo, every case
# but compression (12 and 13).

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;

use JSON::PP ();

my $setup = `tools/autobahn.sh setup 2>&1`;
my $rc = $? >> 8;

if ($rc == 3 && !$ENV{CI}) {
    plan skip_all => $setup;
}
is($rc, 0, 'Autobahn is there') or BAIL_OUT($setup);

my $c = Goim::Cluster->new(workers => 2);
my $out = folder('autobahn');
my $url = 'ws://127.0.0.1:' . $c->node->{port} . '/echo';

is(system("tools/autobahn.sh run '$url' '$out' >'$out/run.txt' 2>&1"), 0,
    'the suite ran') or diag(slurp("$out/run.txt"));

my $index = JSON::PP::decode_json(slurp("$out/index.json"));
my $cases = $index->{goim} || {};
my %good = map { $_ => 1 } ('OK', 'NON-STRICT', 'INFORMATIONAL');

sub order { return join '.', map { sprintf '%03d', $_ } split /\./, $_[0] }

cmp_ok(scalar keys %$cases, '>=', 300, 'all cases');

for my $id (sort { order($a) cmp order($b) } keys %$cases) {
    my $case = $cases->{$id};
    ok($good{ $case->{behavior} } && $good{ $case->{behaviorClose} },
        "case $id") or diag("$case->{behavior}, close: "
        . "$case->{behaviorClose}, code $case->{remoteCloseCode}");
}

done_testing;
