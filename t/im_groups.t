# Groups: each change is an item for all who are concerned; what changes nothing
# writes none. Who may do what: im_matrix.t.

use strict;
use warnings;

use JSON::PP qw(decode_json);

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(job => { conf => { %im } },
    logic => { conf => { im => { %{ $im{im} }, insecure => 1 } } });
my $api = $c->api;
my ($owner, $admin, $member, $stranger) = (1, 2, 3, 9);
my $n = 0;

sub group {
    my ($conv, $what, $mid, @more) = @_;
    return $api->post("/goim/im/group/$what", [mid => $mid, conv => $conv,
        @more]);
}

sub says {
    my ($conv, $mid) = @_;
    return $api->post('/goim/im/send', [mid => $mid, to => $conv,
        id => 'i' . ++$n], 'text');
}

# a new group of these three
sub made {
    my $id = 'g' . ++$n;
    $api->post('/goim/im/group/create', [mid => $owner, id => $id,
        mids => [$admin, $member]]);
    my $conv = "g$owner.$id";
    group($conv, 'member', $owner, member => $admin, role => 'admin');
    return $conv;
}

sub items {
    my ($conv, $mid) = @_;
    my $data = $api->get('/goim/im/history', mid => $mid, conv => $conv)
        ->{data} or return;
    return map { "$_->{kind} $_->{body}" } @{ $data->{items} };
}

# ---- what follows ------------------------------------------------------------

my $conv = made();
my $one = $c->client(mid => $member, key => 'one', accepts => [20]);

is(group($conv, 'update', $owner, mute_all => 1)->{code}, 0, 'all are muted');
is(says($conv, $member)->{code}, -403, 'a member may not send');
is(says($conv, $admin)->{code}, 0, 'an admin may');
is(group($conv, 'update', $owner, mute_all => 0)->{code}, 0, 'no more');
is(says($conv, $member)->{code}, 0, 'so it may');
is(group($conv, 'member', $admin, member => $member, muted => 1)->{code}, 0,
    'one is muted for a second');
is(says($conv, $member)->{message}, 'muted', 'and told so');
eventually { says($conv, $member)->{code} == 0 } 10, 'until it is over';
is(group($conv, 'member', $admin, member => $member, muted => 0)->{data}{seq}
    > 0, 1, 'taken back');

is(group($conv, 'join', $stranger)->{code}, -403, 'a closed group');
is(group($conv, 'update', $admin, join => 'open')->{code}, 0, 'opened');
is(group($conv, 'update', $admin, join => 'open')->{data}{seq}, 0,
    'which it is already');
is(group($conv, 'join', $stranger)->{code}, 0, 'anybody joins');
is(group($conv, 'add', $member, mids => [20, 21])->{code}, 0,
    'and members add others');
is(group($conv, 'add', $member, mids => [20, 21])->{data}{seq}, 0, 'once');
is(($api->get('/goim/im/convs', mid => 20)->{data}[0] || {})->{conv}, $conv,
    'who was added sees it');

is(group($conv, 'remove', $member, mids => $member)->{code}, 0, 'it leaves');
is(says($conv, $member)->{code}, -403, 'and may not send');
is($api->get('/goim/im/history', mid => $member, conv => $conv)->{code}, -403,
    'nor read');
says($conv, $owner);
my @got = map { decode_json((split /\n/, $_->{body})[0]) } $one->pushes(11, 20);
is(join(' ', map { $_->{kind} } @got), 'update msg update msg member msg member '
    . 'update join add remove', 'it got each item up to its leaving');
is_deeply([map { $_->{seq} } @got], [3 .. 13], 'in order');

is(group($conv, 'update', $owner, owner => $admin)->{code}, 0, 'handed over');
is(group($conv, 'dismiss', $owner)->{code}, -403, 'it owns it no more');
is(group($conv, 'remove', $owner, mids => $owner)->{code}, 0, 'and may leave');
is(group($conv, 'dismiss', $admin)->{code}, 0, 'dismissed');
is(says($conv, $admin)->{code}, -404, 'it is gone');
is($api->post('/goim/im/group/create', [mid => $owner,
    id => $conv =~ s/^g1\.//r])->{code}, 0, 'made again');
is(says($conv, $owner)->{code}, -404, 'it is the one that is gone');

# ---- wrong parameters --------------------------------------------------------

for (['add', 'mids'], ['add', 'mids', mids => 0], ['add', 'mids', mids => 'x'],
    ['member', 'member'], ['member', 'role', member => 2, role => 'owner'],
    ['member', 'muted', member => 2, muted => -1],
    ['update', 'join', join => 'x'], ['update', 'mute_all', mute_all => 2],
    ['update', 'owner', owner => -1])
{
    my ($what, $names, @args) = @$_;
    my $said = group('g1.g1', $what, 1, @args);
    is($said->{code}, -400, "$what @args");
    like($said->{message}, qr/^$names: /, 'it is named');
}
is(group('p1.2', 'add', 1, mids => 3)->{message}, 'conv: not a group', 'a pair');

# ---- as many as may be -------------------------------------------------------

my $made = $api->post('/goim/im/group/create', [mid => 1, id => 'large',
    mids => [1000 .. 1498]]);
is($made->{code}, 0, '500 members');
is(group('g1.large', 'add', 1, mids => 5)->{code}, -409, 'and no more');
is(group('g1.large', 'add', 1, mids => 1000)->{code}, 0, 'but for one of them');
is($api->post('/goim/im/group/create', [mid => 1, id => 'larger',
    mids => [1000 .. 1499]])->{code}, -409, '501 at once');
$api->post('/goim/im/group/create', [mid => 1, id => 'nearly',
    mids => [1000 .. 1497]]);
is(group('g1.nearly', 'add', 1, mids => [5, 5])->{code}, 0,
    'the last one, who is named twice');
is((items('g1.nearly', 5))[-1], 'add {"mids":[5]}', 'and told of once');
says('g1.large', 1);
is($api->get('/goim/im/sync', mid => 1498)->{data}{seq}, 2,
    'the last of them has both items');

done_testing;
