#!/usr/bin/perl
# Messages between people, for those who come: many who missed much, beside others
# who talk meanwhile; the list of a new device; a storm of logins. Needs `make all
# bench`, and `ulimit -n` above the clients.
#
#     perl bench/people.pl [--postgresql] [--what missed,new,storm] [--rounds 3]
#         [--clients 1000] [--missed 10000] [--rate 200]
#         [--seconds 40] [--sessions 18000] [--at-once 64]
#
# missed: so many clients at once, who missed so many messages each of 50
#         conversations; eight pairs talk, so many messages a second, others log in
#         who missed one, or ask for conversations: how long that takes, alone and
#         beside.
# new:    GET convs and history of a user with 2,000 conversations, with 10,000
#         messages in all and with a million; before and after ANALYZE.
# storm:  so many sessions log in, so many at a time: plain ones, and those that
#         recover their inbox with one message missed, in turns.
#
# What is stored is put into the tables by SQL.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::IM;
use Goim::Proc;
use Goim::Sender;
use Goim::Test;
use Goim::Test qw(build_dir);
use IPC::Open2;
use JSON::PP ();
use List::Util qw(max);
use Time::HiRes qw(time);

$| = 1;
alarm 3600;
my %opt = (what => 'missed,new,storm', rounds => 3, clients => 1000,
    missed => 10000, rate => 200, seconds => 40, sessions => 18000, at_once => 64);
GetOptions(\%opt, 'postgresql', 'what=s', 'rounds=i', 'clients=i', 'missed=i',
    'rate=i', 'seconds=i', 'sessions=i', 'at-once=i' => \$opt{at_once}) or exit 2;

my $people = build_dir() . '/bench/people';
die "bench: make bench first\n" if !-x $people;

my $json = JSON::PP->new->canonical;
my $db = Goim::IM->new($opt{postgresql} ? 'postgresql' : 'sqlite');
my %im = (im => { db => $db->url });
my $c = Goim::Cluster->new(workers => 1,
    nginx => { connections => $opt{sessions} + 1500,
        goim => { zone => 'goim 64m' } },
    logic => { Goim::Sender::logic(logic => { threads => 1 }, %im) },
    job => { conf => { %im } });
wait_for { $c->api->get('/goim/im/sync', mid => 1)->{code} == 0 } 30, 'tables';
my $epoch = $c->api->get('/goim/im/sync', mid => 1)->{data}{epoch};
my %pid = (nginx => ($c->node->workers)[0], logic => $c->logic->pid,
    job => $c->job->pid, redis => $c->redis->pid);

my $message = 'INSERT INTO message (conv, seq, n, mid, cid, kind, at, body)';
my $account = 'INSERT INTO account (mid, seq, first)';

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

# n, from 1 to so many, for SQL
sub to { return "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s "
    . "WHERE n < $_[0]) SELECT n FROM s)" }

sub fill { $db->sql($_) for @_ }

# of clients, for bench/people
sub packets {
    my ($name, @clients) = @_;
    return spew("$c->{redis}{dir}/$name", join '', map {
        my ($mid, $recover, %claims) = @$_;
        my $token = token(mid => $mid, room => '', accepts => [], key => "$name-$mid",
            %claims);
        "$mid " . $json->encode({ token => $token,
            $recover ? (recover => { 'im://inbox' => $recover }) : () }) . "\n";
    } @clients);
}

sub people {
    my (@args) = @_;
    my $pid = open2(my $out, my $in, $people, '--port', $c->node->{port}, @args);
    return { pid => $pid, out => $out, in => $in };
}

