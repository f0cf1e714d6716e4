# LONG
#
# A log of Kafka's that goes back: a broker comes back without the last
# records it had acknowledged (a power cut, no fsync), or with none. What had
# been done is not done again, and no record that is acknowledged afterwards is
# taken for an old one.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;

use Time::HiRes qw(sleep);

# with so long a session nothing is shared out again unless a job goes
my $c = Goim::Cluster->new(bus => 'kafka', broker => { partitions => 1 },
    job => { conf => { job => { log_level => 'info' },
        kafka => { 'session.timeout.ms' => 45000 } } });
my $client = $c->client(mid => 1, key => 'k', room => 'live://1',
    accepts => [1000]);
my $log = "$c->{kafka}{dir}/data/goim-push-topic-0";
my (%accepted, %got, $n);

sub push_some {
    for (1 .. $_[0]) {
        my $body = 'm' . ++$n;
        my $reply = $c->api->room(1000, 'live', '1', $body);
        $accepted{$body}++ if $reply->{code} == 0;
    }
}

sub take {
    $client->pump;
    while (my $push = shift @{ $client->{pushes} }) {
        $got{ $push->{body} }++;
    }
}

sub all_come_once {
    my ($what) = @_;
    eventually { take(); !grep { !$got{$_} } keys %accepted } 30,
        "$what: all that was accepted has come";
    sleep 0.5;
    take();
    is_deeply [grep { $got{$_} > 1 } keys %got], [], "$what: nothing twice";
    diag join "\n", grep { /bus:|kafka:/ } split /\n/, $c->job->logs
        if grep { $got{$_} != 1 } keys %got;
}

sub went_back { return $c->job->metrics->{goim_bus_logs_back_total} }

# all is done, and saved
sub at_rest {
    my ($done) = @_;
    wait_for {
        my $hash = $c->redis->hgetall('goim:{0}:done');
        my ($place) = @$hash{ grep { !/ / } keys %$hash };
        ($place || '') =~ /^\d+-$done /;
    } 10, 'the place is saved';
}

sub accepts_again {
    wait_for { push_some(1); $accepted{"m$n"} } 60, 'records are taken';
}

# The broker is killed, what `change` does to its log it finds at its start.
sub broken {
    my ($change) = @_;
    $c->kafka->kill9;
    $change->();
    $c->kafka->start;
}

sub cut {
    my ($bytes) = @_;
    my ($file) = glob("$log/*0.log");
    truncate $file, (-s $file) - $bytes or die "truncate: $!";
    unlink glob("$log/*.index"), glob("$log/*.timeindex"),
        glob("$log/*.snapshot");
}

push_some(100);
all_come_once('before');
at_rest(99);
is went_back(), 0, 'an ordinary log';

# the job goes on reading behind a place that the log has not reached again,
# and new records overtake that place
broken(sub { cut(2000) });
accepts_again();
push_some(60);
all_come_once('the job had gone on');
is went_back(), 1, 'counted';
like $c->job->logs, qr/partition 0 of goim-push-topic went back: it was done up to 99/,
    'and told';

# nobody reads while new records come, more than were lost
$c->job->stop;
broken(sub { cut(2000) });
accepts_again();
push_some(60);
$c->job->start;
all_come_once('the job was away');
is went_back(), 1, 'counted by the next job';

# short of the place for a while
push_some(20);
all_come_once('more');
broken(sub { cut(2000) });
$c->job->kill9;
$c->job->start;
accepts_again();
push_some(3);
all_come_once('a log shorter than what was done');

# all is gone, as with a topic that is made anew under its name, and more is
# written than had been done
$c->job->stop;
broken(sub { system('rm', '-rf', $log) == 0 or die });
accepts_again();
push_some($n + 10);
$c->job->start;
all_come_once('a new log');
is went_back(), 1, 'counted';

# nothing of this comes twice for a job that starts again
$c->job->kill9;
$c->job->start;
push_some(10);
all_come_once('a job that starts again');
is went_back(), 0, 'its log is the one it knows';

done_testing;
