# Names of Redis and logic, resolved by nginx's resolver at run time: a name
# that does not exist yet stops nothing, and is found when it comes.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Client;
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Redis;
use IO::Socket::INET;
use POSIX ();

# a DNS server that knows *.test as 127.0.0.1, once the file is there
my $dns = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
    or die "dns: $!\n";
my $dns_port = $dns->sockport;
my $known = folder('dns') . '/known';
my $pid = fork // die "fork: $!\n";

if (!$pid) {
    while (defined $dns->recv(my $query, 512)) {
        my ($id, $question) = unpack 'a2 x10 a*', $query;
        my $end = index($question, "\0") + 5;
        my $type = unpack 'n', substr $question, $end - 4, 2;
        my $name = -e $known;
        my $answer = $name && $type == 1
            ? pack('n n n N n a4', 0xc00c, 1, 1, 1, 4, "\x7f\0\0\1") : '';
        $dns->send($id . pack('n5', $name ? 0x8180 : 0x8183, 1,
            $answer ne '' ? 1 : 0, 0, 0) . substr($question, 0, $end)
            . $answer);
    }
    POSIX::_exit(0);
}

END { hit 'KILL', $pid if $pid }

my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr, bus => 'redis');
my $job = Goim::Job->new(redis => $redis->addr, bus => 'redis');
my ($redis_port) = $redis->addr =~ /:(\d+)$/;
my ($logic_port) = $logic->rpc_addr =~ /:(\d+)$/;

my $nginx = Goim::Nginx->new(redis => "redis.test:$redis_port",
    logic => "logic.test:$logic_port", goim => {
        resolver => "127.0.0.1:$dns_port valid=1s ipv6=off",
        resolver_timeout => '1s' });

eventually { $nginx->error_log =~ /"logic\.test" could not be resolved/ } 10,
    'a name that is not there is said';
is($nginx->status->{registered} ? 1 : 0, 0, 'and the node waits');

spew($known, '');
$nginx->wait_registered(20);

my $client = Goim::Client->new(port => $nginx->{port}, mid => 1,
    room => 'live://1');
is($logic->api->room(1000, 'live', '1', 'by name')->{code}, 0, 'accepted');
is($client->push->{body}, 'by name', 'arrives');

done_testing;
