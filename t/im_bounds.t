# What a batch of commands may be: a command that the database refuses is given up
# alone, the others are stored, in order; large groups make smaller batches.

use strict;
use warnings;

use IO::Socket::INET ();
use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: im: a command of 1 is given up/);

my $json = JSON::PP->new;
my ($c, $db);

my %refuses = (
    sqlite => "CREATE TRIGGER poison BEFORE INSERT ON message "
        . "WHEN NEW.cid = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END",
    postgresql => "ALTER TABLE message ADD CHECK (cid <> 'poison')",
);

# the newest of each partition of the bus
sub commands {
    return join ' ', map {
        my %info = @{ $c->redis->cmd('XINFO', 'STREAM', $_) };
        "$_ $info{'last-generated-id'}";
    } sort grep { /^goim:bus:im:\d+$/ } @{ $c->redis->cmd('KEYS', '*') };
}

# while job rests they pile up, and are one batch when it goes on; their payloads
# begin with their ids
my $more = '';

sub at_once {
    my ($to, @ids) = @_;
    my @waiting;
    $c->job->pause;
    for my $id (@ids) {
        my $before = commands();
        my $socket = IO::Socket::INET->new("127.0.0.1:$c->{logics}[0]{http_port}")
            or die "connect: $@\n";
        print $socket "POST /goim/im/send?mid=1&to=$to&id=$id HTTP/1.1\r\n"
            . "Host: localhost\r\nConnection: close\r\nContent-Length: "
            . length("$id$more") . "\r\n\r\n$id$more";
        wait_for { commands() ne $before } 20, 'it is in the bus';
        push @waiting, $socket;
    }
    $c->job->resume;
    local $/;
    return map { $json->decode(readline($_) =~ s/.*\r\n\r\n//sr) } @waiting;
}

sub poison {
    $db->sql($refuses{ $_[0] });
    my $two = enters($c, mid => 2, key => 'k2', accepts => [20], im => {});

    my @ids = map { $_ == 23 ? 'poison' : "i$_" } 1 .. 40;
    my @said = at_once(2, @ids);
    is_deeply([sort { $a <=> $b } grep { $_ } map { $_->{code} } @said], [-500],
        'one is refused');
    is_deeply([sort { $a <=> $b } map { $_->{data}{seq} || () } @said], [1 .. 39],
        'the others are stored, without a hole');
    is(join(' ', map { $_->{body} =~ /\n(.*)/s } $two->pushes(39, 20)),
        join(' ', grep { $_ ne 'poison' } @ids), 'in the order they came');

    is($c->job->metrics->{goim_job_im_given_up_total}, 1, 'it is counted');
    my @dead = $c->redis->xrange('goim:dead');
    is(scalar @dead, 1, 'and kept');
    my %dead = %{ $dead[0][1] };
    is("$dead{mid} $dead{conv}", '1 p1.2', 'with whose it was');
    like($dead{why}, qr/poison|check constraint/, 'and why it was refused');
    like($dead{v}, qr/poison/, 'as it is');
}

sub rows {
    my $api = $c->api;
    my $made = $api->post('/goim/im/group/create', [mid => 1, id => 'large',
        mids => [1000 .. 1498]]);
    is($made->{code}, 0, 'a group of 500') or diag explain $made;
    my $before = $c->job->metrics->{goim_job_im_batches_total};
    my @said = at_once('g1.large', 1 .. 25);
    is_deeply([map { "$_->{code} $_->{data}{seq}" } @said], [map { "0 $_" } 2 .. 26],
        'messages to it');
    cmp_ok($c->job->metrics->{goim_job_im_batches_total} - $before, '>=', 3,
        'in batches of at most 5,000 rows');
    is($api->get('/goim/im/sync', mid => 1498)->{data}{seq}, 26,
        'all of them for all');

    $before = $c->job->metrics->{goim_job_im_batches_total};
    $more = 'x' x 60_000;
    is_deeply([map { "$_->{code} $_->{data}{seq}" } at_once('g1.large',
        map { "l$_" } 1 .. 4)], [map { "0 $_" } 27 .. 30], 'large ones');
    is($c->job->metrics->{goim_job_im_batches_total} - $before, 4,
        'alone, each of them');
    $more = '';
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        $db = Goim::IM->new($kind);
        my %im = (im => { db => $db->url });
        $c = Goim::Cluster->new(logic => { Goim::Sender::logic(%im) },
            job => { conf => { %im } });
        eventually { $c->api->post('/goim/im/send', [mid => 8, to => 9,
            id => 'x'], 'x')->{code} == 0 } 20, 'it is ready';

        subtest 'one that is refused' => sub { poison($kind) };
        subtest 'rows' => \&rows;
    };
}

done_testing;
