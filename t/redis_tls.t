# TLS to Redis from nginx, logic and job: everything that crosses it arrives,
# whatever the size and wherever its records are cut; it comes back by itself, and
# certificates change without a restart. (What goes wrong: redis_tls_faults.t.)

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Proxy;
use Goim::TLS;
use Goim::Test;

my $ca = Goim::TLS->new('one');
my ($cert, $key) = $ca->cert('redis', ips => ['127.0.0.1'],
    names => ['redis.test']);
my $dir = folder('own');
my @own = ("$dir/ca.pem", "$dir/own.pem", "$dir/own.key");

# what all three show and trust, from this authority on
sub own {
    my ($ca) = @_;
    my @from = ($ca->file, $ca->cert('goim'));
    spew($own[$_], slurp($from[$_])) for 0 .. 2;
}

sub conf {
    my (%over) = @_;
    return { redis => { tls => 'on', ca_file => $own[0],
        cert_file => $own[1], key_file => $own[2], %over } };
}

sub directive {
    return "tls ca_file=$own[0] cert_file=$own[1] key_file=$own[2] @_";
}

own($ca);

my $redis = Goim::Redis->new(tls => { ca => $ca->file, cert => $cert,
    key => $key });
my $c = Goim::Cluster->new(redis => $redis, logic => { conf => conf() },
    job => { conf => { %{ conf() }, history => { live => '300 10m' } } },
    nginx => { redis => $redis->addr . ' ' . directive() });
my $api = $c->api;

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

my $client = $c->client(mid => 7, key => 'one', room => 'live://1',
    accepts => [1000]);

# so many of these at least, among what came since the last time: what was not
# answered is posted again, and may have been accepted
sub arrive {
    my ($body, $many, $name) = @_;
    eventually { $client->pump; $many <= grep { $_->{body} eq $body }
        @{ $client->{pushes} } } 30, $name;
    $client->{pushes} = [];
}

sub delivered {
    my ($name, $to) = @_;
    eventually { (($to || $api)->room(1000, 'live', 2, $name)->{code} // 1)
        == 0 } 20, "$name: accepted";
    arrive($name, 1, "$name: arrives");
}

# all connections to Redis there are, anew
sub cut { return $redis->cmd(qw(CLIENT KILL TYPE normal SKIPME yes)) }

my @tls = grep { /addr=\S+ laddr=\S+:$redis->{tls_port} / }
    split /\n/, $redis->cmd(qw(CLIENT LIST));
ok @tls >= 4, 'the product speaks TLS alone: ' . @tls . ' connections';
is scalar(grep { /laddr=\S+:$redis->{port} / }
    split /\n/, $redis->cmd(qw(CLIENT LIST))), 1, 'the other one is this test';

# ---- sizes -------------------------------------------------------------------

is $api->keys(1000, ['one'], 'to a key')->{code}, 0, 'to a key';
is $client->push->{body}, 'to a key', 'arrives';

# the longest message; then as many as one answer to nginx holds, and a page
my $long = join '', map { chr 33 + $_ % 90 } 1 .. 512 * 1024;
is $api->room(1000, 'live', 1, $long)->{code}, 0, 'a long one';
is $client->push(20)->{body} eq $long, 1, 'arrives whole';

my @parts = map { "$_ " . 'x' x 130_000 } 1 .. 30;
is scalar(grep { $api->room(1000, 'live', 1, $_)->{code} } @parts), 0,
    'many that are long';
is_deeply [map { $_->{body} } $client->pushes(30, 20)], \@parts,
    'all of them arrive, in order';

sub seq {
    my ($room) = @_;
    return $api->get('/goim/room/position', type => 'live', room => $room)
        ->{data}{seq};
}

eventually { seq(1) == 31 } 20, 'each has its number';
my $page = $api->get('/goim/room/history', type => 'live', room => 1,
    after => 1, limit => 100)->{data};
ok @{ $page->{items} } >= 1, 'a page of it: ' . @{ $page->{items} };
is $client->change_room('live://2')->{body}, 'live://2', 'another room';

# ---- cut anywhere, and held up -----------------------------------------------

# what crosses these goes byte by byte now and then, each record in pieces
for my $kind (qw(bits unix)) {
    my $proxy = Goim::Proxy->new(to => $redis->{tls_port},
        $kind eq 'bits' ? (bits => 9000) : (unix => 1));
    my %conf = (conf => conf(addr => $proxy->addr, timeout => '20s',
        server_name => 'redis.test'));
    my $logic = Goim::Logic->new(%conf);
    my $job = Goim::Job->new(conf => { %{ $conf{conf} },
        history => { live => '300 10m' } });

    $c->job->stop;
    eventually { $logic->health->{status} == 200
        && $job->health->{status} == 200 } 20, "$kind: both are there";

    delivered("$kind, small", $logic->api);
    my $many = 4;

    if ($kind eq 'unix') {
        $proxy->pause;
        $many = 1;
    }

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        $logic->api->room(1000, 'live', 2, $long) for 1 .. $many;
        require POSIX;
        POSIX::_exit(0);
    }

    if ($kind eq 'unix') {

        # it has taken what it takes, and most of it waits
        select undef, undef, undef, 0.5;
        $proxy->resume;
    }

    arrive($long, $many, "$kind: long ones arrive whole");
    waitpid $pid, 0;
    $_->stop for $logic, $job;
    $c->job->start;
}

# nginx reads through one too
{
    my $proxy = Goim::Proxy->new(to => $redis->{tls_port}, bits => 9000);
    my $node = Goim::Nginx->new(server_id => 'comet-2', logic =>
        $c->logic->rpc_addr, redis => $proxy->addr . ' ' . directive());
    $node->wait_registered;
    my $other = Goim::Client->new(port => $node->{port}, mid => 8,
        room => 'live://2', accepts => [1000]);

    is $api->room(1000, 'live', 2, $long)->{code}, 0, 'bits to nginx';
    is $other->push(30)->{body} eq $long, 1, 'arrive whole';
    arrive($long, 1, 'at the other node too');
    $node->stop;
}

# ---- it is lost and comes back -----------------------------------------------

delivered('before');
cut();
delivered('cut off');
$redis->restart(kill => 1);
delivered('killed');
$redis->restart;
delivered('restarted');

# ---- certificates change -----------------------------------------------------

# what can't be used is refused, and what was there goes on
spew($own[2], "no key\n");
$_->signal('HUP') for $c->logic, $c->job;
for my $service ($c->logic, $c->job) {
    eventually { $service->logs =~ /\[error\].*\[redis\] key_file = "\Q$own[2]\E"/
        && $service->logs =~ /holds no key .*; what was read before stays/ }
        10, "a wrong key: $service->{name}";
}
cut();
delivered('as before');

# to another authority: theirs first, then that of Redis
my $two = Goim::TLS->new('two');
my ($cert2, $key2) = $two->cert('redis', ips => ['127.0.0.1']);

own($two);
$_->signal('HUP') for $c->logic, $c->job;
eventually { $_->logs =~ /\[redis\] files of TLS read again/ } 10,
    "read again: $_->{name}" for $c->logic, $c->job;
$c->node->reload;

$redis->cmd('CONFIG', 'SET', 'tls-ca-cert-file', $two->file,
    'tls-cert-file', $cert2, 'tls-key-file', $key2);
cut();
delivered('another authority');

done_testing;
