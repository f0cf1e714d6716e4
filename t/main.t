# The way of a message, end to end: clients in rooms on several workers, pushes
# to a room, to keys, to users and to all; over both buses.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Client;
use Goim::Cluster;

# every client in the list gets exactly these bodies, in this order
sub gets {
    my ($name, $clients, @bodies) = @_;
    my @got = map { [map { $_->{body} } $_->pushes(scalar @bodies)] }
        @$clients;
    is_deeply(\@got, [map { \@bodies } @$clients], $name);
}

# nothing came besides
sub silent {
    my ($name, @clients) = @_;
    $_->pump for @clients;
    is(scalar(map { @{ $_->{pushes} } } @clients), 0, $name);
}

sub family {
    my ($bus) = @_;
    my $c = Goim::Cluster->new(bus => $bus, workers => 2, nginx => {
        ssl => 1 });
    my $api = $c->api;

    my @in = map { $c->client(mid => $_, key => "in$_", room => 'live://1',
        accepts => [1000], transport => $_ % 2 ? 'ws' : 'wss') } 1 .. 6;
    my @other = map { $c->client(mid => 10, key => "other$_",
        room => 'live://2', accepts => [1000, 1001]) } 1 .. 2;
    my @all = (@in, @other);

    # room
    is($api->room(1000, 'live', '1', 'to the room')->{code}, 0,
        'room: accepted');
    gets('room: members get it', \@in, 'to the room');

    is($api->room(999, 'live', '1', 'whatever it is')->{code}, 0,
        'room: accepted');
    gets('room: whatever they accept', \@in, 'whatever it is');

    # keys
    is($api->keys(1000, ['in1', 'in4', 'other2', 'nobody'], 'to keys')
        ->{code}, 0, 'keys: accepted, also for one that is not there');
    gets('keys: those get it', [@in[0, 3], $other[1]], 'to keys');

    # mids
    is($api->mids(1000, [2, 10, 99], 'to users')->{code}, 0,
        'mids: accepted');
    gets('mids: all devices get it', [$in[1], @other], 'to users');

    # all
    is($api->all(1000, 'to all')->{code}, 0, 'all: accepted');
    gets('all: everybody gets it', \@all, 'to all');

    is($api->all(1001, 'to some')->{code}, 0, 'all: accepted');
    gets('all: who accepts the operation', \@other, 'to some');

    # a push is an inner packet with its own header
    is($api->keys(1000, ['in1'], 'header')->{code}, 0, 'keys: accepted');
    is_deeply($in[0]->push, { op => 1000, ver => 1, seq => 0,
        body => 'header' }, 'operation, version 1, sequence 0');

    # bytes are bytes
    my $bytes = join '', map { chr($_ % 256) } 0 .. 99_999;
    is($api->room(1000, 'live', '2', $bytes)->{code}, 0, 'room: accepted');
    gets('100,000 bytes of every value', \@other, $bytes);

    # order
    my @many = map { "message $_" } 1 .. 200;
    my $accepted = grep { $api->room(1000, 'live', '1', $_)->{code} == 0 }
        @many;
    is($accepted, 200, '200 pushes in a row');
    gets('in order, none lost, none twice', \@in, @many);

    # changing rooms
    is($in[0]->change_room('live://2')->{body}, 'live://2', 'change room');
    is($api->room(1000, 'live', '2', 'second')->{code}, 0, 'room: accepted');
    gets('the new room reaches it', [$in[0], @other], 'second');
    is($api->room(1000, 'live', '1', 'first')->{code}, 0, 'room: accepted');
    gets('the old one does not', [@in[1 .. 5]], 'first');

    # operations wanted
    is($in[0]->sub([1001])->{body}, '1001', 'subscribe');
    is($api->all(1001, 'now wanted')->{code}, 0, 'all: accepted');
    gets('a subscribed operation comes', [$in[0], @other], 'now wanted');
    is($in[0]->unsub([1001])->{body}, '1001', 'unsubscribe');
    is($api->all(1001, 'no longer')->{code}, 0, 'all: accepted');
    gets('an unsubscribed one does not', \@other, 'no longer');

    # a last one to everybody, so that whatever was wrong came before it
    is($api->all(1000, 'last')->{code}, 0, 'all: accepted');
    gets('the last', \@all, 'last');
    silent('nothing came besides', @all);

    my $st = $c->node->status;
    is($st->{authorized}, 8, 'status: sessions');
    is($_->close, 1000, 'goodbye') for @all;
    eventually { $c->node->status->{sessions} == 0 } 10, 'all are gone';

    $_->stop for reverse @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };
}

for my $bus ($ENV{GOIM_BUS} || qw(redis kafka)) {
    subtest $bus => sub { family($bus) };
}

done_testing;
