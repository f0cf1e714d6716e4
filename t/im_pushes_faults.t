# Stored pushes when things go wrong: a client that vanishes with what it has not
# read, a node that is killed, a database that is away or stands still.
# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: postgresql: |goim: the stream .* was/);

my $pg = Goim::Postgres->new;
my %im = (db => $pg->url);
my $c = Goim::Cluster->new(workers => 1, nodes => 2,
    logic => { Goim::Sender::logic(im => { %im, offline_push => 1000 }) },
    job => { conf => { im => { %im } } });
my $api = $c->api;

sub client {
    my ($mid, $key, %arg) = @_;
    return enters($c, mid => $mid, key => $key, room => '', accepts => [1000],
        %arg);
}

sub stored {
    my ($mid, $body) = @_;
    my $said = $api->post('/goim/push/mids', [operation => 1000, store => 1,
        mids => $mid], $body);
    is($said->{code}, 0, 'is stored') or diag $said->{message};
}

sub begins { return [map { substr $_->{body}, 0, 4 } $_[0]->pushes($_[1], 20)] }

sub acked {
    my ($mid, $key) = @_;
    my ($d) = grep { $_->{key} eq $key }
        @{ $api->get('/goim/im/devices', mid => $mid)->{data} || [] };
    return $d ? $d->{acked} : 0;
}

sub unknown { return $c->logic->metrics->{goim_logic_places_unknown_total} }

my @bodies = map { sprintf('%03d ', $_) . 'x' x 60_000 } 1 .. 150;

subtest 'what it did not read' => sub {
    my $deaf = client(1, 'deaf');
    stored(1, $_) for @bodies;
    $deaf->drop;
    my $back = client(1, 'deaf', node => 1);
    is_deeply(begins($back, 150), [map { sprintf '%03d ', $_ } 1 .. 150],
        'comes again, all of it');
    is(acked(1, 'deaf'), 0, 'and counts as not had');
    $back->close;
    eventually { acked(1, 'deaf') == 150 } 20, 'until it is read';
};

subtest 'a node is killed' => sub {
    my $one = client(2, 'one');
    stored(2, "$_ is had") for 1 .. 3;
    is_deeply(begins($one, 3), ['1 is', '2 is', '3 is'], 'three come');
    eventually { acked(2, 'one') == 3 } 30, 'which is told while it is there';
    stored(2, '4 is had');
    is_deeply(begins($one, 1), ['4 is'], 'another one');
    my @workers = $c->node->workers;
    $c->node->kill9;
    hit 'KILL', @workers;
    my $again = client(2, 'one', node => 1);
    stored(2, '5 new');
    is_deeply(begins($again, 2), ['4 is', '5 ne'],
        'what was not told comes twice, nothing is left out');
    $again->close;
    $c->node->start;
};

subtest 'no database' => sub {
    my $one = client(3, 'one', node => 1);
    stored(3, 'was before');
    is_deeply(begins($one, 1), ['was '], 'it is there');
    $one->close;
    eventually { acked(3, 'one') == 1 } 20, 'and was told';
    stored(3, 'then came');

    # a lock stands for whatever makes it slow
    my $was = unknown();
    open my $held, '-|', "$pg->{bin}/psql", '-h', $pg->{dir}, '-p', $pg->{port},
        '-U', 'goim', '-qAtc', 'BEGIN; LOCK TABLE device IN ACCESS EXCLUSIVE '
        . 'MODE; SELECT 1; SELECT pg_sleep(4); COMMIT', 'postgres' or die $!;
    eventually { $pg->sql("SELECT count(*) FROM pg_locks WHERE mode = "
        . "'AccessExclusiveLock' AND granted") > 0 } 10, 'it stands still';
    my $slow = client(3, 'one', node => 1);
    is(unknown() - $was, 1, 'who comes is let in without');
    $api->post('/goim/push/mids', [operation => 1000, mids => 3], 'live');
    is_deeply(begins($slow, 1), ['live'], 'and gets what comes');
    $slow->close;
    () = <$held>;
    close $held;

    $pg->stop;
    eventually { client(3, 'two', node => 1)->close; unknown() - $was > 1 } 20,
        'away, too';
    my $said = $api->post('/goim/push/mids', [operation => 1000, store => 1,
        mids => 3, id => 'late'], 'waits');
    is($said->{code}, -504, 'a push to be stored is answered in time');
    $pg->start;
    eventually { $api->post('/goim/push/mids', [operation => 1000, store => 1,
        mids => 3, id => 'late'], 'waits')->{code} == 0 } 20,
        'the same again, and it is stored once';
    is_deeply(begins(client(3, 'one', node => 1), 2), ['then', 'wait'],
        'what it lacks comes at the next login');
};

done_testing();
