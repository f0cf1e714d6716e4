# LONG
#
# A node that nobody hears of for the registry's ttl: cut off from logic, it
# goes on being served as long as it has Redis; stopped, it learns what it
# missed when it goes on, and its clients come back. And a node with another
# Redis than logic's is let in by nobody.

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Test;

my %registry = (registry => { ttl => '3s', renew => '1s' });
my $c = Goim::Cluster->new(nodes => 2, logics => 2, workers => 2,
    nginx => { tcp => 1 }, logic => { conf => { %registry, logic => { threads => 1 } } },
    job => { conf => \%registry });
my ($api, $job) = ($c->api(1), $c->job);

# this one has the first logic alone
my $alone = Goim::Nginx->new(server_id => 'comet-3', workers => 2,
    redis => $c->redis->addr, logic => $c->logic(0)->rpc_addr);
$alone->wait_registered;

sub client {
    my ($node, $key) = @_;
    return Goim::Client->new(port => $node->{port}, mid => 1, key => $key,
        room => 'live://1', accepts => [1000]);
}

sub push_all {
    my ($text) = @_;
    return grep { $_ } $api->room(1000, 'live', '1', "$text room")->{code},
        $api->all(1000, "$text all")->{code};
}

subtest 'cut off from logic' => sub {
    my @clients = map { client($alone, "cut$_") } 1 .. 4;
    $c->logic(0)->pause;
    my $end = time + 6;
    my @sent;

    while (time < $end) {
        push @sent, scalar @sent;
        is scalar(push_all("cut $#sent")), 0, 'accepted' if @sent;
        sleep 0.5;
    }

    is $alone->status->{registered}, 1, 'the node is there all the time';
    is $job->metrics->{goim_job_nodes}, 3, 'for job too';

    for my $client (@clients) {
        my @got = map { $_->{body} } $client->pushes(2 * @sent);
        is_deeply [sort @got], [sort map { ("cut $_ room", "cut $_ all") }
            @sent], 'each has got everything, once';
    }

    $c->logic(0)->resume;
    eventually { $c->logic(0)->metrics->{goim_logic_rpc_links} } 20,
        'logic is back';
    is scalar(push_all('back')), 0, 'accepted';
    is scalar($_->pushes(2)), 2, 'nobody was closed' for @clients;
    is $alone->status->{counters}{lapses}, 0, 'nothing was missed';
    $_->close for @clients;
};

subtest 'stopped for long' => sub {
    my @there = map { client($c->node(0), "there$_") } 1 .. 4;
    my @recover = map { $c->client(node => 0, key => "r$_", recover => {},
        room => 'live://2', transport => $_) } qw(ws tcp);
    my @other = map { client($c->node(1), "other$_") } 1 .. 2;
    my @stopped = ($c->node(0)->master, $c->node(0)->workers);

    hit 'STOP', @stopped;
    eventually { $job->metrics->{goim_job_nodes_lapsed} == 1 } 30,
        'job takes it for gone';
    is scalar(push_all("missed $_")), 0, 'accepted' for 1 .. 5;
    is $api->keys(1000, ['there1'], 'a key')->{code}, 0, 'accepted';
    is scalar($_->pushes(10)), 10, 'others go on' for @other;
    eventually { $job->metrics->{goim_job_missed_records_total} == 11 } 10,
        'what it misses is counted';
    hit 'CONT', @stopped;

    is $_->closed, 1012, 'its clients are told' for @there;
    for my $client (@recover) {
        is_deeply $client->bye(10), { code => 1012, again => JSON::PP::true,
            reason => 'messages were missed' },
            'who recovers by operation 6, over TCP too';
        ok defined $client->closed, 'and closed';
    }
    my $status = $c->node(0)->status;
    is_deeply [@{ $status->{counters} }{qw(lapses lapse_records lapse_closed)}],
        [1, 11, 6], 'and it is counted';
    is $status->{registered}, 1, 'the node is back';
    like $c->node(0)->error_log,
        qr/\[error\].*"comet-1" was not heard of in time and missed 11 rec/,
        'it is said';

    my @back = map { client($c->node(0), "there$_") } 1 .. 4;
    is scalar(push_all('again')), 0, 'accepted';
    is scalar($_->pushes(2)), 2, 'who comes back is served'
        for @back, @other;
    sleep 1.5;
    is scalar(push_all('and again')), 0, 'accepted';
    is scalar($_->pushes(2)), 2, 'and stays' for @back, @other;
    is $c->node(0)->status->{counters}{lapses}, 1, 'it was told once';
};

subtest 'another Redis' => sub {
    allow_log(qr/\[emerg\].*"redis" is not the one of logic/);
    my $empty = Goim::Redis->new;
    my $addr = $c->redis->addr;

    for ([$addr . ' db=1', qr/Redis's database 1, logic 0/],
        ["$addr prefix=x:", qr/prefix \\x22x:\\x22, logic \\x22\\x22/],
        [$empty->addr, qr/Redis with run_id \w{40}, logic \Q$addr with run/])
    {
        my ($redis, $what) = @$_;
        my $node = Goim::Nginx->new(server_id => 'comet-9', redis => $redis,
            logic => $c->logic(1)->rpc_addr);
        eventually { $node->error_log =~
            /\[emerg\].*"redis" is not the one of logic.*the node has $what/
            } 20, "$redis: refused";
        is $node->status->{registered}, 0, 'not registered';
        $node->stop;
    }
    like $c->logic(1)->logs, qr/\[error\].*"comet-9" refused: the node has/,
        'logic says it too';
};

$_->stop for $alone, @{ $c->{nodes} };
done_testing;
