# logic and job when no descriptors are left: who listens (HTTP, RPC) rests, says
# so, costs nothing meanwhile, and goes on when there are some; so do the
# connections to Redis and to the application.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::HTTP;
use Goim::Job;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;

allow_log(qr/accept\(\): Too many open files/);

my $app = Goim::App->new(sub { return (200, '{"key":"k"}', 1) });
my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 }, auth => { mode => 'http',
        url => $app->url('/auth', 'localhost') } });
my $job = Goim::Job->new(redis => $redis->addr);
Goim::RPC::ready($logic);

sub limit {
    my ($proc, $n) = @_;
    system('prlimit', '--pid', $proc->pid, "--nofile=$n:") == 0
        or die "prlimit: $?\n";
}

sub descriptors { return scalar(() = glob "/proc/$_[0]/fd/*") }

# seconds of CPU it has used
sub cpu {
    my @f = split ' ', slurp('/proc/' . $_[0]->pid . '/stat') =~ s/^.*\) //sr;
    return ($f[11] + $f[12]) / 100;
}

sub answers {
    my ($port) = @_;
    my $res = Goim::HTTP::get("http://127.0.0.1:$port/metrics",
        headers => { Connection => 'close' }, timeout => 2);
    return $res->{status} == 200;
}

for (['logic, HTTP', $logic, 'http_port'], ['logic, RPC', $logic, 'rpc_port'],
    ['job, HTTP', $job, 'http_port'])
{
    my ($name, $proc, $key) = @$_;
    my $port = $proc->{$key};

    # twice, as what helped once may have been used up by it
    for my $time (1, 2) {
        my $limit = descriptors($proc->pid) + 4;
        limit($proc, $limit);
        my @s = map { Goim::Socket->new(port => $port) } 1 .. 12;
        eventually { !grep { !-l '/proc/' . $proc->pid . "/fd/$_" }
            0 .. $limit - 1 } 10,
            "$name: none are left";

        my $before = cpu($proc);
        Time::HiRes::sleep(1);
        cmp_ok cpu($proc) - $before, '<', 0.5, "$name: no spinning";

        # there are some again; the same sockets are served
        limit($proc, 4096);
        if ($key eq 'http_port') {
            $_->write("GET /metrics HTTP/1.1\r\nHost: x\r\n"
                . "Connection: close\r\n\r\n") for @s;
            my $end = Time::HiRes::time() + 10 * slow();
            for my $s (@s) {
                1 while !$s->eof && $s->wait_read($end);
            }
            is scalar(grep { $_->{buf} =~ m{^HTTP/1.1 200 } } @s), 12,
                "$name: all of them are answered";
        } else {
            @s = ();
            my $rpc = eval { Goim::RPC->new($port) };
            is $rpc && $rpc->register->{code}, 0, "$name: a comet is heard";
        }
        ok eval { answers($proc->{http_port}) }, "$name: new ones too";
        ok $proc->alive, "$name: alive";
    }
    like $proc->logs, qr/accept\(\): Too many open files/, "$name: said";
}

# ---- what they connect to ----------------------------------------------------

my $rpc = Goim::RPC->new($logic->{rpc_port});

sub login {
    my ($n) = @_;
    return $rpc->call(connect => { session => $n, token => 'x' })->{code};
}

# what /metrics says, by a connection that was there before
my %kept = map { $_ => Goim::Socket->new(port => $_->{http_port}) }
    $logic, $job;

sub metric {
    my ($proc, $name) = @_;
    my $s = $kept{$proc};
    my $end = Time::HiRes::time() + 10 * slow();
    $s->{buf} = '';
    $s->write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    while (1) {
        my ($head, $body) = split /\r\n\r\n/, $s->{buf}, 2;
        last if defined $body && $head =~ /^Content-Length: (\d+)/m
            && length $body == $1;
        $s->wait_read($end) or die "no answer: $s->{buf}\n";
    }
    return $s->{buf} =~ /^\Q$name\E (\d+)$/m ? $1 : undef;
}

my %up = ($logic => 'goim_logic_redis_connections',
    $job => 'goim_job_redis_up');

metric($_, 'x') for $logic, $job;
is login(1), 0, 'a login';

# twice, as above; a limit of 3 takes nothing that is open
for my $time (1, 2) {
    limit($_, 3) for $logic, $job;
    is login(2), 1, 'the application is out of reach';
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

    for my $proc ($logic, $job) {
        eventually { metric($proc, $up{$proc}) == 0 } 10,
            "$proc->{name} has no Redis";
        my $before = cpu($proc);
        Time::HiRes::sleep(1);
        cmp_ok cpu($proc) - $before, '<', 0.5, 'and does not spin';
        ok $proc->alive, 'alive';
        eventually { $proc->logs =~ /redis \S+: .*out of resources/ } 10,
            'said';
    }
    is login(3), 1, 'nobody logs in';

    limit($_, 4096) for $logic, $job;
    eventually { metric($_, $up{$_}) == 1 } 10, "$_->{name} has Redis again"
        for $logic, $job;
    eventually { login(4) == 0 } 10, 'and the application';
}

done_testing;
