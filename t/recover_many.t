# Many clients that come back at once, to four nodes: rooms are listed before
# they are in, pages are read once for all of a node's, and nobody lacks
# anything.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $nodes = 4;
my $c = Goim::Cluster->new(nodes => $nodes, nginx => { ssl => 1, tcp => 1,
    goim => { room_linger => '20ms' } },
    logic => { conf => { registry => { ttl => '6s', renew => '300ms' } } },
    job => { conf => { registry => { ttl => '6s', renew => '300ms' },
        history => { live => '300 10m' } } });
my $api = $c->api;
my ($room, $n) = ('live://1', 0);

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

sub say_more {
    for (1 .. $_[0]) {
        my $res = $api->room(1000, 'live', '1', 'i' . ++$n);
        die "push: $res->{code}\n" if $res->{code};
    }
}

sub count {
    my ($name) = @_;
    my $sum = 0;
    $sum += $c->node($_)->status->{counters}{$name} for 0 .. $nodes - 1;
    return $sum;
}

# what each has got since, and where it is
sub all_have {
    my ($name, @clients) = @_;
    ok(Goim::Client->pump_all([map { $_->{client} } @clients], 30, sub {
        for my $f (@clients) {
            for my $p (splice @{ $f->{client}{pushes} }) {
                $f->{wrong} //= "$p->{seq} after $f->{last}"
                    if $p->{seq} != $f->{last} + 1
                        || $p->{body} ne "i$p->{seq}";
                $f->{last} = $p->{seq};
            }
        }
        !grep { $_->{last} != $n } @clients;
    }), "$name: all have all");
    is((grep { $_->{wrong} } @clients) + 0, 0, "$name: each once, in order");
}

my @kinds = qw(ws tcp wss);
my $first = $c->client(key => 'first', room => $room, recover => {});
my $epoch = $first->position->{$room}{epoch};
eventually { !grep { !$c->node($_)->status->{listed} } 0 .. $nodes - 1 } 30,
    'all nodes have their rooms listed';
say_more(250);
is scalar($first->pushes(250)), 250, 'a history';

# ---- all come back in one moment ---------------------------------------------

my $before = count('history_reads');
my $many = 240;
my @f = map { {
    client => $c->client(node => $_ % $nodes, key => "k$_", mid => $_,
        transport => $kinds[$_ % @kinds], auth => 0, recover => {
            $room => { epoch => $epoch, seq => $_ } }, room => $room),
    last => $_,
} } 1 .. $many;
$_->{client}->send(7, Goim::Client::token(%{ $_->{client}{auth} })) for @f;
say_more(5);
all_have('at once', @f);
is((grep {
    my ($p, @more) = @{ $_->{client}{positions} };
    @more || !$p->{$room}{recovered} || $p->{$room}{epoch} ne $epoch
} @f) + 0, 0, 'each was told once that it recovers');
my $reads = count('history_reads') - $before;
cmp_ok $reads, '<', $many / 2, "in $reads Reads";

# ---- and change their rooms, to and fro --------------------------------------

my $waits = count('room_waits');
$_->{client}->{positions} = [] for @f;
for my $f (@f) {
    my $client = $f->{client};
    $client->{replies} = [];
    $client->send(12, "live://own-$f->{last}-$client->{auth}{key}");
}
say_more(20);
Goim::Client->pump_all([map { $_->{client} } @f], 30,
    sub { !grep { @{ $_->{client}{positions} } < 1 } @f });
is((grep { !$_->{client}{positions}[0] } @f) + 0, 0, 'each is elsewhere');
cmp_ok count('room_waits'), '>', $waits, 'that was listed for them';
for my $f (@f) {
    for my $p (splice @{ $f->{client}{pushes} }) {
        $f->{wrong} //= "$p->{seq} after $f->{last}"
            if $p->{seq} != $f->{last} + 1;
        $f->{last} = $p->{seq};
    }
    $f->{client}->send(12,
        qq({"$room":{"epoch":"$epoch","seq":$f->{last}}}));
}
say_more(5);
all_have('to and fro', @f);

# ---- into one that has to be listed first, from where they were in it --------

for (1 .. 10) {
    is $api->room(1000, 'live', '2', "j$_")->{code}, 0, "item $_ of a room";
}
my $second;
wait_for {
    $second = $api->get('/goim/room/position', type => 'live', room => 2)
        ->{data};
    $second->{seq} == 10;
} 20, 'all have a number';
$waits = count('room_waits');
for my $f (@f) {
    $f->{client}{positions} = [];
    $f->{client}->send(12, qq({"live://2":{"epoch":"$second->{epoch}",)
        . '"seq":' . ($f->{last} = 4) . '}}');
}
Goim::Client->pump_all([map { $_->{client} } @f], 30,
    sub { !grep { @{ $_->{client}{pushes} } < 6 } @f });
is((grep { join(' ', map { "$_->{seq}=$_->{body}" } @{ $_->{client}{pushes} })
    ne '5=j5 6=j6 7=j7 8=j8 9=j9 10=j10' } @f) + 0, 0,
    'a room nobody was in: each has what it missed');
cmp_ok count('room_waits'), '>', $waits, 'when it was listed';
$_->{client}->drop for @f;

done_testing;
