# Messages between people: stored once, in order, brought to each device, read
# again; with both databases. kill -9 and repeats change nothing.

use strict;
use warnings;

use JSON::PP qw(decode_json);

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Test;

my ($c, $api);

sub send_to {
    my ($mid, $to, $id, $body) = @_;
    return $api->post('/goim/im/send', [mid => $mid, to => $to, id => $id],
        $body);
}

sub item {
    my ($push) = @_;
    my ($line, $body) = split /\n/, $push->{body}, 2;
    return { %{ decode_json($line) }, body => $body };
}

sub get {
    my ($what, @query) = @_;
    return $api->get("/goim/im/$what", @query);
}

sub inbox {
    my ($mid) = @_;
    my ($after, @all) = (0);
    while (my @items = @{ get('sync', mid => $mid, after => $after)
        ->{data}{items} })
    {
        push @all, @items;
        $after = $items[-1]{inbox};
    }
    return @all;
}

sub pairs {
    my @clients = map { $c->client(mid => $_->[0], key => $_->[1],
        accepts => [20]) } [1, 'one'], [2, 'two'], [2, 'too'];

    my $sent = send_to(1, 2, 'c1', "hello\nyou");
    is($sent->{code}, 0, 'sent') or diag explain $sent;
    is_deeply([@{ $sent->{data} }{qw(conv seq)}], ['p1.2', 1],
        'the first item of the pair');

    for my $client (@clients) {
        my $item = item($client->push);
        is_deeply([@$item{qw(conv seq n mid id kind at body)}],
            ['p1.2', 1, 1, 1, 'c1', 'msg', $sent->{data}{at}, "hello\nyou"],
            'to all devices of both');
    }

    is_deeply(send_to(1, 2, 'c1', 'other')->{data}, $sent->{data},
        'a repeat: the same answer');
    is(send_to(2, 1, 'c1', 'back')->{data}{seq}, 2,
        "another's id of the same name is another");
    is(item($clients[0]->push)->{body}, 'back', 'and the way back');
    is(send_to(3, 3, 'c1', 'note')->{data}{conv}, 'p3.3', 'to oneself');

    my $sync = get('sync', mid => 2)->{data};
    is($sync->{seq}, 2, 'the inbox has two');
    is_deeply([map { [$_->{inbox}, $_->{body}] } @{ $sync->{items} }],
        [[1, "hello\nyou"], [2, 'back']], 'which are these');
    is_deeply([map { $_->{inbox} } @{ get('sync', mid => 2, after => 1)
        ->{data}{items} }], [2], 'after the first, the second');
    is(get('sync', mid => 77)->{data}{seq}, 0,
        'who has nothing has an empty one');
    like($sync->{epoch}, qr/^\w{32}$/, 'of an epoch');

    send_to(1, 2, 'bytes', "\xff\0");
    is(get('history', mid => 1, conv => 'p1.2')->{data}{items}[-1]{base64},
        '/wA=', 'what is no text');
}

sub groups {
    my $made = $api->post('/goim/im/group/create', [mid => 1, id => 'team',
        mids => [2, 3, 3]]);
    is($made->{data}{conv}, 'g1.team', 'a group') or diag explain $made;
    is_deeply($api->post('/goim/im/group/create', [mid => 1, id => 'team',
        mids => 9])->{data}, $made->{data}, 'the same group');
    is(send_to(3, 'g1.team', 'a', 'all of you')->{data}{seq}, 2,
        'a message in it');
    is(send_to(9, 'g1.team', 'a', 'me too')->{code}, -403, 'not of a stranger');
    is(send_to(4, 'g1.none', 'a', 'me too')->{code}, -404, 'nor in none');

    is_deeply([map { "$_->{conv} $_->{last}{body}" } @{ get('convs',
        mid => 3)->{data} }], ['g1.team all of you', 'p3.3 note'],
        'the list of conversations');
    is(get('history', mid => 4, conv => 'g1.team')->{code}, -403,
        'who is no member reads nothing');
    is(get('history', mid => 4, conv => 'p1.2')->{code}, -403, 'of a pair too');
    is_deeply([map { $_->{kind} } @{ get('history', mid => 2,
        conv => 'g1.team', before => 3)->{data}{items} }], ['create', 'msg'],
        'its making is an item');
}

sub unread {
    my ($mid, $conv) = @_;
    my ($is) = grep { $_->{conv} eq $conv } @{ get('convs', mid => $mid)
        ->{data} };
    return $is->{n} - $is->{read_n};
}

sub cursors {
    is(unread(1, 'g1.team'), 1, 'one of another is unread');
    is(unread(3, 'g1.team'), 0, "one's own is not");
    my $read = sub { $api->post('/goim/im/read', [mid => $_[0],
        conv => 'g1.team', read => $_[1]])->{code} };
    is($read->(1, 2), 0, 'read');
    is(unread(1, 'g1.team'), 0, 'so there is none');
    is($read->(1, 1), 0, 'a smaller number is answered alike');
    is(unread(1, 'g1.team'), 0, 'and changes nothing');
    is($read->(1, 3), -400, 'what is not there cannot be read');
    is($read->(9, 1), -403, 'nor by a stranger');
}

sub wrong {
    for ([mid => 0], [mid => 'x'], [mid => '-1'], [to => 'x'], [to => 0],
        [to => 'g1'], [to => "g1.a b"], [id => ''], [id => 'a b'],
        [id => 'x' x 65], [kind => 'x' x 33], [kind => "\x{e4}"])
    {
        my %p = (mid => 1, to => 2, id => 'i', @$_);
        my $said = $api->post('/goim/im/send', [%p], 'x');
        is($said->{code}, -400, "$_->[0]: $_->[1]");
        like($said->{message}, qr/^$_->[0]: /, 'and it is named');
    }
    is(send_to(1, 2, 'big', 'x' x 65537)->{code}, -413, 'too large');
    is(send_to(1, 2, 'large', 'x' x 65536)->{code}, 0, 'as large as may be');
}

# job is killed while messages come, and each is sent again until answered
sub killed {
    my $n = 60;
    my %seq;
    for my $i (1 .. $n) {
        my $res = send_to(1, 5, "m$i", "body $i");
        if ($i == 25) {
            $c->job->kill9;
            $c->job->start;
        }
        redo if $res->{code} == -504;
        $seq{$res->{data}{seq}}++;
    }
    is_deeply([sort { $a <=> $b } keys %seq], [1 .. $n], 'each of them once');
    is_deeply([map { $_->{body} } inbox(5)], [map { "body $_" } 1 .. $n],
        'in the order they were sent');
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        my $db = $kind eq 'sqlite' ? 'sqlite:' . folder('db') . '/im.db'
            : Goim::Postgres->new->url;

        $c = Goim::Cluster->new(logic => { conf => { im => { db => $db,
            insecure => 1 } } },
            job => { conf => { im => { db => $db } } });
        $api = $c->api;

        subtest 'pairs' => \&pairs;
        subtest 'groups' => \&groups;
        subtest 'cursors' => \&cursors;
        subtest 'wrong parameters' => \&wrong;
        subtest 'job killed' => \&killed;
    };
}

my $none = Goim::Cluster->new;
is($none->api->post('/goim/im/send', [mid => 1, to => 2, id => 'x'], 'x')
    ->{code}, -404, 'without [im] there is no such route');

done_testing;
