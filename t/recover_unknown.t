# Nobody is told that a room has no history, or where it stands, before that is
# known: when no job has been there yet, and when Redis has lost everything.
# Who is there is then told once that it can't be recovered.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 }, job => {
    stopped => 1, conf => { history => { live => '300 10m' } } });
my $api = $c->api;

# ---- before any job ----------------------------------------------------------

my @f = map { $c->client(key => "k$_", room => "live://$_", recover => {},
    transport => $_ % 2 ? 'ws' : 'tcp') } 1 .. 6;
my $chat = $c->client(key => 'chat', room => 'chat://1', recover => {});
is_deeply [grep { $_->position(0.3) } @f, $chat], [], 'nobody is told anything';
is $api->get('/goim/room/position', type => 'live', room => 1)->{code}, -500,
    'neither are backends';

$c->job->start;
for my $i (1 .. 6) {
    my $p = $f[$i - 1]->position(20)->{"live://$i"};
    is_deeply [@$p{qw(seq first recovered)}], [0, 1, undef],
        "$i: its place, when a job knows";
    $f[$i - 1]{epoch} = $p->{epoch};
}
is_deeply $chat->position(20), { 'chat://1' => undef }, 'or that it has none';

# ---- Redis loses everything --------------------------------------------------

sub say_one {
    my ($room, $body) = @_;
    wait_for {
        $api->post('/goim/push/room', [operation => 1000, type => 'live',
            room => $room], $body)->{code} == 0
    } 30, 'a push is taken';
}

# all that a client was told since: 'false' for a place in another epoch
sub told {
    my ($client, $i) = @_;
    my @told;
    for my $map (splice @{ $client->{positions} }) {
        my $p = $map->{"live://$i"};
        push @told, !$p ? 'null' : $p->{epoch} eq $client->{epoch} ? 'same'
            : $p->{recovered} ? 'true' : 'false';
        $client->{epoch} = $p->{epoch} if $p;
    }
    return @told;
}

for my $turn (1 .. 4) {
    say_one($_, "a$turn") for 1 .. 3;
    is $f[$_ - 1]->push->{body}, "a$turn", "$_: an item" for 1 .. 3;
    $c->redis->cmd('FLUSHALL');
    my %told;
    ok(Goim::Client->pump_all(\@f, 30, sub {
        push @{ $told{$_} }, told($f[$_ - 1], $_) for 1 .. 6;
        !grep { !@{ $told{$_} } } 1 .. 6;
    }), "$turn: all are told");

    # another round of heads, and Reads
    $api->room(1000, 'live', $_, 'unseen') for 1 .. 3;
    say_one($_, "b$turn") for 1 .. 6;
    ok(Goim::Client->pump_all(\@f, 30, sub {
        push @{ $told{$_} }, told($f[$_ - 1], $_) for 1 .. 6;
        !grep { !grep { $_->{body} eq "b$turn" } @{ $_->{pushes} } } @f;
    }), "$turn: what comes then comes to all");
    is_deeply [map { "@{ $told{$_} }" } 1 .. 6], [('false') x 6],
        "$turn: once, and of another epoch";
    $_->{pushes} = [] for @f;
}

done_testing;
