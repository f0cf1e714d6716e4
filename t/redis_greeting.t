# What a node says to Redis first: which password, which db; and that it says
# why Redis does not want it.

use strict;
use warnings;

use lib 't/lib';
use Goim::Nginx;
use Goim::Redis;
use Goim::Test;

my $redis = Goim::Redis->new;
$redis->cmd(qw(CONFIG SET requirepass secret));

sub node {
    my ($parameters, $said, $name) = @_;
    my $node = Goim::Nginx->new(workers => 1,
        redis => $redis->addr . " $parameters", logic => '127.0.0.1:1');
    eventually { $node->error_log =~ $said } 10, $name;
    is $node->status->{counters}{redis_connects} > 0, 1, 'it was connected';
    $node->stop;
}

my $in = qr/redis "\S+": connected to/;

node('password=secret', $in, 'a password');
node('user=default password=secret', $in, 'of a user');
node('password=secret db=3', $in, 'and a db');
node('', qr/redis "\S+": not ready: "NOAUTH /, 'none, though one is needed');
node('password=wrong', qr/not ready: "WRONGPASS /, 'a wrong one');
node('password=secret db=99', qr/not ready: "ERR DB index /, 'a wrong db');

done_testing;
