# ASAN: no
# The tests end what they started, and never themselves: a signal to process 0
# is one to the whole group, that of whoever runs the tests.

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

done_testing;
