# The limits of names and messages are one set: what the door takes arrives,
# what does not arrive is refused there, with the limit in the answer.

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Logic;
use Goim::Test;

my $mb = 1024 * 1024;
my $c = Goim::Cluster->new(workers => 2,
    logic => { conf => { http => { max_body => '4m' } } },
    nginx => { server_id => 'n' x 255,
        goim => { zone => 'goim 36m', queue_size => '16m' } });
my $api = $c->api;

# ---- names -------------------------------------------------------------------

my $room = 'live://' . 'r' x 249;
my $client = $c->client(key => 'k' x 256, room => $room, accepts => [1000]);

is($api->keys(1000, ['k' x 256], 'to the key')->{code}, 0, 'a key of 256 bytes');
is($client->push(20)->{body}, 'to the key', 'gets its message');
is($api->room(1000, 'live', 'r' x 249, 'to the room')->{code}, 0,
    'a room of 256 bytes');
is($client->push(20)->{body}, 'to the room', 'gets its message');

my $answer = $api->room(1000, 'live', 'r' x 250, 'x');
is($answer->{code}, -400, 'a room of 257 bytes is refused');
like($answer->{message}, qr/^room: .*256 bytes/, 'with the limit')
    or diag explain $answer;

my $other = $c->client(key => 'o');
is($other->change_room('r' x 256)->{body}, 'r' x 256, 'a client enters one');
$other->send(12, 'r' x 257);
is($other->closed(10), 1008, 'and none that is longer');

for (['key', key => 'k' x 257], ['room', key => 'k', room => 'r' x 257]) {
    my ($name, %arg) = @$_;
    my $long = $c->client(auth => 0);
    $long->send(7, Goim::Client::token(%arg));
    is($long->closed(10), 1008, "nor logs in with a longer $name");
}

# ---- messages ----------------------------------------------------------------

for my $n (512 * 1024, 4 * $mb - 1, 4 * $mb) {
    my $body = 'm' x $n;
    is($api->keys(1000, ['k' x 256], $body)->{code}, 0, "$n bytes to a key");
    my $push = $client->push(30);
    ok($push && $push->{body} eq $body, 'arrive');
    is($api->room(1000, 'live', 'r' x 249, $body)->{code}, 0, 'to a room');
    $push = $client->push(30);
    ok($push && $push->{body} eq $body, 'arrive');
}

is($api->all(1000, 'm' x (4 * $mb + 1))->{http}, 413, 'a byte more is refused');

my ($rc, $said) = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1,
    conf => { http => { max_body => '4097k' } })->test_conf;
isnt($rc, 0, 'logic is not told to take more');
like($said, qr/max_body.*4m|max_body.*4194304/, 'with the limit');

unlike($c->node->error_log, qr/takes \d+ at most/, 'the zone is large enough');
is($c->node->status->{counters}{broken}, 0, 'and nothing was left out');

# ---- a zone that is too small for them ---------------------------------------

my $small = Goim::Nginx->new(server_id => 'small', redis => $c->redis->addr,
    logic => [$c->logic->rpc_addr], goim => { zone => 'goim 16m' });
$small->wait_registered(30);
like($small->error_log, qr/messages of 4194304 bytes, zone "goim" takes \d+ at/,
    'says so');
like($small->error_log, qr/ at most: make it 35m/, 'and what is enough');

done_testing;
