# What clients send goes through Kafka as it goes through Redis: to rooms and
# users, each once and in order, no longer than a node takes; and while Kafka is
# away it is refused, or said to be unknown.
#
# ASAN: no (send.t and http_kafka.t take these ways there)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;
use Goim::Proto;
use Goim::Sender;
use JSON::PP ();

# what all nodes are known to take is [http] max_body at most
my $takes = 100 * 1024;

my $c = Goim::Cluster->new(bus => 'kafka',
    nginx => { tcp => 1, goim => { max_body => '512k' } },
    logic => { Goim::Sender::logic(http => { max_body => '100k' },
        send => { max_size => '400k' }, push => { timeout => '2s' }) });

my %live = (send => { rooms => ['live://*'], mids => JSON::PP::true });
my $one = enters($c, mid => 7, key => 'one', %live);
my $two = enters($c, mid => 8, key => 'two', transport => 'tcp', %live);

sub sends {
    my ($result) = @_;
    return $c->logic->metrics->{qq(goim_logic_sends_total{result="$result"})};
}

# ---- to rooms and users ------------------------------------------------------

$one->send(4, say({ to => 'live://1', id => "i$_" }, "n$_")) for 1 .. 50;
is_deeply [map { sent($one->reply)->{code} } 1 .. 50], [(0) x 50],
    'each is taken';
for my $client ($one, $two) {
    is_deeply [map { $_->{body} } $client->pushes(50)],
        [map { "n$_" } 1 .. 50], 'and comes once, in order';
}

is send_to($two, { mids => [7] }, 'to one')->{code}, 0, 'to a user, over TCP';
is $one->push->{body}, 'to one', 'comes';
is send_to($one, { to => 'own://1' }, 'x')->{code}, -403,
    'a room that it may not send to';

my @records = map { Goim::Proto::proto_decode('PushMsg', $_->[3]) }
    $c->kafka->records('goim-push-topic');
is_deeply [map { $_->{sender} } grep { $_->{type} ne 'CANARY' } @records],
    [(7) x 50, 8], 'each record says by whom';

# ---- as long as a node takes -------------------------------------------------

is send_to($one, { to => 'live://1' }, 'm' x $takes)->{code}, 0,
    'as long as the node takes';
is length $_->push->{body}, $takes, 'comes' for $one, $two;
my $answer = send_to($one, { to => 'live://1' }, 'm' x ($takes + 1));
is $answer->{code}, -413, 'a byte more';
is $answer->{reason}, 'the message is longer than a node takes', 'it says why';
is sends('large'), 1, 'and is counted';
ok $one->heartbeat, 'it stays';

# ---- without Kafka -----------------------------------------------------------

$c->kafka->stop;
eventually { send_to($one, { to => 'live://1' }, 'lost')->{code} == -503 } 30,
    'without Kafka it is refused';
$c->kafka->start;
my $n = 0;
eventually { send_to($one, { to => 'live://1' }, 'again ' . ++$n)->{code} == 0 }
    60, 'with Kafka it is taken';
is send_to($one, { to => 'live://1' }, 'last')->{code}, 0, 'another one';

# what it was not known of may have been sent
for my $client ($one, $two) {
    my @came;
    while (!@came || $came[-1] ne 'last') {
        my $push = $client->push(20) or last;
        push @came, $push->{body};
    }
    is_deeply [grep { /^last$|^again $n$/ } @came], ["again $n", 'last'],
        'what was taken comes once';
}

done_testing;
