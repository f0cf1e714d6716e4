# A database that goes back, as a copy that is restored under those who use it, or
# while nobody does; or is another one. Numbers of inboxes would be given a second
# time: a new epoch begins, once, and clients are told, those that are connected, too.
# A Redis that goes back, or has lost everything, is none of it.

# ASAN: no

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:postgresql: |im: |sqlite )/);

my $inbox = 'im://inbox';
my $places = 'goim:im:places';
my ($c, $db, $kind);

# when the node has logic again
sub client {
    my ($where, %arg) = @_;
    my $client;
    wait_for { $client = eval { enters($c, mid => 2, room => '', accepts => [],
        im => {}, recover => $where ? { $inbox => $where } : {}, %arg) } } 20,
        'a client';
    return $client;
}

sub place {
    my ($client, $timeout) = @_;
    while (my $p = $client->position($timeout)) {
        return $p->{$inbox} if exists $p->{$inbox};
    }
    return undef;
}

my $id = 0;
sub message {
    my ($body) = @_;
    $id++;
    wait_for { $c->api->post('/goim/im/send', [mid => 1, to => 2,
        id => "c$id"], $body)->{code} == 0 } 30, "$body is stored";
}

# number and payload of the next
sub item {
    my ($client) = @_;
    while (my $p = $client->push(20)) {
        return "$p->{seq} " . (split /\n/, $p->{body}, 2)[1] if $p->{op} == 20;
    }
    return undef;
}

sub history {
    return join ' ', map { $_->{body} } @{ $c->api->get('/goim/im/history',
        mid => 2, conv => 'p1.2')->{data}{items} };
}

sub sum {
    my ($name) = @_;
    my $sum = 0;
    $sum += $_->metrics->{"goim_job_im_$name"} for @{ $c->{jobs} };
    return $sum;
}

sub no_services { $_->stop for @{ $c->{jobs} }, @{ $c->{logics} } }
sub services    { $_->start for @{ $c->{logics} }, @{ $c->{jobs} } }

# a copy under those who use it: as an administrator makes it
sub copy {
    my $copy = folder('copy') . '/copy';
    if ($kind eq 'sqlite') {
        $db->sql("VACUUM INTO '$copy'");
    } else {
        system("$db->{bin}/pg_dump -h $db->{dir} -p $db->{port} -U goim "
            . "--clean --if-exists postgres >$copy") == 0 or die 'pg_dump';
    }
    return $copy;
}

# put back while nobody, or everybody uses it
sub restore {
    my ($copy) = @_;
    if ($kind eq 'sqlite') {
        system('cp', $copy, "$db->{file}.new") == 0 or die 'cp';
        unlink "$db->{file}-wal", "$db->{file}-shm";
        rename "$db->{file}.new", $db->{file} or die "rename: $!";
    } else {
        system("$db->{bin}/psql -h $db->{dir} -p $db->{port} -U goim -1 -q "
            . "-v ON_ERROR_STOP=1 -f $copy postgres >/dev/null 2>&1") == 0
            or die 'psql';
    }
}

# ---- a copy is restored ------------------------------------------------------

sub under_way {
    my $first = client(undef, key => 'first');
    my $at = place($first);
    message('a');
    is(item($first), '1 a', 'before the copy');
    my $copy = copy();
    message('b');
    message('c');
    is(item($first), '2 b', 'behind it');
    is(item($first), '3 c', 'seen');

    restore($copy);
    is(sum('epochs_total'), 0, 'nobody knows yet');
    message('d');
    my $told = place($first, 20);
    is($told->{recovered}, JSON::PP::false, 'it went back: who is there is told');
    isnt($told->{epoch}, $at->{epoch}, 'of a new epoch');
    is($told->{seq}, 1, 'it goes on where that showed');
    is(item($first), '2 d', 'by what comes');
    message('e');
    is(item($first), '3 e', 'and then');
    is(history(), 'a d e', 'what was lost is not there');
    is(sum('epochs_total'), 1, 'it has begun once');
    cmp_ok(sum('missing_total'), '>=', 2, 'so many are missing');
    like(join('', map { $_->logs } @{ $c->{jobs} }),
        qr/the database went back: partition \d+ had \d+ batches, and has \d+: /,
        'the log says why');
    like(join('', map { $_->logs } @{ $c->{jobs} }),
        qr/partition \d+: 2 commands that were carried out are lost/,
        'and what');
    my $later = client({ epoch => $at->{epoch}, seq => 2 }, key => 'later');
    is(place($later)->{recovered}, JSON::PP::false, 'who comes later is told');
    $_->close for $first, $later;
    return $copy;
}

sub at_start {
    my ($copy) = @_;
    my $epoch = place(client(undef))->{epoch};
    $c->job($_)->kill9 for 0 .. $#{ $c->{jobs} };
    no_services();
    restore($copy);
    services();
    eventually { sum('epochs_total') == 1 } 20,
        'restored while nobody was there: known at the start';
    my $told = place(client({ epoch => $epoch, seq => 1 }));
    is($told->{recovered}, JSON::PP::false, 'told');
    message('f');
    is(history(), 'a f', 'it goes on where the copy was');
    is(sum('epochs_total'), 1, 'one epoch');
}

# ---- Redis goes back ---------------------------------------------------------

sub redis_back {
    my $epoch = place(client(undef))->{epoch};
    my %old = %{ $c->redis->hgetall($places) };
    cmp_ok(scalar(keys %old), '>=', 2, 'Redis knows places');
    message('g');
    for my $now ({ %old }, {}) {
        no_services();
        $c->redis->cmd('DEL', $places);
        $c->redis->cmd('HSET', $places, %$now) if %$now;
        services();
        message(%$now ? 'h' : 'i');
        my $p = place(client({ epoch => $epoch, seq => 1 }));
        is($p->{recovered}, JSON::PP::true, 'Redis '
            . (%$now ? 'went back' : 'lost it') . ': nothing happened');
    }
    is(sum('epochs_total'), 0, 'no new epoch');
    is($c->redis->cmd('HGET', $places, 'db'), $old{db}, 'it knows again');
}

# ---- another one -------------------------------------------------------------

sub other {
    my $at = place(client(undef));
    no_services();
    my $other = Goim::IM->new($kind);
    $_->configure({ im => { db => $other->url } })
        for @{ $c->{jobs} }, @{ $c->{logics} };
    services();
    eventually { sum('epochs_total') == 1 } 20, 'an empty database: known';
    like(join('', map { $_->logs } @{ $c->{jobs} }), qr/another database: /,
        'and said');
    my $told = place(client($at));
    is($told->{recovered}, JSON::PP::false, 'told');
    is("$told->{seq}", 0, 'nothing is there');
    message('z');
    is(history(), 'z', 'it begins');
    no_services();
    services();
    message('y');
    is(history(), 'z y', 'and goes on');
    is(sum('epochs_total'), 0, 'by that epoch');
    return $other;
}

for (qw(sqlite postgresql)) {
    $kind = $_;
    subtest $kind => sub {
        $db = Goim::IM->new($kind);
        my %im = (im => { db => $db->url });
        $c = Goim::Cluster->new(logic => { Goim::Sender::logic(%im) },
            jobs => 2, job => { conf => { %im } });
        at_start(under_way());
        redis_back();
        other();
        undef $c;
    };
}

done_testing;
