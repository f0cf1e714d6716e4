# LONG
#
# Each fuzz target over its seeds and new inputs, a minute all in all; `make
# fuzz` for longer, from where it was the last time.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

# ASAN: no (the targets have sanitizers of their own)
my @targets = glob build_dir() . '/fuzz/*_fuzz';
my $long = $ENV{GOIM_FUZZ};

my @names = map { m{/t/fuzz/([^/]+)_fuzz\.c$} }
    glob root_dir() . '/t/fuzz/*_fuzz.c';
is("@{[map { m{([^/]+)_fuzz$} } @targets]}", "@names", 'all are built');

my $seconds = int(($long || 60) / @targets) || 1;

for my $target (@targets) {
    my ($name) = $target =~ m{([^/]+)_fuzz$};
    my $dir = $long ? build_dir() . "/corpus/$name" : folder($name);
    my $seeds = root_dir() . "/t/fuzz/$name";

    system 'mkdir', '-p', "$dir/corpus";
    ok(-d $seeds, "$name: there are seeds");
    my $said = `cd '$dir' && timeout @{[60 + 2 * $seconds]} '$target' \\
        -max_total_time=$seconds -rss_limit_mb=1024 -timeout=20 corpus \\
        '$seeds' 2>&1`;
    is($?, 0, $name) or diag($said);
    my ($runs) = $said =~ /^Done (\d+) runs/m;
    cmp_ok($runs || 0, '>', 0, "$name: inputs were tried");
    diag("$name: $runs") if $long;
}

done_testing;
