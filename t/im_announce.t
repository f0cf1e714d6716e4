# Redis has lost its data, and a node announces its sessions again: what is stored
# for a user whose keys are not known yet comes when they are, by the head of the
# inbox, and not at the next round of heads (half a minute later, at least).

# ASAN: no

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

allow_log(qr/goim: (?:stream|the stream|logic|auth)|\[error\] \d+: /);

my $inbox = 'im://inbox';
my $im = { db => Goim::IM->new('sqlite')->url };
my $c = Goim::Cluster->new(logics => 3, nginx => { logic_timeout => '9s' },
    logic => { Goim::Sender::logic(im => $im, registry => { ttl => '6s', renew => '2s' }) },
    job => { conf => { im => $im, registry => { ttl => '6s', renew => '2s' } } });
my ($redis, $node) = ($c->redis, $c->node);

my $id = 0;
sub message {
    my ($mid, $text) = @_;
    my $said;
    wait_for { $said = eval { $c->api(0)->post('/goim/im/send', [mid => 1,
        to => $mid, id => "$text.$mid"], $text) };
        $said && defined $said->{code} && $said->{code} == 0 } 30,
        "$text for $mid is stored";
}

sub heard {
    return [map { (($_->push(25 / slow()) || { body => '' })->{body}
        =~ /\n(.*)/)[0] } @_];
}
sub counted { return $c->logic(1)->metrics->{"goim_logic_$_[0]_total"} || 0 }

# Sessions that have come by the second logic, which then stands still: they are
# announced again when the node has given it up. Whose turn it is is by chance.
my (@mids, %client);
for (my $mid = 11; @mids < 3; $mid++) {
    my $before = counted('connects');
    my $s = enters($c, mid => $mid, key => "k$mid", room => '', accepts => [20],
        im => {}, recover => { $inbox => {} });
    1 until $s->position->{$inbox};
    enters($c, mid => 1, room => '')->close if $mid % 3 == 0;
    next if counted('connects') == $before;
    push @mids, $mid;
    $client{$mid} = $s;
}
message($_, 'before') for @mids;
is_deeply(heard(@client{@mids}), [('before') x @mids],
    'all have what came before');

# the node hears of the new life by the third logic, asks the first for heads, and
# tells the second
my $n = counted('registers');
wait_for { counted('registers') > $n } 20, 'it is the turn of the third';
hit STOP => $c->logic(1)->pid;
$redis->cmd('FLUSHALL');
wait_for { $node->error_log =~ /another life of Redis, sessions are announced/ }
    30, 'the node hears of it';
my $known = sub { scalar grep { %{ $redis->hgetall("mid_$_") } } @mids };
diag(sprintf '%u of %u are known', $known->(), scalar @mids);

# when whatever else makes the node ask for heads has done so
sleep 4;
my $at = time;
message($_, 'meanwhile') for @mids;
is_deeply(heard(@client{@mids}), [('meanwhile') x @mids],
    'what was stored meanwhile comes to all');
cmp_ok(time - $at, '<', 25, 'before the next round of heads');
hit CONT => $c->logic(1)->pid;

eventually { $known->() == @mids } 20, 'all are known again';
message($_, 'after') for @mids;
is_deeply(heard(@client{@mids}), [('after') x @mids], 'and what comes then');

done_testing;
