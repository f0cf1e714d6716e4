# Each fuzz target over its seeds and a bounded number of new inputs.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

# ASAN: no (the targets have sanitizers of their own)
my @targets = glob build_dir() . '/fuzz/*_fuzz';
my $runs = $ENV{GOIM_FUZZ_RUNS} || 200_000;

ok(@targets, 'there are fuzz targets');

for my $target (@targets) {
    my ($name) = $target =~ m{([^/]+)_fuzz$};
    my $dir = folder($name);
    my $seeds = root_dir() . "/t/fuzz/$name";

    mkdir "$dir/corpus";
    my $said = `cd '$dir' && timeout 300 '$target' -runs=$runs \\
        -max_total_time=20 -rss_limit_mb=1024 -print_final_stats=1 corpus \\
        @{[-d $seeds ? "'$seeds'" : '']} 2>&1`;
    is($?, 0, $name) or diag($said);
}

done_testing;
