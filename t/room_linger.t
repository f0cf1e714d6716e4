# room_linger: what comes for a room shortly after a message to it waits for
# company and leaves in one frame; the first does not wait, nor do others.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $linger = 3;
my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1,
    goim => { room_linger => "${linger}s" } });
my $api = $c->api;

my %client = map { $_ => $c->client(transport => $_, key => $_,
    accepts => [1000], room => 'live://1') } qw(ws tcp);
my $other = $c->client(key => 'other', room => 'live://2');
my @all = values %client;

sub bodies { return join ' ', map { $_ ? $_->{body} : 'none' } @_ }

my $began = Time::HiRes::time();
$api->room(1000, 'live', '1', 'first');
is($client{$_}->push(10)->{body}, 'first', "$_: the first message")
    for sort keys %client;
my $took = Time::HiRes::time() - $began;

$api->room(1000, 'live', '1', "next $_") for 1 .. 20;
$api->room(1000, 'live', '2', 'elsewhere');
is($other->push(10)->{body}, 'elsewhere', 'another room does not wait');
$api->keys(1000, ['ws', 'tcp'], 'urgent');
$api->all(1000, 'everybody');
is(join(' ', sort split / /, bodies($client{$_}->pushes(2, 10))),
    'everybody urgent', "$_: messages to a key and to all do not, either") for sort keys %client;

my $want = join ' ', map { "next $_" } 1 .. 20;
is(bodies($client{$_}->pushes(20, 20)), $want,
    "$_: what waited comes, in order") for sort keys %client;
$took = Time::HiRes::time() - $began - $took;
cmp_ok($took, '>=', $linger * 0.9, 'after the time it was to wait');
is($client{ws}{batches}, 4, 'in one frame');

# more than a frame may hold does not wait
$api->room(1000, 'live', '1', 'x' x 40_000) for 1 .. 4;
is(join(',', map { length $_->{body} } $_->pushes(4, 20)),
    join(',', (40_000) x 4), 'large ones') for @all;

# a room that empties while something waits
my $records = $c->node->metrics->{goim_comet_records_total};
$api->room(1000, 'live', '1', "last $_") for 1, 2;
eventually { $c->node->metrics->{goim_comet_records_total} == $records + 2 } 10,
    'two messages are there';
$_->close for @all;
eventually { $c->node->status->{sessions} == 1 } 10, 'its members leave';
my $new = $c->client(room => 'live://1');
$api->room(1000, 'live', '1', 'for who is new');
is($new->push(10)->{body}, 'for who is new', 'and it begins anew');

# a stop does not wait for what lingers
$api->room(1000, 'live', '1', 'and this');
is($c->node->stop, 0, 'nginx stops');

done_testing;
