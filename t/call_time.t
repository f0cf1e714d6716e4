# LONG
#
# A call to logic has its time from when it is sent: what it waits before, as
# the socket takes no more, does not count, and is bounded by itself.

# ASAN: no

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::App;
use Goim::Cluster;
use Goim::Proxy;
use Goim::Test;

my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    sleep 4 if $body =~ /slow/;
    return (200, qq({"key":"$1"})) if $body =~ /(key-\w+)/;
    return (403, '');
});

my $c = Goim::Cluster->new(workers => 1,
    logic => { conf => { logic => { threads => 1 }, auth => { mode => 'http',
        url => $app->url('/auth'), timeout => '10s' } } },
    nginx => { http => 'large_client_header_buffers 4 64k;',
        goim => { handshake_timeout => '60s', logic_timeout => '6s' } });
my ($node, $logic) = ($c->node, $c->logic);

# what this takes while it stands still is little
my $proxy = Goim::Proxy->new(to => $logic->{rpc_port}, unix => 1);
$node->configure(logic => [$proxy->addr]);
$node->reload;
wait_for { $node->status->{draining} == 0 } 20, 'one generation';
$node->wait_registered;

sub calls { return $node->status->{counters}{logic_calls} }

# stopped, whatever it was doing
sub stop {
    $proxy->pause;
    wait_for { slurp('/proc/' . $proxy->pid . '/stat') =~ /\) T / } 10,
        'it stands still';
}

# a login whose call to logic is on its way, or waits
sub login {
    my ($key, $cookie) = @_;
    my $before = calls();
    my $client = $c->client(auth => 0,
        headers => [Cookie => 'c=' . 'x' x $cookie]);
    $client->send(7, $key);
    wait_for { calls() > $before } 10, "$key: a call";
    return $client;
}

sub in { return ($_[0]->reply(15) || { op => 0 })->{op} }

subtest 'what waits for the socket is not late' => sub {
    stop();
    my $start = Time::HiRes::time();
    my @first = map { login("key-f$_", 60_000) } 1 .. 20;
    my $gone = login('key-gone', 10);
    my $last = login('key-slow', 10);
    $gone->drop;

    # the last one has not been sent for 3 seconds, then takes 4: that is
    # more than it has, but not since it was sent
    my $left = 3 - (Time::HiRes::time() - $start);
    Time::HiRes::sleep($left) if $left > 0;
    $proxy->resume;

    is in($last), 8, 'who waited longest is in';
    is scalar(grep { in($_) == 8 } @first), 20, 'and all before';

    # on a busy machine the node's own may have had their time, too
    cmp_ok $node->status->{counters}{logic_failed}, '>=', 1,
        'a call was not made';
    is scalar(grep { $_->{body} =~ /gone/ } $app->seen), 0,
        'of a client that had gone';
    is $logic->metrics->{goim_logic_late_total}, 0, 'none came late';
    $_->drop for @first, $last;
};

subtest 'nor does it wait for ever' => sub {
    stop();
    my @all = map { login("key-n$_", 60_000) } 1 .. 20;
    is scalar(grep { ($_->closed(15) || 0) == 1013 } @all), 20,
        'they are told to come again';
    $proxy->resume;
    eventually {
        my $client = $c->client(auth => 0);
        $client->send(7, 'key-new');
        in($client) == 8;
    } 20, 'who comes then is in';
    cmp_ok scalar(grep { $_->{body} =~ /-n\d/ } $app->seen), '<', 20,
        'and what waited in vain was never sent';
};

done_testing;
