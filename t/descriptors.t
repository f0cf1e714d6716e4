# logic's HTTP API and RPC, and job's HTTP, when no descriptors are left: each
# rests, says so, costs nothing meanwhile, and goes on when there are some.

use strict;
use warnings;

use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::HTTP;
use Goim::Job;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Socket;

allow_log(qr/accept\(\): Too many open files/);

my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 } });
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

done_testing;
