# More workers than a zone has slots: those without one let nobody in, ask again,
# and serve as soon as leaving workers of before have gone.

# ASAN: no (nginx is preloaded with another clock)

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Clocks;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Socket;
use Goim::Test;

my $n = 128;        # two generations take all 256
my $clocks = Goim::Clocks->new('nginx');
$clocks->load;
my $c = Goim::Cluster->new(workers => $n, nginx => { connections => 64,
    tcp => 1 });
$clocks->unload;
my $node = $c->node;

sub refused { return scalar(() = $node->error_log =~ /worker slots of the zone/g) }

# the answer to an upgrade
sub upgrade {
    my $s = Goim::Socket->new(port => $node->{port});
    $s->write("GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    $s->wait_read(Time::HiRes::time() + 10 * slow());
    return $s->{buf} =~ /^HTTP\/1\.1 (\d+)/ ? $1 : '';
}

# by a connection of its own: one that is kept may be a stopped worker's
sub status {
    return Goim::HTTP::get("http://127.0.0.1:$node->{port}/goim/status",
        headers => { Connection => 'close' })->{json};
}

# Workers that stand still leave no sooner than they go on.
eventually { status()->{workers} == $n } 20, 'a slot each';
my @first = $node->workers;
hit STOP => @first;
$node->signal('HUP');
my %old = map { $_ => 1 } @first;
eventually { status()->{workers} == 2 * $n } 20, 'all slots are taken';
is(refused(), 0, 'nobody has none');
my @second = grep { !$old{$_} } $node->workers;
hit STOP => @second;

$node->signal('HUP');
%old = map { $_ => 1 } @first, @second;
eventually { refused() == $n } 20, 'the third generation has none, and says so';
like($node->error_log, qr/\[error\] .*all 256 worker slots of the zone are /,
    'as an error');
is(upgrade(), 503, 'nobody is let in');
my $tcp = Goim::Socket->new(port => $node->{tcp_port});
ok($tcp->wait_read(Time::HiRes::time() + 10 * slow()) && $tcp->eof,
    'nor over TCP');
is(status()->{workers}, 2 * $n, 'the status page is there');
my @third = grep { !$old{$_} } $node->workers;
is(scalar @third, $n, 'they wait');
Time::HiRes::sleep(1.5);
is(refused(), $n, 'and say it once a minute at most');
$clocks->ahead(nginx => 60);
eventually { refused() == 2 * $n } 20, 'again after a minute';
Time::HiRes::sleep(1.5);
is(refused(), 2 * $n, 'once');

# a fourth: who had no slot leaves without one
$node->signal('HUP');
wait_for { !grep { Goim::Proc::running($_) } @third } 20, 'the third leaves';
eventually { refused() == 3 * $n } 20, 'the fourth waits';
is(status()->{workers}, 2 * $n, 'nobody of them took a slot');

hit CONT => @second;
eventually { upgrade() eq '101' } 20, 'as soon as others have gone they serve';
eventually { my $st = status();
    $st->{workers} == 2 * $n && $st->{sessions} == 0 } 20, 'each has a slot';
my @clients = map { $c->client(accepts => [1000], room => 'live://1') } 1 .. 20;
$c->api->room(1000, 'live', '1', 'hello');
is((grep { my $p = $_->push(10); $p && $p->{body} eq 'hello' } @clients) + 0, 20,
    'all of them get what is sent');
$_->close for @clients;

hit CONT => @first;
eventually { status()->{workers} == $n } 20, 'one generation is left';
$node->stop;
eventually { !grep { Goim::Proc::running($_) } @first, @second, @third } 20,
    'nobody stays';

done_testing;
