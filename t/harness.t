# ASAN: no
# What the tests stand on. They end what they started, and never themselves: a
# signal to process 0 is one to the whole group, that of whoever runs the tests.
# And what failed is told by its name.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

for my $pid (undef, '', 0, '0', 1, -1, '12 ', "12\n", 'reader') {
    my $name = defined $pid ? "'$pid'" : 'undef';
    my $child = fork // die "fork: $!";
    if (!$child) {
        setpgrp;
        eval { hit('KILL', $$, $pid) };
        require POSIX;
        POSIX::_exit($@ =~ /^no process to send SIGKILL to/ ? 0 : 1);
    }
    waitpid $child, 0;
    is($?, 0, "no signal to $name, nor to those named beside it");
}

my @calls;
for my $file (glob root_dir() . '/t/*.t ' . root_dir() . '/t/lib/Goim/*.pm') {
    next if $file =~ m{/Proc\.pm$};
    my $n = 0;
    for (split /\n/, slurp($file)) {
        $n++;
        push @calls, "$file:$n: $_"
            if /^[^#"]*(?<![\w>\$-])kill\b\s*\(?\s*(?:['"\$A-Z1-9]|qw)/;
    }
}
is("@calls", '', 'and signals are sent by hit alone');

# ---- what failed -------------------------------------------------------------

my $dir = folder('failing');

spew("$dir/fails.t", <<'EOF');
use lib 't/lib';
use Goim::Test;

ok(1, 'good');
subtest outer => sub { ok(0, 'inner'); ok(1, 'beside it') };
TODO: { local $TODO = 'some day'; ok(0, 'known') }
eval { die "caught\n" };
fork or die "in a child\n";
wait;
wait_for { 0 } 0.01, 'what does not come';
EOF

{
    local $ENV{GOIM_FAILED} = "$dir/failed";
    local $ENV{GOIM_SLOW} = 1;
    delete local $ENV{GOIM_ASAN};
    ok(system("$^X $dir/fails.t >$dir/out 2>&1"), 'a test that fails');
    is(slurp("$dir/failed"), <<"EOF", 'is told by name, and how it ended');
$dir/fails.t: inner
$dir/fails.t: outer
$dir/fails.t: died: timed out after 0.01 s: what does not come at $dir/fails.t line 10
EOF
}

done_testing;
