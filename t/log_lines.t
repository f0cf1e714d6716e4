# What logic and job say: printable ASCII, an event a line, whatever comes from
# nodes, the application, the bus and Redis; what is quoted ends at its quote.

use strict;
use warnings;

use lib 't/lib';
use Goim::App;
use Goim::Bus;
use Goim::HTTP;
use Goim::Job;
use Goim::Kafka;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $evil = qq(a"\r\n2026/11/26 00:00:00 [notice] 1: "forged\\" \x1b[31m)
    . "\x7f\xc2\x85\xe2\x80\xa8";
my $shown = 'a\x22\x0D\x0A2026/11/26 00:00:00 [notice] 1: \x22forged\x5C\x22 '
    . '\x1B[31m\x7F\xC2\x85\xE2\x80\xA8';

# the same, where no blank may be, and as long as a name may be
my $name = $evil =~ s/[\x00-\x20\x7f]//gr;
my $name_shown = $shown =~ s/(?:\\x(?:0D|0A|1B|7F)| )//gr;

my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return $body =~ /status/ ? \"HTTP/1.1 $evil\r\n\r\n"
        : $body =~ /header/ ? \"HTTP/1.1 200 OK\r\n$evil\r\n\r\n"
        : $body =~ /500/ ? (500, $evil)
        : (200, $evil);
});
my $redis = Goim::Redis->new;

# an entry of the registry that nobody understands
$redis->cmd('HSET', 'goim:nodes', $evil, $evil);
$redis->cmd('INCR', 'goim:nodes:version');

my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { log_level => 'debug', threads => 1 },
    auth => { mode => 'http', url => $app->url('/auth') },
    receive => { url => $app->url('/receive') } });
my $job = Goim::Job->new(redis => $redis->addr,
    conf => { job => { log_level => 'debug' } });
Goim::RPC::ready($logic);

# the lines, without those of librdkafka
sub lines { return grep { !/: kafka: / } split /\n/, $_[0]->logs }

sub says {
    my ($service, $text, $what) = @_;
    eventually { grep { index($_, $text) >= 0 } lines($service) } 20,
        "$service->{name}: $what";
}

# ---- of nodes ----------------------------------------------------------------

subtest 'names and texts of nodes' => sub {
    my $rpc = Goim::RPC->new($logic->{rpc_port}, hello => 0,
        server => $name);
    $rpc->call(hello => { version => $evil });
    says($logic, qq(comet "$name_shown" zone a1 version $shown), 'Hello');

    my %of = (instance => $evil, read => '0-0');
    is $rpc->call(register => \%of)->{code}, 0, 'a node registers';
    says($job, qq(node "$name_shown": taken into the fan-out), 'a node');
    my $other = Goim::RPC->new($logic->{rpc_port}, server => $name,
        zone => 'other');
    is $other->call(register => { %of, instance => "$evil/2" })->{code}, 3,
        'another one does not';
    says($logic, qq("$name_shown" refused to instance "$shown/2": )
        . qq("$shown" has it), 'whose the name is');
    is $rpc->call(register => { %of, redis_run_id => $evil })->{code}, 3,
        'nor one with another Redis';
    says($logic, qq("$name_shown" refused: the node has Redis with run_id )
        . substr($shown, 0, 64), 'which');

    $rpc->send_raw(Goim::RPC::frame("\xff$evil"));
    ok $rpc->closed, 'what is no call ends the link';
    says($logic, qq("$name_shown": a frame is no call), 'of whom');
};

# ---- of Redis and the bus ----------------------------------------------------

subtest 'the registry and the bus' => sub {
    says($_, qq(registry: broken entry "$shown" skipped), 'an entry')
        for $logic, $job;

    Goim::Bus->new(redis => $redis)->write(0, { type => 'PUSH',
        server => $evil, keys => ['k'], msg => 'hello' });
    says($job, qq(node "$shown" is not registered), 'a record');
};

subtest 'the bus on Kafka' => sub {
    my $kafka = Goim::Kafka->new;
    my $second = Goim::Job->new(redis => $redis->addr, bus => 'kafka',
        kafka => $kafka->addr);
    Goim::Bus->new(kafka => $kafka)->write(0, { type => 'PUSH',
        server => $evil, keys => ['k'], msg => 'hello' });
    says($second, qq(node "$shown" is not registered), 'a record');
    is_deeply [grep { !/^[\x20-\x7e]+$/ } split /\n/, $second->logs], [],
        'all of it is printable';
};

# ---- of the application and of backends --------------------------------------

subtest 'answers of the application, requests of backends' => sub {
    my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'c');
    for my $kind (qw(status header 500 body)) {
        isnt $rpc->call(connect => { session => 1, token => $kind })->{code},
            0, "no login: $kind";
        isnt $rpc->call(receive => { operation => 1, key => 'k',
            body => $kind })
            ->{code}, 0, "nor a reply: $kind" if $kind ne 'body';
    }
    says($logic, 'auth: the application', 'that it is no answer');
    says($logic, 'receive: the application', 'twice');

    for my $service ($logic, $job) {
        for my $path ('/goim/push/mids?operation=1&mids=', '/none?',
            '/goim/nodes/offline?server=')
        {
            Goim::HTTP::request(POST => "http://127.0.0.1:$service->{http_port}$path" . join('', map {
                sprintf '%%%02X', ord } split //, $evil), content => $evil);
        }
    }
};

# ---- all ---------------------------------------------------------------------

for my $service ($logic, $job) {
    my @lines = lines($service);
    is_deeply [grep { !m{^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+: } }
        @lines], [], "$service->{name}: each line is a line";
    is_deeply [grep { !/^[\x20-\x7e]+$/ } @lines], [], 'and printable';
    my $pid = $service->pid;
    is_deeply [grep { !/ \[\w+\] $pid: / } @lines], [], 'and its own';
    is_deeply [grep { /"forged/ } @lines], [], 'no value ends early';
}

done_testing;