# the next line of what it says: name value ...
sub says {
    my ($p) = @_;
    return { split ' ', readline($p->{out}) // die "bench: people failed\n" };
}

sub ended {
    my ($p) = @_;
    close $p->{in};
    waitpid $p->{pid}, 0;
    die "bench: people failed\n" if $?;
}

sub alone {
    my (@args) = @_;
    my $p = people(@args);
    my $said = says($p);
    ended($p);
    return $said;
}

# ms of a request
sub asked {
    my ($what, @args) = @_;
    my $start = time;
    my $r = $c->api->get("/goim/im/$what", @args);
    die "bench: $what: $r->{code}\n" if $r->{code};
    return (time - $start) * 1e3;
}

# ---- what was missed ---------------------------------------------------------

sub missed {
    my $each = $opt{missed} / 50;
    fill("INSERT INTO conversation (id, seq, n, at, rule, mute_all) SELECT "
            . "'g1.missed' || n, $each, $each, 1, 'closed', 0 FROM @{[to(50)]} AS a",
        "$message SELECT 'g1.missed' || a.n, b.n, b.n, 1, CAST(b.n AS TEXT), "
            . "'msg', 1700000000000, CAST('@{['x' x 50]}' AS @{[
            $opt{postgresql} ? 'BYTEA' : 'BLOB']}) FROM @{[to(50)]} AS a, "
            . "@{[to($each)]} AS b",
        "$account VALUES (99999, 1, 1)",
        "INSERT INTO inbox (mid, seq, conv, cseq) VALUES (99999, 1, 'g1.missed1', 1)",
        "$account SELECT 100000 + n, $opt{missed}, 1 FROM "
            . "@{[to($opt{clients})]} AS a",
        "INSERT INTO inbox (mid, seq, conv, cseq) SELECT 100000 + a.n, b.n, "
            . "'g1.missed' || ((b.n - 1) % 50 + 1), (b.n - 1) / 50 + 1 FROM "
            . "@{[to($opt{clients})]} AS a, @{[to($opt{missed})]} AS b");

    my %from = (epoch => $epoch, seq => 0);
    my $late = packets('late', map { [100000 + $_, \%from, im => {}] }
        1 .. $opt{clients});
    my $one = packets('one', [100001, \%from, im => {}]);
    my $new = packets('new', [99999, \%from, im => {}]);
    my $pairs = packets('pairs', map { [2 * $_ + 1, undef, im => {}],
        [2 * $_ + 2, {}, im => {}] } 1 .. 8);

    for my $round (1 .. $opt{rounds}) {
        my $n = alone('--packets', $one, '--items', $opt{missed});
        printf "one: the first after %.1f ms, all after %.1f\n",
            @$n{qw(first_p50 last_p50)};

        for my $beside (0, 1) {
            my $live = people('--packets', $pairs, '--live', $opt{rate},
                '--seconds', $opt{seconds});
            says($live);
            my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } keys %pid;
            my $storm = $beside ? people('--packets', $late, '--items',
                $opt{missed}) : undef;

            # others come, and ask
            my (@come, @convs);
            for my $n (1 .. $opt{seconds} * 2 - 4) {
                my $start = time;
                push @come, alone('--packets', $new, '--items', 1)->{first_p50};
                push @convs, asked(convs => mid => 2);
                my $left = 0.5 - (time - $start);
                select undef, undef, undef, $left if $left > 0;
            }

            my $talk = says($live);
            printf "%s: %d of %d messages, ms under way: p50 %.1f, p99 %.1f, max "
                . "%.1f; a login and its item: p50 %.1f, max %.1f; convs: p50 %.1f, "
                . "max %.1f; CPU %s\n", $beside ? "beside $opt{clients}" : 'alone',
                @$talk{qw(came sent ms_p50 ms_p99 ms_max)},
                (map { median(@$_), max(@$_) } \@come, \@convs), join ', ', map {
                sprintf '%s %.1f s', $_, Goim::Proc::cpu($pid{$_}) - $before{$_} }
                sort keys %pid;
            if ($storm) {
                my $r = says($storm);
                printf "%d of %d have all after %.1f s; the first: p50 %.0f ms, p99 "
                    . "%.0f\n", @$r{qw(over clients seconds first_p50 first_p99)};
                ended($storm);
            }
            ended($live);
        }
    }
}

# ---- a new device ------------------------------------------------------------

sub asks {
    my @ms = map { asked(@_) } 1 .. 21;
    return sprintf '%.1f (the first %.1f)', median(@ms), $ms[0];
}

