# The application is told who comes and goes, in which rooms: signed, with ids,
# in order, each once where nothing fails; by types; and GET
# /goim/online/members.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Events;
use Goim::Test;

my $told = Goim::Events->new;
my $c = Goim::Cluster->new(nodes => 2, workers => 2,
    logic => { conf => { $told->conf } });

# those of a user, as soon as they are $want
sub tells {
    my ($mid, $want, $name) = @_;
    my @got;
    eventually {
        @got = $told->lines(sub { ($_[0]{mid} // 0) == $mid });
        "@got" eq "@$want";
    } 20, $name or diag explain \@got;
}

# ---- who comes and goes ---------------------------------------------------------

my $one = $c->client(node => 0, mid => 7, key => 'k7', room => 'live://1');
my @seven = ('connect 7 k7 live://1', 'join 7 k7 live://1');
tells(7, \@seven, 'somebody comes, into a room');

for my $e (grep { $_->{type} ne 'reset' } $told->events) {
    is join(' ', sort keys %$e), 'at id key mid room server session type',
        "$e->{type}: what is told";
    is $e->{server}, 'comet-1', 'where';
    like $e->{session}, qr{^[0-9a-f]+/\d+$}, 'which session';
    ok abs($e->{at} / 1000 - time) < 30, 'when';
}
is +($told->events)[0]{type}, 'reset', 'what comes first: nobody was there';

$one->change_room('live://2');
push @seven, 'leave 7 k7 live://1 moved', 'join 7 k7 live://2';
tells(7, \@seven, 'another room');

$one->change_room('');
push @seven, 'leave 7 k7 live://2 moved';
tells(7, \@seven, 'no room');

$one->change_room('live://3');
push @seven, 'join 7 k7 live://3';
tells(7, \@seven, 'a room again');

$one->close;
push @seven, 'leave 7 k7 live://3 ended', 'disconnect 7 k7 live://3 ended';
tells(7, \@seven, 'it is gone: from its room, too');

my $plain = $c->client(node => 0, mid => 8, key => 'k8', room => '');
tells(8, ['connect 8 k8 -'], 'who is in no room');
my $other = $c->client(node => 1, mid => 8, key => 'k8', room => 'live://1');
tells(8, ['connect 8 k8 -', 'disconnect 8 k8 - replaced',
    'connect 8 k8 live://1', 'join 8 k8 live://1'],
    'its key is taken on another node');
$plain->closed(10);

# of moves faster than they are told the last one counts
my $fast = $c->client(node => 1, mid => 9, key => 'k9', room => 'live://0');
$fast->change_room("live://$_") for 1 .. 30;
my @nine;
eventually {
    @nine = $told->lines(sub { ($_[0]{mid} // 0) == 9 });
    ($nine[-1] // "") eq 'join 9 k9 live://30';
} 20, 'the last room is told';
my @in;
for (@nine) {
    my ($type, $room) = /^(\w+) 9 k9 (\S+)/;
    push @in, $room if $type eq 'join';
    is pop @in, $room, 'and left is the room that was entered'
        if $type eq 'leave';
}
is "@in", 'live://30', 'it is in one room';

# ---- members of a room -------------------------------------------------------------

my @many = map { $c->client(node => $_ % 2, mid => 100 + $_,
    key => "m$_", room => 'live://m') } 1 .. 9;

sub members {
    my (%arg) = @_;
    return $c->api->get('/goim/online/members', type => 'live', room => 'm',
        %arg);
}

my $r;
eventually { $r = members(); ($r->{data}{count} // 0) == 9 } 20,
    'all are members';
is_deeply [map { "$_->{mid} $_->{key} $_->{server}" } @{ $r->{data}{members} }],
    [map { "10$_ m$_ comet-" . ($_ % 2 + 1) } 1 .. 9], 'by their keys';
is $r->{data}{next}, undef, 'that is all';
ok abs($_->{since} / 1000 - time) < 60, 'since when'
    for $r->{data}{members}[0];

my ($after, @pages) = '';
do {
    $r = members(limit => 4, after => $after);
    push @pages, join ' ', map { $_->{key} } @{ $r->{data}{members} };
    $after = $r->{data}{next};
} while defined $after && @pages < 9;
is_deeply \@pages, ['m1 m2 m3 m4', 'm5 m6 m7 m8', 'm9'], 'in pages';

$many[0]->change_room('live://n');
$many[1]->close;
eventually { members()->{data}{count} == 7 } 20, 'two have left';
is members(room => 'none')->{data}{count} + 0, 7, 'the first room counts';
is_deeply $c->api->get('/goim/online/members', type => 'live',
    room => 'nobody')->{data}, { count => 0, members => [], next => undef },
    'nobody is there';
is $c->api->get('/goim/online/members', @$_)->{http}, 400, "@$_: refused"
    for [type => 'live'], [room => 'm'], [type => 'live', room => 'm',
        limit => 1001], [type => 'live', room => 'm', after => 'x' x 257];

# ---- each once, in order ---------------------------------------------------------

my @ids = map { $_->{id} } map { @{ $_->{events} } } $told->bodies;
is_deeply \@ids, [sort { [split /-/, $a]->[0] <=> [split /-/, $b]->[0]
    || [split /-/, $a]->[1] <=> [split /-/, $b]->[1] } @ids], 'ids grow';
is scalar(do { my %n = map { $_ => 1 } @ids; keys %n }), @ids,
    'none came twice';
is grep({ $_->{dropped} } $told->bodies), 0, 'none was given up';

# ---- an application that does not take them ---------------------------------------

for my $status (500, 403, 302, 0) {
    my $before = () = $told->app->seen;
    $told->says($status);
    my $mid = 1000 + $status;
    my $who = $c->client(node => 0, mid => $mid, key => "s$status",
        room => '');
    eventually { $told->app->seen > $before + 1 } 20, "$status: again";
    $told->says(204);
    $who->close;
    tells($mid, ["connect $mid s$status -", "disconnect $mid s$status - ended"],
        'until it takes them');
}
my $m = $c->logic->metrics;
ok $m->{goim_logic_events_failed_total} >= 4, 'that is counted';
eventually { $c->logic->metrics->{'goim_logic_events_total{result="taken"}'}
    == $told->events } 20, 'and what it has taken';
eventually { $c->logic->metrics->{goim_logic_events_waiting} == 0 } 20,
    'none waits';

# ---- how many wait, and which types -----------------------------------------------

my $few = Goim::Events->new(types => 'connect,disconnect', max => 1000);
$few->says(503);
$c->logic->configure({ $few->conf });
$c->logic->stop;
$c->logic->start;
eventually { $c->logic->metrics->{goim_logic_rpc_links} >= 4 } 20,
    'all workers have logic again';
$c->redis->cmd('EVAL', 'for i = 1, 995 do redis.call("XADD", '
    . 'KEYS[1], redis.call("HGET", KEYS[2], "n") .. "-*", "type", "connect", '
    . '"mid", i) end', 2, 'goim:events', 'goim:life');
for my $n (1 .. 20) {
    $c->client(node => 0, mid => 2000 + $n, key => "f$n",
        room => 'live://f')->close;
}
eventually { ($c->redis->cmd('HGET', 'goim:events:state', 'dropped') // 0)
    == 35 } 20, 'the oldest are given up';
is $c->redis->cmd('XLEN', 'goim:events'), 1000, 'so many wait';
my $dropped = $c->redis->cmd('HGET', 'goim:events:state', 'dropped');
$few->says(204);
eventually { $c->logic->metrics->{
    'goim_logic_events_total{result="taken"}'} == 1000 } 20,
    'those that are left are taken';
is $c->logic->metrics->{'goim_logic_events_total{result="dropped"}'}, $dropped,
    'what was given up is counted';
allow_log(qr/\[error\].*events: \d+ were given up|were given up/);
my @bodies = grep { $_->{dropped} } $few->bodies;
is $bodies[-1]{dropped}, $dropped, 'and the application is told';
like $c->logic->logs, qr/events: $dropped were given up/, 'and logged';
is grep({ $_->{type} eq 'join' || $_->{type} eq 'leave' } $few->events), 0,
    'no types that it does not want';
is +($few->lines)[-1], 'disconnect 2020 f20 live://f ended', 'the last one';

done_testing;
