# ASAN: no (it is about waiting)
#
# An application that has been taken over, or is broken: it answers logins and
# packets never, a byte at a time for ever, without end, or with what is no
# answer. Each call ends in its time, nobody gets in, nothing grows, and who does
# not need it is served.

use strict;
use warnings;

use IO::Socket::INET ();
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

# what it does, by the body of the request: what comes first, then for ever
my $ok = "HTTP/1.1 200 OK\r\n";
my $chunk = "10000\r\n" . 'x' x 65536 . "\r\n";
my %does = (
    never => ['', ''],
    'half a line' => ['HTTP/1.1 2', ''],
    'a head for ever' => [$ok, 'X'],
    'headers for ever' => [$ok, "X: y\r\n"],
    'a large head' => [$ok, 'X' x 65536],
    'early hints for ever' => ['', "HTTP/1.1 103 Early Hints\r\n\r\n"],
    'half a body' => ["${ok}Content-Length: 99\r\n\r\n{\"mid\":7", ''],
    'a body for ever' => ["${ok}Content-Length: 9999\r\n\r\n", ' '],
    'a large body' => ["${ok}Content-Length: 9999999999\r\n\r\n",
        'x' x 65536],
    'a body without end' => ["${ok}\r\n", '{"mid":7}' x 7000],
    'chunks for ever' => ["${ok}Transfer-Encoding: chunked\r\n\r\n",
        "1\r\n \r\n"],
    'chunks without end' => ["${ok}Transfer-Encoding: chunked\r\n\r\n",
        $chunk],
    'a chunk of 2^64' => ["${ok}Transfer-Encoding: chunked\r\n\r\n"
        . "ffffffffffffffff\r\n", 'x' x 65536],
    'a negative length' => ["${ok}Content-Length: -1\r\n\r\n{\"mid\":7}", ''],
    'two lengths' => ["${ok}Content-Length: 9\r\nContent-Length: 400\r\n\r\n"
        . '{"mid":7}', ''],
    'no HTTP' => ["SSH-2.0-OpenSSH_9.2\r\n", ''],
    'a gzip bomb' => ["${ok}Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
        "\0" x 65536],
    'deep JSON' => ["${ok}Connection: close\r\nContent-Length: 60000\r\n\r\n"
        . '[' x 60000, ''],
    'what another process of its kind says' => ["HTTP/2 200\r\n\r\n", ''],
);

sub application {
    my $listen = IO::Socket::INET->new(Listen => 128,
        LocalAddr => '127.0.0.1') or die "listen: $@";
    my $port = $listen->sockport;

    my $pid = fork // die "fork: $!";
    return ($pid, "http://127.0.0.1:$port/") if $pid;

    $SIG{$_} = 'DEFAULT' for qw(TERM INT ALRM);
    $SIG{PIPE} = 'IGNORE';
    alarm 120;
    my @conn;
    $listen->blocking(0);
    while (1) {
        while (my $s = $listen->accept) {
            $s->blocking(0);
            push @conn, { s => $s, buf => '' };
        }
        @conn = grep {
            my $alive = 1;
            my $n = sysread $_->{s}, $_->{buf}, 65536, length $_->{buf};
            $alive = 0 if defined $n && $n == 0;
            if (!$_->{does} && $_->{buf} =~ /\r\n\r\n(.+)/s && $does{$1}) {
                $_->{does} = $does{$1};
                syswrite $_->{s}, $_->{does}[0];
            } elsif ($_->{does} && length $_->{does}[1]) {
                syswrite $_->{s}, $_->{does}[1];
            }
            $alive;
        } @conn;
        sleep 0.02;
    }
}

my ($pid, $url) = application();
my $redis = Goim::Redis->new;
my $time = slow();
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 1 },
    auth => { mode => 'http', url => "${url}auth", timeout => "${time}s",
        connections => 32 },
    receive => { url => "${url}receive", timeout => "${time}s" } });
Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});

sub memory {
    return slurp('/proc/' . $logic->pid . '/status') =~ /^VmHWM:\s+(\d+)/m
        ? $1 : die;
}

my $before = memory();

for my $round (1, 2) {
    my $start = time;
    my (%login, %packet);
    my $session = 0;

    for my $what (sort keys %does) {
        $login{$what} = $rpc->send(connect => { session => ++$session,
            token => $what });
        $packet{$what} = $rpc->send(receive => { operation => 4, key => 'k',
            body => $what });
    }

    # meanwhile: what does not need it
    is $logic->health->{status}, 200, 'logic is well';
    is $logic->api->all(1000, 'hello')->{code}, 0, 'pushes are taken';

    for my $what (sort keys %does) {
        is $rpc->reply($login{$what})->{code}, 1, "$what: no login, for now";
        my $r = $rpc->reply($packet{$what});
        ok $r, "$what: a packet ends, too";
        isnt $r->{code}, 0, "$what: without an answer"
            if $what !~ /JSON/;
    }
    cmp_ok time - $start, '<', 10 * $time, 'in time, all of them';
}

cmp_ok memory() - $before, '<', 50_000, 'little was kept of it';
is $redis->cmd('KEYS', 'sess_*')->[0], undef, 'nobody is in';
is $logic->stop, 0, 'it stops as ever';

hit TERM => $pid;
waitpid $pid, 0;
done_testing;
