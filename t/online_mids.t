# GET /goim/online/mids: the devices of users, their nodes, since when.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my %registry = (conf => { registry => { ttl => '3s', renew => '500ms' } });
my $c = Goim::Cluster->new(nodes => 2, workers => 1,
    logic => { %registry }, job => { %registry });
my ($redis, $api) = ($c->redis, $c->api);

# "key server" of each device of the users, as soon as they are $want
sub shows {
    my ($mids, $want, $name) = @_;
    my $got;
    eventually {
        my $r = $api->online_mids($mids);
        $got = $r->{data} && [map { my $u = $_; map { "$u->{mid} $_->{key} "
            . $_->{server} } @{ $u->{devices} } } @{ $r->{data} }];
        $got && "@$got" eq "@$want";
    } 20, $name or diag explain $got;
}

my ($where, $there) = qw(comet-1 comet-2);

my $before = time;
my $one = $c->client(node => 0, mid => 7, key => 'phone');
my $two = $c->client(node => 1, mid => 7, key => 'desk "1"');
my $other = $c->client(node => 1, mid => 8, key => 'k8');

shows([8, 9, 7], ["8 k8 $there", qq(7 desk "1" $there), "7 phone $where"],
    'devices of users, in the order asked for');

my $r = $api->online_mids([9, 7]);
is_deeply $r->{data}[0], { mid => 9, devices => [] }, 'nobody: none';
for my $d (@{ $r->{data}[1]{devices} }) {
    is join(' ', sort keys %$d), 'key server since', 'what is said of one';
    ok $d->{since} > ($before - 5) * 1000 && $d->{since} < (time + 5) * 1000,
        'since when';
}

# ---- what is asked for wrongly -------------------------------------------------

for (['', 'none'], ['mids=x', 'no number'], ['mids=0', '0'],
    ['mids=-1', 'negative'], ['mids=9223372036854775808', 'too large'],
    [join('&', map { "mids=$_" } 1 .. 101), 'too many'])
{
    my ($query, $name) = @$_;
    my $res = $c->logic->get("/goim/online/mids?$query");
    is "$res->{status} $res->{json}{code}", '400 -400', "$name: refused";
}
is scalar @{ $api->online_mids([1 .. 100])->{data} }, 100, '100 are taken';

# ---- sessions end, move, and are lost --------------------------------------------

$one->close;
shows([7], [qq(7 desk "1" $there)], 'one that has ended is not there');

my $taken = $c->client(node => 0, mid => 8, key => 'desk "1"');
shows([7, 8], [qq(8 desk "1" $where), "8 k8 $there"],
    'a key that another user has taken is his');

# keys of other types are passed over
$redis->cmd('SET', 'mid_10', 'x');
$redis->cmd('HSET', 'mid_11', 'odd', 'x');
$redis->cmd('SET', 'sess_odd', 'x');
$redis->cmd('HSET', 'mid_11', 'odder', 'x');
$redis->cmd('HSET', 'sess_odder', 'holder', 'nowhere', 'mid', 11);
shows([10, 11], [], 'what is no session is none');

eventually {
    $redis->cmd('HSET', 'goim:life', 'whole', 0);
    my $said = $api->online_mids([9]);
    "$said->{code} $said->{message}" =~ /^-500 restoring/;
} 20, 'nobody is called offline while sessions are restored';
$redis->cmd('HSET', 'goim:life', 'whole', 1);

allow_log(qr/\[alert\].*exited on signal 9/);
my @workers = $c->node(1)->workers;
$c->node(1)->kill9;
hit 'KILL', @workers;
shows([8], [qq(8 desk "1" $where)], 'a dead node has none, after its ttl');

# more devices of a user than are named
$redis->cmd('EVAL', 'for i = 1, 1500 do local k = "d" .. i '
    . 'redis.call("HSET", "mid_12", k, ARGV[1]) '
    . 'redis.call("HSET", "sess_" .. k, "holder", ARGV[2], "mid", 12, '
    . '"at", 5) end', 0, $where,
    $redis->cmd('HGET', 'sess_desk "1"', 'holder'));
is scalar @{ $api->online_mids([12])->{data}[0]{devices} }, 1000,
    'a thousand devices are named';

$redis->stop;
eventually { ($api->online_mids([8])->{code} // 0) == -500 } 20,
    'Redis is away: it is said so';

done_testing;
