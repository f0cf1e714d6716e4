# Who guesses names of rooms: a token lets into some, and no other name is
# answered otherwise for being a room's, by whatever way it is asked for; nothing
# that was said there, or is, comes out.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::JWT;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my $by = Goim::JWT->new('HS256');
my $c = Goim::Cluster->new(nginx => { tcp => 1 },
    logic => { conf => { auth => { mode => 'jwt', algorithms => 'HS256',
        secret_file => $by->file } } },
    job => { conf => { history => { live => '50 10m' } } });
my ($api, $node) = ($c->api, $c->node);

my @secret = map { "live://secret$_" } 1 .. 10;
my @none = map { "live://nobody$_" } 1 .. 10;
my @like = ('live://mine1', 'live://min', 'live://Mine', 'live://mine ',
    'live://mine/', "live://mine\t", 'team:/', 'team', 'xteam://1', '*', 'live://*',
    '*://secret1', 'live://secret1/../mine');
my @guesses = (@secret, @none, @like);

sub token {
    my (%claims) = @_;
    return $by->token({ sub => '7', rooms => ['live://mine', 'team://*'],
        %claims });
}

# one that is in by this packet
sub enters {
    my (%packet) = @_;
    return $c->client(token => $json->encode(\%packet),
        errors => $packet{errors},
        $packet{recover} ? (recover => $packet{recover}) : ());
}

# how a login ends that is refused
sub ends {
    my (%packet) = @_;
    my $client = $c->client(auth => 0);
    $client->send(7, $json->encode(\%packet));
    return $client->closed;
}

# somebody is there, and has been
my @there = map { enters(token => $by->token({ sub => '1', rooms => [$_] }),
    room_id => $_, accepts => [1000]) } @secret;
my $n = 0;

sub said {
    $n++;
    $api->room(1000, 'live', "secret$_", "secret $n")->{code} == 0 or die
        for 1 .. 10;
    is scalar(grep { my $p = $_->push;
        !$p || $p->{body} ne "secret $n" } @there), 0, 'said in all of them';
}

said();

for my $errors (0, 1) {
    my $spy = enters(token => token(), room_id => 'live://mine',
        accepts => [1000], errors => $errors);
    my $before = $node->status->{counters}{rooms_refused};
    my %answers;

    for my $room (@guesses) {
        my $r = $spy->call(12, $room);
        push @{ $answers{ $r->{body} } }, $room;
    }
    is_deeply [keys %answers], ['live://mine'],
        'changes of room: each answer is the same';
    is $node->status->{counters}{rooms_refused} - $before, scalar(@guesses),
        'and counted';
    if ($errors) {
        $spy->pump;
        my %said = map { ($json->encode({ %$_, seq => 0 }) => 1) }
            @{ $spy->{byes} };
        is scalar(keys %said), 1, 'so is each reason';
    }
    said();
    $api->room(1000, 'live', 'mine', 'for all of mine');
    is $spy->push->{body}, 'for all of mine', 'what comes is of its own room';
}

my %ends = map { $_ => ends(token => token(), room_id => $_,
    accepts => [1000]) } @secret[0, 1], @none[0, 1], @like[0 .. 3];
is_deeply [grep { $_ != 1008 } values %ends], [], 'logins: refused alike';

# a position in a room that it is not in, and what came since
{
    my %recover = map { $_ => { last => 50 } } @secret[0 .. 2], $none[0];
    my $spy = enters(token => token(), room_id => 'live://mine',
        accepts => [1000], recover => \%recover);
    is_deeply [sort keys %{ $spy->position }], ['live://mine'],
        'positions: it is told of its own room alone';
    for my $room (@secret[0 .. 2], $none[0]) {
        is $spy->call(12, $json->encode({ $room => { last => 50 } }))->{body},
            'live://mine', 'by a change of room neither';
    }
    said();
    $spy->pump;
    is_deeply [grep { /secret/ } map { $_->{body} } @{ $spy->{pushes} }], [],
        'nothing of what was said is';
}

# a client that says what its token may
for my $more ({ rooms => ['live://*'] }, { room => 'live://secret1' },
    { claims => { rooms => ['live://*'] } })
{
    my $spy = enters(token => token(), room_id => 'live://mine', %$more);
    is $spy->change_room('live://secret1')->{body}, 'live://mine',
        'a packet gives nobody a room: ' . join ', ', keys %$more;
}

done_testing;
