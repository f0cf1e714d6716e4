# A healthy node that has just begun has nothing to complain of.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(workers => 2);
my $client = $c->client(key => 'k', accepts => [1000]);
$c->api->keys(1000, ['k'], 'hello');
is($client->push->{body}, 'hello', 'a message');

# and a while of reading without news
sleep 2;

my $count = $c->node->status->{counters};
is($count->{redis_errors}, 0, 'no error of Redis');
is($count->{logic_failed}, 0, 'no failed call to logic');

done_testing;
