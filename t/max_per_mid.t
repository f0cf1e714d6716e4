# [session] max_per_mid: no more sessions of a user in the cluster, whoever logs
# in at once, wherever, over WebSocket or TCP; those of a node that died stop
# counting, those that a Redis without its data does not know of go on.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Test;

allow_log(qr/exited on signal 9/);

my %registry = (registry => { ttl => '6s', renew => '500ms' });
my $c = Goim::Cluster->new(nodes => 2, logics => 2, workers => 2,
    nginx => { tcp => 1 },
    logic => { conf => { %registry, session => { max_per_mid => 3 } } },
    job => { conf => \%registry });

sub crowded {
    my $sum = 0;
    $sum += $c->logic($_)->metrics->{goim_logic_crowded_total} for 0, 1;
    return $sum;
}

# log in at once: those who are in, and those who are not
sub at_once {
    my (@clients) = @_;
    $_->send(7, Goim::Client::token(%{ $_->{auth} }, auth => 0)) for @clients;
    my (@in, @out);
    for my $client (@clients) {
        wait_for {
            $client->pump;
            @{ $client->{replies} } || defined $client->transport->{code}
                || $client->transport->socket->eof;
        } 15, 'an answer';
        push @{ @{ $client->{replies} } ? \@in : \@out }, $client;
        $client->{replies} = [];
    }
    return (\@in, \@out);
}

sub client {
    my ($node, %auth) = @_;
    return $c->client(node => $node, auth => 0, mid => 7, %auth);
}

sub in {
    my ($in) = at_once(client(@_));
    return $in->[0];
}

my @in;

subtest 'many at once, on both nodes and fronts' => sub {
    my @clients = map { client($_ % 2, transport => $_ % 3 ? 'ws' : 'tcp',
        $_ % 4 < 2 ? () : (errors => 1)) } 0 .. 29;
    my ($in, $out) = at_once(@clients);
    is @$in, 3, 'three are in';
    is @$out, 27, 'the others not';
    is_deeply [grep { !$_->{tcp} && ($_->closed(10) // 0) != 1013 } @$out], [],
        'they may try later';
    $_->closed(10) for @$out;
    is scalar(grep { !$_->transport->socket->eof } @$out), 0,
        'over TCP, too, they are closed';
    for my $tcp (0, 1) {
        my ($asked) = grep { $_->{auth}{errors} && $_->{tcp} == $tcp } @$out;
        is_deeply $asked->bye(5), { code => 1013, again => JSON::PP::true,
            reason => 'too many connections of this user' },
            'and are told why, and that they may come again';
    }
    cmp_ok crowded(), '>=', 27, 'counted';
    @in = @$in;
};

subtest 'who else is let in' => sub {
    ok in(0, mid => 8), 'another user';
    my @nobody = map { in(0, mid => 0) } 1 .. 5;
    is @nobody, 5, 'mid 0 is nobody';
};

subtest 'one leaves, another may come' => sub {
    (shift @in)->close;
    my $next;
    eventually { $next = in(1, key => 'mine') } 10, 'one more is in';
    ok !in(0), 'and no other';
    my $same = in(0, key => 'mine');
    ok $same, 'a new session of a key takes the place of the old one';
    is $next->closed(10), 1008, 'which is closed';
    ok !in(0), 'and no other';
    $_->close for @in, $same;
};

subtest 'Redis loses its data' => sub {
    my @there;
    eventually { push @there, grep { $_ } in(@there % 2, transport =>
        @there % 2 ? 'tcp' : 'ws', key => 'r' . @there); @there == 3 } 20,
        'three, on both nodes and fronts';
    $c->redis->cmd('FLUSHALL');
    eventually { ($c->redis->cmd('HLEN', 'mid_7') || 0) == 3 } 20,
        'nodes have announced them';
    wait_for { in(0, mid => 9) } 20, 'others are let in';
    my @more = map { client($_ % 2, transport => $_ < 2 ? 'ws' : 'tcp',
        errors => 1) } 0 .. 3;
    my ($in, $out) = at_once(@more);
    is @$in, 0, 'they count again: no other is let in';
    is_deeply [map { $_->bye(5)->{reason} } @$out],
        [('too many connections of this user') x 4], 'for that';
    is scalar(grep { eval { $_->heartbeat; 1 } } @there), 3, 'they stay';
    $there[0]->close;
    eventually { in(1) } 10, 'one leaves, another may come';
    $_->close for @there[1, 2];
};

subtest 'a node is killed' => sub {
    my @there;
    eventually { push @there, grep { $_ } in(1); @there == 3 } 20,
        'three of the second node';
    ok !in(0), 'they count';
    my $node = $c->node(1);
    my @workers = $node->workers;
    $node->kill9;
    hit 'KILL', @workers;
    ok !in(0), 'as long as it may come back';
    eventually { in(0) } 20, 'not when its time is over';
};

done_testing;
