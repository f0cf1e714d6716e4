# The databases that messages between people are stored in: what t/unit.t shows of
# SQLite, of a real PostgreSQL, which is also stopped under way.

use strict;
use warnings;

use lib 't/lib';
use Goim::Postgres;
use Goim::Test;

my $pg = Goim::Postgres->new;

local $ENV{GOIM_DB} = $pg->url;
local $ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
my $dir = folder('db_test');
my $test = build_dir() . '/t/db_test';
my $said = `cd '$dir' && timeout 120 '$test' 2>'$dir/stderr.log'`;
is($?, 0, 'exits with 0') or diag($said, slurp("$dir/stderr.log"));
my $n = 0;
while ($said =~ /^(not )?ok\b[ \t]*(.*)/mg) {
    ok(!$1, $2);
    $n++;
}
cmp_ok($n, '>=', 10, 'tests were run');

done_testing;
