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
        http => 'large_client_header_buffers 8 600k;',
        goim => { zone => 'goim 36m', queue_size => '16m',
            max_body => '512k' } });
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

# ---- logins ------------------------------------------------------------------

my $kb = 1024;

# the longest packet, and the longest head that goes on to the application
sub upgrade {
    my ($cookie) = @_;
    return $c->client(auth => 0,
        headers => [Cookie => 'c' x ($cookie - 2)]);
}

my $token = Goim::Client::token(key => 'big');
$token = '{"pad":"' . 'p' x (512 * $kb - 9 - length $token) . '",'
    . substr $token, 1;
is(length $token, 512 * $kb, 'a token as long as a packet may be');
my $big = upgrade(448 * $kb);
$big->send(7, $token);
is($big->reply(20)->{op}, 8, 'and cookies of 448 KB: logged in');
is(eval { upgrade(448 * $kb + 1); 1 }, undef, 'a byte more is refused');
like($@, qr{HTTP/1.1 400 }, 'at the upgrade');

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

my ($rc, $out) = Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1,
    conf => { http => { max_body => '4097k' } })->test_conf;
isnt($rc, 0, 'logic is not told to take more');
like($out, qr/max_body.* from 0 to 4m/, 'with the limit');

is($c->node->status->{counters}{broken}, 0, 'and nothing was left out');

$client->close;
$_->stop for @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };

# ---- a logic that is started anew with more than the zone takes ---------------

my $d = Goim::Cluster->new(redis => {}, nginx => { goim => {
    zone => 'goim 16m', queue_size => '16m' } });
$client = $d->client(key => 'k', room => 'live://1', accepts => [1000]);

$d->logic->stop;
$d->logic->configure({ http => { max_body => '4m' } })->start;
my $takes;
eventually { ($takes) = $d->node->error_log 
    =~ /"max_body" of logic is 4194304, zone "goim" takes messages of (\d+) at/ } 30,
    'the node says that its zone is smaller';
cmp_ok($takes, '>', 1_700_000, 'and what it takes');
is($d->node->status->{registered}, 1, 'it remains');
my $said = '[http] max_body is 4194304, the zone of "comet-1" takes messages of '
    . "$takes at most";
eventually { $d->logic->logs =~ /\Q$said\E/ } 10, 'logic says so, too';
sleep 2;        # each thread of logic has read the set of nodes

for (['all', sub { $d->api->all(1000, @_) }],
    ['keys', sub { $d->api->keys(1000, ['k'], @_) }],
    ['room', sub { $d->api->room(1000, 'live', '1', @_) }])
{
    my ($name, $post) = @$_;
    my $body = 'm' x $takes;
    is($post->($body)->{code}, 0, "$name: as much is taken");
    my $push = $client->push(30);
    ok($push && $push->{body} eq $body, 'and arrives');
    my $answer = $post->($body . 'm');
    is("$answer->{http} $answer->{code}", '413 -400', 'a byte more is refused');
}
is($d->node->status->{counters}{broken}, 0, 'nothing was left out');

# ---- a new node whose zone is too small ---------------------------------------

allow_log(qr/\[emerg\].* "max_body" of logic is 4194304, zone "goim" takes/);

sub small {
    my ($server, @logic) = @_;
    return Goim::Nginx->new(server_id => $server, redis => $d->redis->addr,
        logic => [map { $_->rpc_addr } @logic],
        goim => { zone => 'goim 16m', queue_size => '16m' });
}

my $small = small('small', $d->logic);
$said = '"max_body" of logic is 4194304, zone "goim" takes messages of '
    . "$takes at most, no client is let in: make the zone ";
my $enough;
eventually { ($enough) = $small->error_log
    =~ /\[emerg\].* \Q$said\E(\d+)m, or "max_body" less$/m } 30,
    'a new node is refused, and says why';
is($enough, 35, 'and what is enough');
like($d->logic->logs, qr/"small" refused: .* messages of $takes at most, /,
    'so does logic');
is($small->status->{registered}, 0, 'it is not ready');
my $early = Goim::Client->new(port => $small->{port}, key => 'e', auth => 0);
$early->send(7, Goim::Client::token(key => 'e'));
ok(!eval { $early->op(8, 2) }, 'and lets no client in');

$small->configure(goim => { zone => "goim ${enough}m" });
$small->reload;
$small->wait_registered(30);
pass('with a zone of that size it is served');

# the one before goes, and with it the bound
my $last = Goim::Client->new(port => $small->{port}, key => 'l',
    accepts => [1000]);
$client->close;
$d->node->stop;
my $large = 'm' x (4 * $mb);
eventually { $d->api->all(1000, $large)->{code} == 0 } 60,
    'the largest message is taken';
$answer = $last->push(30);
ok($answer && $answer->{body} eq $large, 'and arrives');

# ---- logics of two minds: a rolling change ------------------------------------

my $lower = Goim::Logic->new(redis => $d->redis->addr);
my $rolling = small('rolling', $lower, $d->logic);
$rolling->wait_registered(30);
pass('a node is registered where its zone is large enough');
$last = Goim::Client->new(port => $rolling->{port}, key => 'r',
    accepts => [1000]);
eventually { ($d->api->all(1000, $large)->{http} || 0) == 413 } 30,
    'the other logic pushes no more than it takes';
is($d->api->keys(1000, ['r'], 'm' x $takes)->{code}, 0, 'as much is taken');
$answer = $last->push(30);
is(length $answer->{body}, $takes, 'and arrives');

done_testing;
