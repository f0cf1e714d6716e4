# Mappings live as long as their sessions: a renewal that failed is made again
# soon, also when Redis, the way to it, or logic was away.

# ASAN: no

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

# renewed after 3 to 6 s, at the latest with the heartbeat after that; lost
# after 15
my $c = Goim::Cluster->new(workers => 2, logic => { conf => { session =>
    { ttl => '15s', heartbeat => '6s', heartbeat_max => 1 } } });
my ($redis, $logic, $api) = ($c->redis, $c->logic, $c->api);
my $n = 60;
my @clients = map { $c->client(mid => $_, key => "k$_", accepts => [1000]) }
    1 .. $n;

sub beat {
    $_->send(2, '') for @clients;
    $_->pump for @clients;
    $_->{replies} = [] for @clients;
}

sub lost { return $n - $redis->cmd('EXISTS', map { "key_k$_" } 1 .. $n) }
sub metric { return $logic->metrics->{"goim_logic_$_[0]_total"} }

# heartbeats until $end seconds have passed; the most that were lost at a time
sub while_for {
    my ($end, $look) = @_;
    my ($start, $most) = (Time::HiRes::time(), 0);
    while (Time::HiRes::time() - $start < $end) {
        beat();
        my $l = $look ? lost() : 0;
        $most = $l if $l > $most;
        Time::HiRes::sleep(0.2);
    }
    return $most;
}

is while_for(3, 1), 0, 'all are stored';

# most renewals fall into this, and none is carried out
$redis->pause;
while_for(4.5, 0);
$redis->resume;
is while_for(8, 1), 0, 'Redis was away: nobody is lost';
cmp_ok metric('rpc_failed'), '>', 0, 'though renewals failed';

is $api->keys(1000, [map { "k$_" } 1 .. $n], 'hello')->{code}, 0, 'a push';
is scalar(grep { ($_->push || { body => '' })->{body} eq 'hello' } @clients),
    $n, 'reaches all';

# renewals are asked for while there is no logic
my $before = metric('heartbeats');
$logic->stop;
while_for(3, 0);
$logic->start;
eventually { beat(); metric('heartbeats') >= $n } 20,
    'logic was away: all are renewed then';
is lost(), 0, 'nobody is lost';
cmp_ok metric('rpc_calls'), '<', $n, 'many a call';
is metric('restored'), 0, 'none had to be restored';

# longer than the reader waits for an answer
my @workers = sort $c->node->workers;
$redis->pause;
eventually { beat(); !$c->node->status->{reader_connected} } 20,
    'the reader gives a Redis up that hangs';
$redis->resume;
eventually { beat(); $c->node->status->{reader_connected} } 20,
    'and comes back to it';
is join(' ', sort $c->node->workers), "@workers", 'all workers live';

done_testing;
