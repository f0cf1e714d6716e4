# Numbers and order in a partition: what has no number does not overtake what is
# being numbered, and what a step that failed had does not wait behind what came
# later. A node drops what comes after its successors, so it would be lost.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Bus;
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(
    job => { conf => { bus => { partitions => 1 },
        history => { live => '5000 10m' } } },
    logic => { conf => { bus => { partitions => 1 } } });
my ($redis, $job) = ($c->redis, $c->job);
my $bus = Goim::Bus->new(redis => $redis);

my @who = map { $c->client(mid => $_, accepts => [1000],
    room => "live://$_") } 1, 2;
my $chat = $c->client(mid => 3, accepts => [1000], room => 'chat://1');

sub record {
    my ($room, $msg, %more) = @_;
    return { type => 'ROOM', room => $room, operation => 1000, msg => $msg,
        %more };
}

# of two rooms, some past the history, and of a room without one
sub batch {
    my ($name, $many, $size) = @_;
    my $pad = '.' x ($size || 0);
    return map { my $i = $_; (
        record('live://1', "$name $i a$pad"),
        record('live://2', "$name $i b$pad", past => 1),
        record('live://1', "$name $i c$pad", past => 1),
        record('chat://1', "$name $i d$pad"),
        record('live://2', "$name $i e$pad")) } 1 .. $many;
}

sub arrives {
    my ($name, @records) = @_;
    my %want;
    push @{ $want{ $_->{room} } }, $_->{msg} =~ s/\.+$//r for @records;

    for (['live://1', $who[0]], ['live://2', $who[1]], ['chat://1', $chat]) {
        my ($room, $client) = @$_;
        is_deeply [map { $_->{body} =~ s/\.+$//r }
            $client->pushes(scalar @{ $want{$room} }, 30)],
            $want{$room}, "$name: all that was in $room, in its order";
    }
}

my @records = batch('first', 100);
$bus->write(0, @records);
arrives('at once', @records);

# The step is refused: who may do all else may not touch what it keeps. What is
# read meanwhile is more than a step takes.
my @else = map { "~$_" } qw(sess_* key_* mid_* goim:bus* goim:n* goim:h*
    goim:o* goim:r* goim:l* goim:{0}:lease* goim:{0}:fence* goim:{0}:done*);

for my $round (1 .. 3) {
    my $before = $job->metrics->{goim_job_number_retries_total};
    my @records = batch("round $round", 20, 30_000);
    $job->pause;
    wait_for { slurp('/proc/' . $job->pid . '/stat') =~ /\) T / } 10,
        'it stands still';
    $bus->write(0, @records);
    $redis->cmd('ACL', 'SETUSER', 'default', 'resetkeys', @else);
    $job->resume;
    eventually { $job->metrics->{goim_job_number_retries_total} > $before } 10,
        "round $round: a step is refused";
    sleep 0.2;
    $redis->cmd('ACL', 'SETUSER', 'default', 'allkeys');
    arrives("round $round", @records);
}
is scalar(grep { defined $_->closed(0) } @who, $chat), 0, 'nobody was closed';

done_testing;