sub device {
    my %messages = (300_000 => 10_000, 400_000 => 1_000_000);

    for my $mid (sort keys %messages) {
        my $each = $messages{$mid} / 2000;
        fill("INSERT INTO conversation (id, seq, n, at, rule, mute_all) SELECT 'p' || "
                . "$mid || '.' || ($mid + n), $each, $each, n * 1000, '', 0 FROM "
                . "@{[to(2000)]} AS a",
            "$message SELECT 'p' || $mid || '.' || ($mid + a.n), b.n, b.n, "
                . "$mid + a.n, CAST(b.n AS TEXT), 'msg', a.n * 1000, "
                . "CAST('@{['x' x 50]}' AS @{[$opt{postgresql} ? 'BYTEA' : 'BLOB']}) "
                . "FROM @{[to(2000)]} AS a, @{[to($each)]} AS b",
            (map { "INSERT INTO member (conv, mid, read, read_n, role, muted) SELECT "
                . "'p' || $mid || '.' || ($mid + n), $_, 0, 0, 0, 0 FROM "
                . "@{[to(2000)]} AS a" } $mid, "$mid + n"),
            "$account VALUES ($mid, $messages{$mid}, 1)",
            "INSERT INTO inbox (mid, seq, conv, cseq) SELECT $mid, (b.n - 1) * 2000 + "
                . "a.n, 'p' || $mid || '.' || ($mid + a.n), b.n FROM @{[to(2000)]} AS a,"
                . " @{[to($each)]} AS b");
    }

    for my $analyzed (0, 1) {
        fill('ANALYZE') if $analyzed;
        for my $mid (sort keys %messages) {
            printf "%s, %d messages in 2,000 conversations: ms: convs of 50 %s; history "
                . "of 50 %s; sync of 50 %s\n", $analyzed ? 'after ANALYZE' : 'as it is',
                $messages{$mid}, asks(convs => mid => $mid, limit => 50),
                asks(history => mid => $mid, conv => "p$mid." . ($mid + 7), limit => 50),
                asks(sync => mid => $mid, after => $messages{$mid} - 50, limit => 50);
        }
    }
}

# ---- a storm of logins -------------------------------------------------------

sub storm {
    fill("INSERT INTO conversation (id, seq, n, at, rule, mute_all) VALUES "
            . "('g1.storm', 20, 20, 1, 'closed', 0)",
        "$message SELECT 'g1.storm', n, n, 1, CAST(n AS TEXT), 'msg', 1, "
            . "CAST('@{['x' x 50]}' AS @{[$opt{postgresql} ? 'BYTEA' : 'BLOB']}) FROM "
            . "@{[to(20)]} AS a",
        "$account SELECT 500000 + n, 20, 1 FROM @{[to($opt{sessions})]} AS a",
        "INSERT INTO inbox (mid, seq, conv, cseq) SELECT 500000 + a.n, b.n, 'g1.storm', "
            . "b.n FROM @{[to($opt{sessions})]} AS a, @{[to(20)]} AS b");

    my @mids = map { 500000 + $_ } 1 .. $opt{sessions};
    my %of = (plain => packets('plain', map { [$_, undef] } @mids),
        inbox => packets('inbox', map { [$_, { epoch => $epoch, seq => 19 }, im => {}] }
            @mids));
    my %rate;

    for my $round (0 .. $opt{rounds}) {
        for my $which (qw(plain inbox)) {
            my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } keys %pid;
            my $p = people('--packets', $of{$which}, '--at-once', $opt{at_once},
                '--items', $which eq 'inbox' ? 1 : 0);
            my $r = says($p);
            push @{ $rate{$which} }, $r->{a_second} if $round;
            printf "%s: %d logins a second, ms p50 %.1f, p99 %.1f; us a login: %s\n",
                $which, @$r{qw(a_second last_p50 last_p99)}, join ', ', map {
                sprintf '%s %.0f', $_, (Goim::Proc::cpu($pid{$_}) - $before{$_}) * 1e6
                / $opt{sessions} } sort keys %pid;
            ended($p);
            wait_for { !$c->node->status->{sessions} } 60, 'all have gone';
        }
    }
    printf "medians: plain %d, inbox %d: %.2f\n", median(@{ $rate{plain} }),
        median(@{ $rate{inbox} }), median(@{ $rate{inbox} }) / median(@{ $rate{plain} });
}

my %does = (missed => \&missed, new => \&device, storm => \&storm);
$does{$_}->() for split /,/, $opt{what};

pass('measured');
done_testing;
