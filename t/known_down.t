# What is known to be away is said at once: a push that could only wait is
# answered with -500 and a reason, and has no effect. A short absence is ridden
# out, and what comes back is used.

# ASAN: no (Kafka, and waits)

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::HTTP;
use Goim::Kafka;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;

# the wait that is not to be: far above what an answer at once takes
my %conf = (logic => { threads => 1 }, push => { timeout => '40s' });

my $redis = Goim::Redis->new;
my $kafka = Goim::Kafka->new(partitions => 4);

sub timed {
    my ($sub) = @_;
    my $start = Time::HiRes::time();
    my $r = $sub->();
    return ($r, Time::HiRes::time() - $start);
}

# each kind of push is refused, soon and by name
sub refused {
    my ($api, $named, $name) = @_;
    for (['keys', sub { $api->keys(1, ['k'], 'lost') }],
        ['mids', sub { $api->mids(1, [1], 'lost') }],
        ['room', sub { $api->room(1, 'live', 1, 'lost') }],
        ['all', sub { $api->all(1, 'lost') }])
    {
        my ($r, $s) = timed($_->[1]);
        is_deeply [@$r{qw(http code)}], [200, -500], "$name, $_->[0]: -500";
        like $r->{message}, $named, 'what is away is named';
        cmp_ok $s, '<', 10, 'at once';
    }
}

# A push whose answer is not awaited
sub begun {
    my ($logic) = @_;
    my $s = Goim::Socket->new(port => $logic->{http_port});
    $s->write("POST /goim/push/room?operation=1&type=live&room=1 HTTP/1.1\r\n"
        . "Host: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlost");
    return $s;
}

sub ended {
    my ($s, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds * slow();
    while (!$s->eof) { $s->wait_read($end) or return 'no answer' }
    return $s->{buf} =~ /"code":(-?\d+)/ ? $1 : $s->{buf};
}

subtest 'Redis' => sub {
    my $logic = Goim::Logic->new(redis => $redis->addr, conf => \%conf);
    my $api = Goim::RPC::ready($logic)->api;
    my $good = sub { $api->room(1, 'live', 1, 'kept')->{code} };

    is $good->(), 0, 'a push';

    # a reconnect is no absence: whoever comes meanwhile waits for it
    my %code;
    for (1 .. 3) {
        $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
        $code{ $good->() }++ for 1 .. 5;
    }
    is $code{-500}, undef, 'a connection that is cut is not an absence';
    cmp_ok $code{0}, '>=', 12, 'pushes wait for the next one';

    $redis->stop;
    wait_for { $logic->health->{status} == 503 } 10, 'it is noticed';
    my $waits = begun($logic);
    is ended($waits, 15), -500, 'one that began before that was known';
    refused($api, qr/redis/, 'stopped');
    $redis->start;
    eventually { $good->() == 0 } 20, 'back again';

    my %seen;
    $seen{ $_->{msg} }++ for Goim::RPC::pushes($redis);
    is $seen{lost}, undef, 'what was refused is not written';
    $logic->stop;
};

subtest 'Kafka' => sub {
    my $logic = Goim::Logic->new(redis => $redis->addr, bus => 'kafka',
        kafka => $kafka->addr, conf => \%conf);
    my $api = Goim::RPC::ready($logic)->api;
    Goim::RPC->new($logic->{rpc_port})->call(connect => { session => 1,
        token => '{"mid":1,"key":"k"}' });
    is $api->room(1, 'live', 1, 'kept')->{code}, 0, 'a push';
    $kafka->kill9;
    wait_for { $logic->health->{status} == 503 } 20, 'it is noticed';
    wait_for {
        my ($r, $s) = timed(sub { Goim::HTTP::post($logic->api->{base}
            . '/goim/push/all?operation=1', content => 'lost',
            timeout => 2) });
        $r->{status} == 200;
    } 20, 'and known';
    refused($api, qr/kafka/, 'stopped');
    $kafka->start;
    eventually { $api->room(1, 'live', 1, 'kept')->{code} == 0 } 40,
        'back again';
    $logic->stop;
};

done_testing;
