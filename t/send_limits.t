# How much and how often clients may send: a payload's size, a session's rate at
# its node, a user's over connections, nodes and logics; what is refused is told,
# counted, and goes nowhere.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;
use Goim::Sender;
use JSON::PP ();

my %live = (send => { rooms => ['live://*'], mids => JSON::PP::true });
my %send = (max_size => 100, rate => '0.5', burst => 3, mid_rate => 0);

my $c = Goim::Cluster->new(nodes => 2, logics => 2, nginx => { tcp => 1 },
    logic => { Goim::Sender::logic(send => \%send) });
my $mid = 0;

sub sends {
    my ($result) = @_;
    my $n = 0;
    $n += $_->metrics->{qq(goim_logic_sends_total{result="$result"})}
        for $c->logic(0), $c->logic(1);
    return $n;
}

sub limited { return $c->node(0)->status->{counters}{sends_limited} }

# what so many messages at once are answered
sub answers {
    my ($client, $n, $what) = @_;
    $client->send(4, say({ to => 'live://1' }, "$what $_")) for 1 .. $n;
    return map { sent($client->reply) } 1 .. $n;
}

my $listener = enters($c, mid => 999);

# ---- size --------------------------------------------------------------------

{
    my $client = enters($c, mid => ++$mid, %live);
    is send_to($client, { to => 'live://1' }, 'x' x 100)->{code}, 0,
        'as long as may be';
    is $listener->push->{body}, 'x' x 100, 'comes';
    my $a = send_to($client, { to => 'live://1' }, 'x' x 101);
    is $a->{code}, -413, 'longer by one';
    ok length $a->{reason}, 'it says why';
    is sends('large'), 1, 'is counted';

    # its node's bound on packets is the first
    $client->send(4, say({ to => 'live://1' }, 'x' x 5000));
    is $client->closed, 1009, 'a packet that no node takes: closed';
}

# ---- a session ---------------------------------------------------------------

for my $transport (qw(ws tcp)) {
    my $client = enters($c, mid => ++$mid, transport => $transport, %live);
    my $other = enters($c, mid => $mid, %live);
    my $had = limited();
    my @a = answers($client, 6, $transport);
    is_deeply [map { $_->{code} } @a], [0, 0, 0, -429, -429, -429],
        "$transport: three at once, no more";
    is limited() - $had, 3, "$transport: they are counted";
    for my $a (@a[3 .. 5]) {
        ok $a->{after} > 0 && $a->{after} <= 2000, "$transport: it says when";
        ok length $a->{reason}, "$transport: and why";
    }
    is_deeply [map { $_->{body} } $listener->pushes(3)],
        [map { "$transport $_" } 1 .. 3], "$transport: these come";

    is send_to($other, { to => 'live://1' }, 'other')->{code}, 0,
        "$transport: another session is another one";
    ok $client->heartbeat, "$transport: it stays, and may do all else";
    wait_for { send_to($client, { to => 'live://1' }, 'later')->{code} == 0 }
        10, 'a while later it may';
    is_deeply [map { $_->{body} } $listener->pushes(2)], [qw(other later)],
        "$transport: nothing else came";
}

# ---- a user ------------------------------------------------------------------

restart($c, send => { rate => 0, mid_rate => '0.001', mid_burst => 10 });
$c->logic(1)->configure({ send => { rate => 0, mid_rate => '0.001',
    mid_burst => 10 } })->kill9;
$c->logic(1)->start;
wait_for { $c->logic($_)->metrics->{goim_logic_rpc_links} == 2 } 20,
    'both nodes have both' for 0, 1;

{
    ++$mid;
    my @mine = map { enters($c, mid => $mid, room => 'live://2', @$_, %live) }
        [node => 0], [node => 1], [node => 0, transport => 'tcp'];
    my $often = sends('often');
    my %got;
    for my $n (1 .. 5) {
        $_->send(4, say({ to => 'live://1' }, 'mine')) for @mine;
        for my $client (@mine) {
            my $a = sent($client->reply);
            $got{ $a->{code} }++;
            ok $a->{after} > 100_000 && $a->{after} <= 1_000_000, 'it says when'
                if $a->{code} == -429;
        }
    }
    is_deeply \%got, { 0 => 10, -429 => 5 },
        'ten of all connections of a user, by both logics';
    is sends('often') - $often, 5, 'those refused are counted';
    is scalar(my @came = $listener->pushes(10)), 10, 'ten come';

    my $again = enters($c, mid => $mid, room => 'live://2', %live);
    is send_to($again, { to => 'live://1' }, 'x')->{code}, -429,
        'who connects again is the same user';
    is send_to($again, { to => 'game://1' }, 'x')->{code}, -403,
        'what is not granted is not counted';
    my $other = enters($c, mid => ++$mid, room => 'live://2', %live);
    is send_to($other, { to => 'live://1' }, 'other')->{code}, 0,
        'another user is another one';
    is $listener->push->{body}, 'other', 'nothing else came';

    # what a token says of itself goes before the configuration
    my $few = enters($c, mid => ++$mid, room => 'live://2', %live,
        limits => { mid_burst => 1 });
    is_deeply [map { $_->{code} } answers($few, 2, 'few')], [0, -429],
        'the burst of its token';
    my $many = enters($c, mid => ++$mid, room => 'live://2', %live,
        limits => { mid_rate => 0, rate => '0.001' + 0, burst => 11 });
    is_deeply [map { $_->{code} } answers($many, 12, 'many')],
        [(0) x 11, -429], 'the rates of its token';
    is scalar(my @more = $listener->pushes(12)), 12, 'they come';

    # nobody can tell how often it was
    $c->redis->pause;
    my $a = send_to($other, { to => 'live://1' }, 'unknown');
    is $a->{code}, -503, 'Redis does not answer: not sent';
    $c->redis->resume;
    wait_for { send_to($other, { to => 'live://1' }, 'known')->{code} == 0 } 20,
        'it answers again';
    is $listener->push->{body}, 'known', 'what was not sent does not come';
}

done_testing;
