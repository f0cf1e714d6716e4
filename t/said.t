# What the node says: nothing that clients send makes a line of its own, who
# was in time is not told otherwise, and a worker that has left counts for
# nothing.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::App;
use Goim::Cluster;
use Goim::Socket;
use Goim::Test;

my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return (200, '{"mid":1,"key":"' . "k\\n2026/11/25 18:00:00 [notice] forged"
        . '","accepts":[1000]}') if $body =~ /forge/;
    sleep 3 if $body =~ /late/;
    return (200, '{"mid":2,"key":"late"}') if $body =~ /late/;
    return (500, "no\n2026/11/25 18:00:00 [notice] forged");
});
my $c = Goim::Cluster->new(workers => 1,
    logic => { conf => { auth => { mode => 'http', url => $app->url('/auth'),
        timeout => '8s' }, receive => { url => $app->url('/receive') } } },
    nginx => { log_level => 'info',
        server => 'location = /slowfile { limit_rate 1k; }',
        goim => { handshake_timeout => '1s',
            logic_timeout => '10s' } });
my $node = $c->node;

# ---- a key with a line in it ----

my $client = $c->client(token => 'forge');
$client->call(4, 'hello');
$client->close;
eventually { $node->error_log =~ /key: "k\\x0A2026/ } 5, 'a key is escaped';
my @logs = map { slurp($_) } $node->{dir} . '/error.log',
    glob($c->logic->{dir} . '/*.log'), glob($c->job->{dir} . '/*.log');
is(scalar(grep { /^2026\S+ \S+ \[notice\] forged/m } @logs), 0,
    'and makes no line anywhere');

# ---- a slow login ----

my $late = $c->client(auth => 0);
$late->send(7, 'late');
is($late->reply(8)->{op}, 8, 'who sent auth in time is let in, late');
is($node->status->{counters}{handshake_timeouts}, 0, 'and in time');

my $never = $c->client(auth => 0);
is($never->closed(8), 1008, 'who sends none is not');
is($node->status->{counters}{handshake_timeouts}, 1, 'and counted');

$late->close;
$_->drop for $never, $late, $client;
wait_for { $node->status->{sessions} == 0 } 20, 'nobody is there';

# ---- a worker that has left, and still has something else to do ----

spew("$node->{dir}/html/slowfile", 'z' x 1_000_000);
my $get = Goim::Socket->new(port => $node->{port});
$get->write("GET /slowfile HTTP/1.1\r\nHost: x\r\n\r\n");
$get->wait_read(Time::HiRes::time() + 5);
like($get->{buf}, qr/^HTTP\/1.1 200/, 'a file that takes its time');
$node->reload;
wait_for { $node->status->{draining} == 1 } 10, 'an old worker is there';
wait_for { $node->status->{reader_connected} } 10, 'and a new one reads';

# its clients have gone: soon it follows no more
Time::HiRes::sleep(1.5);

my $new = $c->client(token => 'forge');
my $key = "k\n2026/11/25 18:00:00 [notice] forged";
$c->api->keys(1000, [$key], 'x' x 10_000) for 1 .. 20;
is(scalar $new->pushes(20, 10), 20, 'messages come');
is($node->status->{draining}, 1, 'it is there yet');
eventually { $node->status->{ring_lag} == 0 } 5, 'but does not lag';
$get->drop;

done_testing;
