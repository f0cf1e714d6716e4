# Commands that come at once are one transaction, and what comes of them is what
# would have come of them one by one; what changes nothing writes nothing.

use strict;
use warnings;

use IO::Socket::INET ();
use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Test;

my $json = JSON::PP->new->canonical->allow_nonref;
my ($c, $api, $db);

# the newest of each partition of the bus
sub commands {
    return join ' ', map {
        my %info = @{ $c->redis->cmd('XINFO', 'STREAM', $_) };
        "$_ $info{'last-generated-id'}";
    } sort grep { /^goim:bus:im:\d+$/ } @{ $c->redis->cmd('KEYS', '*') };
}

# [route, query, payload] each: while job rests they pile up, and are one batch
# when it goes on
sub at_once {
    my @waiting;
    $c->job->pause;
    for (@_) {
        my ($route, $query, $body) = (@$_, '');
        my $before = commands();
        my $socket = IO::Socket::INET->new("127.0.0.1:$c->{logics}[0]{http_port}")
            or die "connect: $@\n";
        print $socket "POST /goim/im/$route?$query HTTP/1.1\r\n"
            . "Host: localhost\r\nConnection: close\r\nContent-Length: "
            . length($body) . "\r\n\r\n$body";
        wait_for { commands() ne $before } 20, 'it is in the bus';
        push @waiting, $socket;
    }
    $c->job->resume;
    local $/;
    return map { $json->decode(readline($_) =~ s/.*\r\n\r\n//sr) } @waiting;
}

sub codes { return join ' ', map { $_->{code} } @_ }

sub get {
    my ($what, @query) = @_;
    return $api->get("/goim/im/$what", @query)->{data};
}

sub unread {
    my ($mid, $conv) = @_;
    my ($is) = grep { $_->{conv} eq $conv } @{ get('convs', mid => $mid) };
    return $is->{n} - $is->{read_n};
}

sub says {
    my ($mid, $to, $id) = @_;
    return $api->post('/goim/im/send', [mid => $mid, to => $to, id => $id], $id);
}

# "kind body" of a conversation
sub items {
    my ($mid, $conv) = @_;
    return map { "$_->{kind} $_->{body}" }
        @{ get('history', mid => $mid, conv => $conv)->{items} };
}

# a cursor moves by what one has read, and by what one then says
sub cursors {
    says(1, 2, $_) for 1 .. 3;
    is(unread(2, 'p1.2'), 3, 'three of another');
    is(codes(at_once(['read', 'mid=2&conv=p1.2&read=3'],
        ['send', 'mid=2&to=1&id=a', 'answer'])), '0 0', 'read, and answered');
    is(unread(2, 'p1.2'), 0, 'nothing is unread');
    is(codes(at_once(['send', 'mid=1&to=2&id=b', 'x'],
        ['send', 'mid=1&to=2&id=c', 'y'], ['read', 'mid=2&conv=p1.2&read=5'],
        ['read', 'mid=2&conv=p1.2&read=4'])), '0 0 0 0', 'said, and read at once');
    is(unread(2, 'p1.2'), 1, 'but for the last');
    is($db->sql("SELECT read FROM member WHERE conv = 'p1.2' AND mid = 2"),
        "5\n", 'a smaller cursor is ignored');
    is(unread(1, 'p1.2'), 3, 'who wrote on without reading has read nothing since');
    my $cursors = grep { $_->{kind} eq 'read' } @{ get('sync', mid => 2,
        after => 0)->{items} };
    is($cursors, 1, 'one cursor is in the inbox');
}

sub groups {
    my $ext = '%7B%22a%22%3A1%7D';          # {"a":1}
    is(codes(at_once(['group/create', "mid=1&id=g&mids=2&ext=$ext"],
        ['group/update', "mid=1&conv=g1.g&ext=$ext"],
        ['group/update', 'mid=1&conv=g1.g&join=open'],
        ['group/update', 'mid=1&conv=g1.g&ext=2'],
        ['group/update', 'mid=1&conv=g1.g&join=open&ext=2'],
        ['group/member', 'mid=1&conv=g1.g&member=2&ext=%22x%22'],
        ['group/member', 'mid=1&conv=g1.g&member=2&ext=%22x%22'],
        ['group/create', "mid=1&id=g"])),
        '0 0 0 0 0 0 0 0', 'a group is made and changed');
    is(join('|', items(2, 'g1.g')), 'create {"mids":[2],"ext":{"a":1}}|'
        . 'update {"join":"open"}|update {"ext":2}|'
        . 'member {"mids":[2],"ext":"x"}', 'each change is an item, once');
    my $is = get('group', mid => 2, conv => 'g1.g');
    is($json->encode([@$is{qw(join ext)}]), '["open",2]', 'and it is so');
    is(codes(at_once(['group/add', 'mid=1&conv=g1.g&mids=3'],
        ['conv', 'mid=3&conv=g1.g&notify=0&ext=1'],
        ['group/remove', 'mid=1&conv=g1.g&mids=3'],
        ['send', 'mid=3&to=g1.g&id=x', 'late'],
        ['group/add', 'mid=1&conv=g1.g&mids=3'])), '0 0 0 -403 0',
        'added, removed, added');
    my ($own) = @{ get('convs', mid => 3) };
    is($json->encode([@$own{qw(notify ext)}]), '[1,null]',
        'who comes again has settings as at first');
    is(codes(at_once(['send', 'mid=2&to=g1.g&id=x', 'x'],
        ['group/dismiss', 'mid=1&conv=g1.g'],
        ['send', 'mid=2&to=g1.g&id=y', 'y'],
        ['conv', 'mid=2&conv=g1.g&notify=0'],
        ['group/create', 'mid=1&id=g&mids=2'])), '0 0 -404 -404 0',
        'dismissed while members write');
    is_deeply([map { $_->{kind} } (@{ get('sync', mid => 2, after => 0)->{items}
        })[-2, -1]], ['msg', 'dismiss'], 'the last of it tells so');
}

sub nothing {
    my $entries = sub { $c->job->metrics->{goim_job_im_entries_total} };
    my $set = sub { $api->post('/goim/im/conv', [mid => 1, conv => 'p1.2', @_])
        ->{code} };
    is($set->(notify => 0, ext => '"p"'), 0, 'settings');
    my $before = $entries->();
    is($set->(notify => 0, ext => '"p"'), 0, 'the same again');
    is($set->(), 0, 'none at all');
    is(codes(at_once(['conv', 'mid=1&conv=p1.2&notify=1'],
        ['conv', 'mid=1&conv=p1.2&notify=1'],
        ['conv', 'mid=1&conv=p1.2&ext=%22p%22'])), '0 0 0', 'and changed once');
    is($entries->() - $before, 1, 'is one entry');
    is($json->encode([@{ get('convs', mid => 1)->[0] }{qw(notify ext)}]),
        '[1,"p"]', 'as it was set');
}

# what applications name is theirs alone
sub names {
    $api->post('/goim/im/group/create', [mid => 1, id => 'own', mids => 2]);
    my $sent = says(1, 'g1.own', 'create');
    is("$sent->{code} $sent->{data}{seq}", '0 2',
        'a message whose id is "create" is one of its own');
    is(says(1, 'g1.own', 'create')->{data}{seq}, 2, 'once');
    unlike($_->{id}, qr/^[!-~]+$/, "no message has the id of a $_->{kind}")
        for grep { $_->{kind} ne 'msg' } @{ get('history', mid => 2,
            conv => 'g1.own')->{items} };
    for my $kind (qw(create add remove join ask answer member update dismiss
        read conv))
    {
        my $said = $api->post('/goim/im/send', [mid => 2, to => 'g1.own',
            id => $kind, kind => $kind], '{}');
        is($said->{code}, -400, "no message is of the kind $kind");
        like($said->{message}, qr/^kind: /, 'which is named');
    }
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        $db = Goim::IM->new($kind);
        my %im = (im => { db => $db->url });
        $c = Goim::Cluster->new(logic => { conf => { im => { %{ $im{im} },
            insecure => 1 } } }, job => { conf => { %im } });
        $api = $c->api;
        eventually { says(8, 9, 'x')->{code} == 0 } 20, 'it is ready';

        subtest 'cursors' => \&cursors;
        subtest 'groups' => \&groups;
        subtest 'what changes nothing' => \&nothing;
        subtest 'names' => \&names;
    };
}

done_testing;
