#!/usr/bin/perl
# What a message that a client sends by its socket costs each process:
# microseconds of CPU, user and system, from operation 4 to its answer and to the
# clients of its room.
#
#     perl bench/send.pl [--kafka] [--limited] [--count 8000] [--clients 8]
#         [--rounds 5]
#
# --limited: logic counts a user's messages in Redis, as it does by default; the
# limit itself is out of reach.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::Proc;
use Goim::Sender;
use Goim::Test;
use List::Util qw(min sum);
use POSIX ();

$| = 1;
alarm 0;                            # it may take as long as it takes
my %opt = (count => 8000, clients => 8, rounds => 5);
GetOptions(\%opt, 'kafka', 'limited', 'count=i', 'clients=i', 'rounds=i')
    or exit 2;

my $window = 32;                    # messages of a client without an answer
my %rate = (rate => 0, mid_rate => $opt{limited} ? 100000 : 0,
    mid_burst => 100000);
my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
    workers => 1, nginx => { goim => { zone => 'goim 64m' } },
    logic => { Goim::Sender::logic(logic => { threads => 1 },
        send => \%rate) });
my %pid = (nginx => ($c->node->workers)[0], logic => $c->logic->pid,
    job => $c->job->pid, redis => $c->redis->pid,
    $opt{kafka} ? (kafka => $c->kafka->pid) : ());
my @names = grep { $pid{$_} } qw(nginx logic job redis kafka);

# a process that sends so many, to a room where nobody is, and ends
sub client {
    my ($mid, $n) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;

    my $ok = eval {
        my $one = enters($c, mid => $mid, send => { rooms => ['live://*'] });
        my $body = say({ to => "live://none$mid" }, 'x' x 50);
        my $sent = 0;
        for my $had (1 .. $n) {
            $one->send(4, $body), $sent++
                while $sent < $n && $sent - $had < $window;
            $one->reply->{body} eq '{"code":0}' or die "refused\n";
        }
        1;
    };
    warn $@ if !$ok;
    POSIX::_exit($ok ? 0 : 1);
}

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

my (%us, @rate);
for my $round (0 .. $opt{rounds}) {
    my $n = int($opt{count} / $opt{clients} / ($round ? 1 : 10));
    my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } @names;
    my $start = Goim::Test::now();
    my @client = map { client($_, $n) } 1 .. $opt{clients};

    for (@client) {
        waitpid $_, 0;
        die "bench: a message was not taken\n" if $?;
    }
    next if !$round;        # the first one warms up
    push @rate, $n * $opt{clients} / (Goim::Test::now() - $start);
    push @{ $us{$_} }, (Goim::Proc::cpu($pid{$_}) - $before{$_}) * 1e6
        / $n / $opt{clients} for @names;
}

printf "%d a second; us a message: %s, all %.0f, least %.0f\n", median(@rate),
    join(' ', map { sprintf '%s %.1f', $_, median(@{ $us{$_} }) } @names),
    sum(map { median(@{ $us{$_} }) } @names),
    sum(map { min(@{ $us{$_} }) } @names);

pass('measured');
done_testing;
