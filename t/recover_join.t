# Who joins without a position begins where the room is at its answer: what is
# pushed from then on comes, however long it takes to learn where that is.

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Client;
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Proxy;
use Goim::Redis;
use Goim::Test;

# the node's logic has a way to Redis that can be held, backends another logic
my $redis = Goim::Redis->new;
my $way = Goim::Proxy->new(to => $redis->{port});
my ($logic, $other) = map { Goim::Logic->new(redis => $_) } $way->addr,
    $redis->addr;
my $job = Goim::Job->new(redis => $redis->addr,
    conf => { history => { live => '300 10m' } });
my $node = Goim::Nginx->new(redis => $redis->addr, workers => 2, tcp => 1,
    ssl => 1, logic => [$logic->rpc_addr]);
$node->wait_registered(30);
for my $l ($logic, $other) {
    wait_for {
        $l->api->get('/goim/room/position', type => 'live', room => 'x')->{data}
    } 30, 'logic knows which rooms have a history';
}

my %port = (ws => 'port', wss => 'wss_port', tcp => 'tcp_port');
my $n = 0;

sub client {
    my ($transport, %arg) = @_;
    return Goim::Client->new(port => $node->{ $port{$transport} },
        transport => $transport, key => 'k' . ++$n, recover => {}, %arg);
}

sub say_one {
    my ($room, $body) = @_;
    return $other->api->room(1000, 'live', $room, $body)->{code};
}

# the answer is there
sub answered {
    my ($client, $seconds) = @_;
    return Goim::Client->pump_all([$client], $seconds, sub {
        @{ $client->{replies} } > 0;
    });
}

sub comes {
    my ($client, $body, $name) = @_;
    my $push = $client->push(10);
    is $push && $push->{body}, $body, $name;
}

# ---- logins ------------------------------------------------------------------

for my $i (1 .. 12) {
    my $client = client((qw(ws wss tcp))[$i % 3], room => "live://l$i",
        $i % 2 ? () : (recover => { "live://l$i" => { last => 1 } }));
    say_one("l$i", "i$i");
    comes $client, "i$i", "login $i: what is pushed at its answer";
}

# ---- changes of room ---------------------------------------------------------

for my $transport (qw(ws wss tcp)) {
    my $client = client($transport);
    say_one($transport, 'before');
    $way->hold;
    $client->send(12, "live://$transport");
    my $early = answered($client, 0.3);
    $way->release if !$early;
    ok answered($client, 20), "$transport: an answer";
    is say_one($transport, 'after'), 0, '... and a push';
    $way->release if $early;
    comes $client, 'after', '... comes';
    my ($p) = grep { $_->{"live://$transport"} } @{ $client->{positions} };
    is $p->{"live://$transport"}{seq}, 1, '... behind the position';
}

# ---- nobody knows for long ---------------------------------------------------

my $client = client('ws');
$way->hold;
$client->send(12, 'live://long');
ok answered($client, 10), 'who waits for long has its answer before';
my $sent = $client->send(2, '');
ok(Goim::Client->pump_all([$client], 10, sub {
    grep { $_->{seq} == $sent } @{ $client->{replies} };
}), '... and others');
$way->release;
ok(Goim::Client->pump_all([$client], 20, sub {
    grep { exists $_->{'live://long'} } @{ $client->{positions} };
}), 'it is told, then');
say_one('long', 'late');
comes $client, 'late', 'and follows';

# who leaves meanwhile, or goes to another room, waits for nothing
$way->hold;
$client->send(12, 'live://gone');
$client->send(12, 'chat://1');
client('tcp', room => 'chat://1', auth => 0)->close;
$client->drop;
$way->release;
is client('tcp')->call(12, 'live://end')->{body}, 'live://end',
    'others go on';

done_testing;
