# Messages between people while each part is killed, stopped, full or set back:
# each that was accepted is stored once, all members and devices see one order,
# nothing is seen that is not stored, cursors never go back, what is unread is what a
# recount says, and nobody is told of a loss. Who sends sends again, by HTTP and by
# sockets, until it is answered, and also what was.
#
#     GOIM_SEED=7 prove -v t/im_chaos.t
#     GOIM_SEED=7 GOIM_ROUNDS=5 GOIM_TALK=postgresql,kafka prove -v t/im_chaos.t
#
# GOIM_ROUNDS: each fault so often, with both databases and both buses; GOIM_FAULT: only
# those whose name has it.

# ASAN: no

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Disk;
use Goim::Talk;
use Goim::TalkCheck qw(check_talk);
use Goim::TalkFaults;
use Goim::Test;

allow_log(qr/exited on signal 9|\[error\] \d+: (?:postgresql|sqlite)\b/);
allow_log(qr/goim: the stream .* was/);

my $rounds = $ENV{GOIM_ROUNDS};
my $seed = $ENV{GOIM_SEED} || int rand 1_000_000;
diag("GOIM_SEED=$seed");
alarm(($ENV{GOIM_ALARM} || 240 + 300 * ($rounds || 0)) * slow());

sub shuffled { return map { $_->[1] } sort { $a->[0] <=> $b->[0] }
    map { [rand, $_] } @_ }

# the faults of this run; without GOIM_ROUNDS a few, one of them by one of the two, and
# no restored copy (t/im_restored.t)
sub chosen {
    my ($faults, $half) = @_;
    my @names = grep { !$ENV{GOIM_FAULT} || /$ENV{GOIM_FAULT}/ } $faults->names;
    return map { shuffled(@names) } 1 .. $rounds if $rounds;
    my @few = (shuffled(grep { !/between|copy/ } @names))[0 .. 4];
    return grep { $_ } @few, $half ? grep { /between/ } @names : ();
}

sub chaos {
    my ($db, $bus, $half) = @_;
    srand $seed;
    my $faults = Goim::TalkFaults->new(db => $db, bus => $bus);
    my $talk = Goim::Talk->new(@$faults{qw(c db)}, seed => $seed);

    $talk->start(3);
    ok($talk->flow(30), 'it flows');
    for my $name (chosen($faults, $half)) {
        my $began = time;
        my $end = eval { $faults->begin($name, $talk) };
        ok($end, $name) or diag($@);
        $talk->drop(2);
        $talk->listen(0.2 + rand 0.6);
        $end->() if $end;
        $talk->device(1 + int rand 6) if rand() < 0.3;
        ok($talk->flow(15), 'and it goes on');
        note(sprintf '%s: %.1f s', $name, time - $began);
    }
    is_deeply([$talk->stop], [0, 0, 0], 'all was answered in the end');

    my $h = $talk->history;
    my @found = check_talk({ %$h, $faults->lost });
    is(scalar @found, 0, @{ $h->{messages} } . ' items, '
        . @{ $h->{accepted} } . ' answers, ' . @{ $h->{devices} }
        . ' devices: nothing is wrong');
    diag("GOIM_SEED=$seed");
    diag("$_->{what}: $_->{text}") for @found > 20 ? @found[0 .. 19] : @found;
}

my @runs = $ENV{GOIM_TALK} ? [split /,/, $ENV{GOIM_TALK}]
    : (['sqlite', 'redis'], ['postgresql', 'kafka'],
    $rounds ? (['sqlite', 'kafka'], ['postgresql', 'redis']) : ());
my $half = $seed % 2;
for my $run (@runs) {
    my ($db, $bus) = @$run;
    subtest "$db, $bus" => sub { chaos($db, $bus, $half) };
    $half = 1 - $half;
}

done_testing;
