# Two jobs: with SQLite one has all commands between people, and the other stands by,
# for these alone; it takes over when the first is killed, stopped or stands still.
# With PostgreSQL both have some.

# ASAN: no

use strict;
use warnings;

use List::Util qw(sum);

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Test;

allow_log(qr/exited on signal 9/);

my $c;

sub cluster {
    my ($db) = @_;
    my %im = (im => { db => $db->url });
    $c = Goim::Cluster->new(jobs => 2,
        logic => { conf => { im => { %{ $im{im} }, insecure => 1 } } },
        job => { conf => { %im } });
}

# how many partitions each has: of commands, of pushes
sub has {
    my ($what) = @_;
    return map { my $j = $_; my $m = $j->pid && eval { $j->metrics };
        $m ? $m->{$what} : 0 } @{ $c->{jobs} };
}

sub commands { return has('goim_job_im_partitions') }

# who has all of them, and nobody else has any
sub holder {
    my $who;
    wait_for {
        my @has = commands();
        ($who) = grep { $has[$_] == 8 && $has[1 - $_] == 0 } 0, 1;
        defined $who;
    } 30, 'one has all commands';
    return $who;
}

my $id = 0;
sub message {
    $id++;
    return $c->api->post('/goim/im/send', [mid => 1, to => 1 + $id % 9,
        id => "c$id"], "m$id");
}

# until it is accepted; by the same id
sub surely {
    my $body = 'm' . ++$id;
    wait_for { $c->api->post('/goim/im/send', [mid => 1, to => 1 + $id % 9,
        id => "c$id"], $body)->{code} == 0 } 30, "$body is accepted";
}

subtest sqlite => sub {
    my $db = Goim::IM->new('sqlite');
    cluster($db);

    my $first = holder();
    pass('one has all commands');
    my ($working, $standby) = map { $c->job($_) } $first, 1 - $first;
    wait_for { !grep { $_ == 0 } has('goim_job_partitions') } 30,
        'both have pushes';
    pass('both have a share of the pushes');
    is_deeply([map { message()->{code} } 1 .. 20], [(0) x 20], 'messages');
    is($standby->metrics->{goim_job_im_commands_total}, 0, 'all by one');
    eventually { $standby->logs =~ /another job has the commands, this one st/ }
        20, 'the other says that it stands by';

    $working->kill9;
    surely();
    pass('killed: the other goes on');
    is(holder(), 1 - $first, 'with all of them');

    $working->start;
    surely();
    wait_for { !grep { $_ == 0 } has('goim_job_partitions') } 30,
        'both have pushes';
    is_deeply([(commands())[$first, 1 - $first]], [0, 8],
        'who comes back stands by');
    surely();
    is($working->metrics->{goim_job_im_commands_total}, 0, 'and does nothing');

    $standby->stop;
    surely();
    is(holder(), $first, 'ended: handed over, all of them');
    $standby->start;

    $working->pause;
    surely();
    $working->resume;
    is(holder(), 1 - $first, 'stood still: the other has it, and keeps it');
    surely();

    is($db->sql('SELECT count(*), count(DISTINCT cid) FROM message'),
        "$id|$id\n", 'each is stored once');
    undef $c;
};

subtest postgresql => sub {
    cluster(Goim::IM->new('postgresql'));
    wait_for { join(' ', commands()) eq '4 4' } 30, 'both have commands';
    pass('both have a share');
    is_deeply([map { message()->{code} } 1 .. 20], [(0) x 20], 'messages');
    is(sum(map { $_->metrics->{goim_job_im_commands_total} } @{ $c->{jobs} }),
        20, 'by both');
    undef $c;
};

done_testing;
