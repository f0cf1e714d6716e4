#!/usr/bin/perl
# What a login costs each process: microseconds of CPU, user and system, from the
# handshake to the answer, for each way in which it may be decided who a client is.
#
#     perl bench/login.pl [--count 1600] [--rounds 5] [--ways trust,ES256,http]
#
# Each login is a connection of its own (WebSocket), of another user (with tokens of
# one of 200), which stays until its round ends. Without --ways: trust, jwt by each algorithm, and http with
# an nginx as the application, which answers at once.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Client;
use Goim::Cluster;
use Goim::JWT;
use Goim::Nginx;
use Goim::Proc;
use Goim::Test;
use JSON::PP ();
use List::Util qw(min sum);
use POSIX ();

$| = 1;
alarm 0;                            # it may take as long as it takes
my %opt = (count => 1600, rounds => 5,
    ways => 'trust,HS256,RS256,ES256,EdDSA,http');
GetOptions(\%opt, 'count=i', 'rounds=i', 'ways=s') or exit 2;

my $clients = 16;                   # processes that log in, one at a time
my $json = JSON::PP->new->canonical;

sub application {
    return Goim::Nginx->new(conf => <<'EOF');
daemon off;
pid %%DIR%%/nginx.pid;
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { return 200 '{"mid":$http_x_goim_query}'; }
    }
}
EOF
}

# [auth] of logic, and the packet of a user
sub way {
    my ($way, $app) = @_;
    return ({ mode => 'trust' }, sub { qq({"mid":$_[0]}) }) if $way eq 'trust';
    return ({ mode => 'http', url => "http://127.0.0.1:$app->{port}/",
        connections => 64 }, sub { 'token' }) if $way eq 'http';

    # signing costs the application, not us: tokens are made before
    my $key = Goim::JWT->new($way);
    my @token = map { $key->token({ sub => "$_", exp => time + 3600,
        rooms => ['live://*'] }) } 1 .. 200;
    return ({ mode => 'jwt', algorithms => $way,
        ($way eq 'HS256' ? 'secret_file' : 'keys') => $key->file },
        sub { $json->encode({ token => $token[$_[0] % @token] }) });
}

# A process that logs in so many, says so, and goes when it is told to.
sub client {
    my ($port, $first, $n, $packet) = @_;
    pipe my $said, my $say or die $!;
    pipe my $hear, my $tell or die $!;
    my $pid = fork // die "fork: $!";

    if ($pid) {
        close $_ for $say, $hear;
        return { pid => $pid, said => $said, tell => $tell };
    }

    close $_ for $said, $tell;
    my @open = map { Goim::Client->new(port => $port, path => "/sub?$_",
        token => $packet->($_)) } $first .. $first + $n - 1;
    syswrite $say, 'x';
    sysread $hear, my $end, 1;
    POSIX::_exit(0);
}

sub logins {
    my ($c, $first, $packet) = @_;
    my $each = $opt{count} / $clients;
    my @client = map { client($c->node->{port}, $first + $_ * $each, $each,
        $packet) } 0 .. $clients - 1;

    for (@client) {
        sysread($_->{said}, my $x, 1) == 1 or die "bench: a login failed\n";
    }
    return @client;
}

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

for my $way (split /,/, $opt{ways}) {
    my $app = $way eq 'http' ? application() : undef;
    my ($auth, $packet) = way($way, $app);
    my $c = Goim::Cluster->new(workers => 1,
        nginx => { connections => 2 * $opt{count} + 1024,
            goim => { zone => 'goim 64m' } },
        logic => { conf => { logic => { threads => 1 }, auth => $auth } });
    my %pid = (nginx => ($c->node->workers)[0], logic => $c->logic->pid,
        redis => $c->redis->pid, $app ? (app => ($app->workers)[0]) : ());
    my @names = grep { $pid{$_} } qw(nginx logic redis app);
    my (%us, @rate);

    for my $round (0 .. $opt{rounds}) {
        my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } @names;
        my $start = Goim::Test::now();
        my @client = logins($c, 1 + $round * $opt{count}, $packet);
        my $rate = $opt{count} / (Goim::Test::now() - $start);

        if ($round) {       # the first one warms up
            push @rate, $rate;
            push @{ $us{$_} }, (Goim::Proc::cpu($pid{$_}) - $before{$_}) * 1e6
                / $opt{count} for @names;
        }

        # one after another would inherit the others' pipes
        syswrite $_->{tell}, 'x' for @client;
        waitpid $_->{pid}, 0 for @client;
        wait_for { !$c->node->status->{sessions} } 60, 'all have gone';
    }

    printf "%-6s %5d a second; us a login: %s, all %d, least %d\n", $way,
        median(@rate),
        join(' ', map { sprintf '%s %d', $_, median(@{ $us{$_} }) } @names),
        sum(map { median(@{ $us{$_} }) } @names),
        sum(map { min(@{ $us{$_} }) } @names);
    $_->stop for $c->node, $c->logic, $c->job, $c->redis, $app ? $app : ();
}

pass('measured');
done_testing;
