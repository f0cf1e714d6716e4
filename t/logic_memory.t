# What a peak of calls took from the system goes back to it.

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Logic;
use Goim::Proto qw(proto_encode);
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $n = 12_000;
my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr,
    conf => { logic => { threads => 2 } });
Goim::RPC::ready($logic);

# kB now, or at most so far
sub memory {
    my ($which) = @_;
    my ($kb) = slurp('/proc/' . $logic->pid . '/status')
        =~ /^$which:\s+(\d+)/m;
    return $kb;
}

my $before = memory('VmRSS');
my @comets = map { Goim::RPC->new($logic->{rpc_port}, server => 'c',
    zone => "z$_") } 1 .. 6;

# logins that wait for a Redis which does not answer
$redis->pause;
for my $comet (@comets) {
    $comet->send_raw(join '', map { Goim::RPC::frame(proto_encode('Call',
        { id => $_, connect => { server => 'c', zone => $comet->{zone},
        session => $_, token => '{"mid":1}' } })) } 1 .. $n);
}
is scalar(grep { $_->reply($n, 30)->{code} } @comets), 6, 'they fail';
$redis->resume;

my $peak = memory('VmHWM');
cmp_ok $peak, '>', $before + 100_000, 'they took much';
eventually { memory('VmRSS') < $before + 40_000 } 20, 'it is given back';

done_testing;
