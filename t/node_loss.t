# Nodes that end: one that dies, most of them at once, all of them in order.
# What is offered to clients, counted, and kept for messages.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

allow_log(qr/exited on signal 9/);

my %registry = (registry => { ttl => '4s', renew => '500ms' });
my $c = Goim::Cluster->new(nodes => 4, workers => 2,
    logic => { conf => { %registry, logic => { threads => 1 },
        online => { cache => '100ms' } } },
    job => { conf => \%registry });
my ($api, $logic, $job, $redis) = ($c->api, $c->logic, $c->job, $c->redis);

sub offered {
    return join ' ', sort @{ $api->nodes_weighted('web')->{data}{nodes} };
}

sub known {
    return join ' ', map { $_->{server} =~ s/comet-//r }
        @{ $api->nodes_instances->{data} };
}

sub total {
    my $data = $api->online_total->{data} || {};
    return join ' ', map { defined $data->{$_} ? $data->{$_} : '-' }
        qw(conn_count ip_count);
}

# of room live://1, by each of the calls that tell
sub room {
    my $top = $api->online_top('live', 1)->{data};
    return join ' ', $api->online_room('live', ['1'])->{data}{1},
        @$top ? $top->[0]{count} : 0;
}

# the whole node: master, and workers
sub dies {
    my ($node) = @_;
    my @workers = $node->workers;
    $node->kill9;
    hit 'KILL', @workers;
}

# messages for the node lie in its stream
sub appended {
    my ($n) = @_;
    return $redis->cmd('XLEN', "goim:node:comet-$n");
}

sub in_room {
    my ($node, $n) = @_;
    return map { $c->client(node => $node, room => 'live://1',
        accepts => [1], local => "127.0.0.$_") } 1 .. $n;
}

eventually { known() eq '1 2 3 4' } 20, 'four nodes';
my @clients = map { [in_room($_, $_ + 1)] } 0 .. 3;
eventually { total() eq '10 10' && room() eq '10 10' } 20, 'their clients';
eventually { $clients[0][0]->heartbeat == 10 } 20, 'a heartbeat says so too';

subtest 'a worker dies' => sub {
    hit 'KILL', ($c->node(3)->workers)[0];
    my ($left) = grep { !$_->closed(0.5) } @{ $clients[3] };
    my $n = grep { !$_->closed(0.5) } @{ $clients[3] };
    my $all = 6 + $n;
    eventually { total() eq "$all $all" && room() eq "$all $all" } 20,
        'its clients do not count any more';
    eventually { $clients[0][0]->heartbeat == $all } 20,
        'in the heartbeat too';
    $_->drop for @{ $clients[3] };
    eventually { total() eq '6 6' && room() eq '6 6' } 20, 'others leave';
};

subtest 'a node dies' => sub {
    dies($c->node(2));
    eventually { known() eq '1 2 4' } 30, 'it is gone after its TTL';
    eventually { offered() !~ /comet-3/ } 10, 'not offered';
    eventually { total() eq '3 3' && room() eq '3 3' } 20,
        'its connections and rooms do not count';
    eventually { $clients[0][0]->heartbeat == 3 } 20,
        'in the heartbeat neither';
    eventually { $job->metrics->{goim_job_nodes} == 3 } 20, 'job knows';
    is $logic->metrics->{goim_logic_nodes_silent}, 0, 'none is kept';
};

subtest 'most nodes die at once' => sub {
    $_->drop for map { @$_ } @clients[0, 1];
    @clients = ([in_room(0, 1)], [in_room(1, 2)]);
    eventually { total() eq '3 3' } 20, 'three are there';

    dies($c->node($_)) for 1, 3;
    eventually { $logic->metrics->{goim_logic_nodes_silent} == 2
        && $job->metrics->{goim_job_nodes_silent} == 2 } 30,
        'both are silent, for logic and for job';
    is known(), '1 2 4', 'but kept';
    like $logic->logs, qr/\[warn\].*only 1 of 3 nodes have been renewed/,
        'logic says it';
    like $job->logs, qr/\[warn\].*only 1 of 3 nodes have been renewed/,
        'and so does job';

    my $before = appended(2);
    is $api->all(1, 'to all')->{code}, 0, 'a push';
    is $clients[0][0]->push->{body}, 'to all', 'arrives where somebody is';
    eventually { appended(2) > $before } 10, 'waits where nobody reads';
    eventually { total() eq '1 1' && room() eq '1 1' } 20,
        'their connections do not count';

    # one comes again: half is enough, the other one is gone
    $c->node(1)->start;
    $c->node(1)->wait_registered(30);
    eventually { known() eq '1 2' } 30, 'half of them are there again';
    eventually { $logic->metrics->{goim_logic_nodes_silent} == 0
        && $job->metrics->{goim_job_nodes} == 2
        && $job->metrics->{goim_job_nodes_silent} == 0 } 20,
        'the other one is not kept any more';
    like $logic->logs, qr/\[notice\].*none is kept any more/, 'it is said';
    eventually { total() eq '1 1' } 20, 'the connections are right';
};

# each takes itself out, and is believed, also the last one
subtest 'all end' => sub {
    my $logged = () = $logic->logs =~ /have been renewed in time/g;
    $_->stop for $c->node(0), $c->node(1);
    eventually { known() eq '' } 2, 'gone at once';
    eventually { $job->metrics->{goim_job_nodes} == 0 } 20, 'job knows';
    is total(), '0 0', 'nobody is there';
    is $logic->metrics->{goim_logic_nodes_silent}, 0, 'none is kept';
    is scalar(() = $logic->logs =~ /have been renewed in time/g), $logged,
        'and nothing said';
};

done_testing;
