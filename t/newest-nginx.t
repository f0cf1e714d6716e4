# LONG
#
# The module also builds for the newest stable nginx that Debian has in a newer
# suite, and does its main job there.
#
# ASAN: no (the same test, another nginx)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

my $build = build_dir();
my $newest = "$build/newest";

my $said = `tools/build-nginx.sh newest '$newest' 2>&1`;
is($?, 0, 'nginx and the module are built') or BAIL_OUT($said);
diag(`'$newest/nginx-bin' -v 2>&1`);

for my $name (qw(goim-logic goim-job)) {
    unlink "$newest/$name";
    symlink "$build/$name", "$newest/$name" or die "$newest/$name: $!";
}

local $ENV{GOIM_BUILD} = $newest;
local $ENV{GOIM_BUS} = 'redis';
$said = `$^X t/main.t 2>&1`;
is($?, 0, 'the main test passes') or diag($said);

done_testing;
