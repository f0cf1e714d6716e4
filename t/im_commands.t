# What groups and conversations have beside messages: how one joins, who asks and
# is answered, what newcomers see, lists in pages, settings, what the application
# keeps; with both databases. And tables of an earlier version are brought up.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Test;

my $json = JSON::PP->new->canonical->allow_nonref;
my ($c, $api, $db);

# as many as there are steps
my $version = () = slurp(root_dir() . '/svc/im.c')
    =~ /^static const char \*const  im_tables_\d+\[\]/mg;

sub get {
    my ($what, @query) = @_;
    return $api->get("/goim/im/$what", @query);
}

sub post {
    my ($what, @query) = @_;
    return $api->post("/goim/im/$what", [@query]);
}

# kinds and payloads of a conversation, as mid may read them
sub items {
    my ($conv, $mid) = @_;
    return map { "$_->{kind} $_->{body}" }
        @{ get('history', mid => $mid, conv => $conv)->{data}{items} || [] };
}

sub members {
    my ($conv) = @_;
    return join ' ', map { $_->{mid} } @{ get('group/members', mid => 1,
        conv => $conv)->{data} };
}

# ---- groups ------------------------------------------------------------------

sub asking {
    is(post('group/create', mid => 1, id => 'ask', join => 'ask', mids => 2)
        ->{code}, 0, 'a group that is asked');
    my @ask = (mid => 5, conv => 'g1.ask', text => "let me in \x{263a}");
    ok(post('group/join', @ask)->{data}{seq}, 'one asks');
    is(post('group/join', @ask)->{data}{seq}, 0, 'once');
    is((items('g1.ask', 2))[-1], qq(ask {"text":"let me in \x{263a}"}),
        'which members see');
    is(members('g1.ask'), '1 2', 'it is none of them yet');
    is(get('history', mid => 5, conv => 'g1.ask')->{code}, -403, 'and blind');

    my $answer = sub { post('group/answer', mid => $_[0], conv => 'g1.ask',
        member => $_[1], accept => $_[2])->{code} };
    is($answer->(2, 5, 1), -403, 'a member does not answer');
    is($answer->(9, 5, 1), -403, 'nor a stranger');
    is($answer->(1, 6, 1), -404, 'nobody else asks');
    is($answer->(1, 5, 0), 0, 'refused');
    is(members('g1.ask'), '1 2', 'it is none of them');
    my $told = get('sync', mid => 5)->{data}{items};
    is($told->[-1]{kind} . $told->[-1]{body}, 'answer{"mids":[5],"accept":0}',
        'and is told so');
    is($answer->(1, 5, 0), -404, 'it asks no more');

    post('group/join', @ask);
    is($answer->(1, 5, 1), 0, 'asks again, and is let in');
    is(members('g1.ask'), '1 2 5', 'it is a member');
    is($answer->(1, 5, 1), 0, 'let in again: the same');
    is(post('group/join', mid => 6, conv => 'g1.ask')->{code}, 0, 'another');
    post('group/add', mid => 1, conv => 'g1.ask', mids => 6);
    is($answer->(1, 6, 0), -404, 'who was added asks no more');
    is(post('group/add', mid => 2, conv => 'g1.ask', mids => 7)->{code}, -403,
        'members add nobody');
}

sub histories {
    for my $rule (qw(all joined)) {
        post('group/create', mid => 1, id => $rule, history => $rule,
            join => 'open');
        $api->post('/goim/im/send', [mid => 1, to => "g1.$rule", id => $_], $_)
            for qw(a b);
        post('group/join', mid => 8, conv => "g1.$rule");
        $api->post('/goim/im/send', [mid => 1, to => "g1.$rule", id => 'c'],
            'c');
        is(join('|', items("g1.$rule", 8)), $rule eq 'all'
            ? "create {\"join\":\"open\",\"history\":\"all\"}|msg a|msg b|join {}|msg c"
            : 'join {}|msg c', "$rule: what a newcomer reads");
        is(scalar(my @all = items("g1.$rule", 1)), 5, 'who was there: all');
        is_deeply([map { $_->{seq} } @{ get('history', mid => 8,
            conv => "g1.$rule", after => 1, limit => 2)->{data}{items} }],
            $rule eq 'all' ? [2, 3] : [4, 5], 'forwards, too');
    }
}

sub group {
    is(post('group/create', mid => 1, id => 'g', mids => [2 .. 130],
        ext => '{"name":"us"}')->{code}, 0, 'with something of the application');
    my $is = get('group', mid => 2, conv => 'g1.g')->{data};
    my $at = delete $is->{at};
    is_deeply($is, { conv => 'g1.g', seq => 1, n => 0, join => 'closed',
        mute_all => JSON::PP::false, history => 'all', ext => { name => 'us' },
        role => 'member', owner => 1, members => 130 }, 'how a group is');
    is(get('group', mid => 999, conv => 'g1.g')->{code}, -403, 'not for others');

    is(post('group/update', mid => 1, conv => 'g1.g', ext => '["a",1]')
        ->{data}{seq}, 2, 'that is another now');
    is(post('group/update', mid => 1, conv => 'g1.g', ext => '["a",1]')
        ->{data}{seq}, 0, 'the same again changes nothing');
    is((items('g1.g', 3))[-1], 'update {"ext":["a",1]}', 'members see it');
    is_deeply(get('group', mid => 1, conv => 'g1.g')->{data}{ext}, ['a', 1],
        'and it is kept');

    my ($after, @pages) = (0);
    while (my @page = @{ get('group/members', mid => 3, conv => 'g1.g',
        after => $after, limit => 50)->{data} })
    {
        push @pages, map { $_->{mid} } @page;
        $after = $pages[-1];
    }
    is("@pages", join(' ', 1 .. 130), 'members, in pages');
    is(get('group/members', mid => 999, conv => 'g1.g')->{code}, -403,
        'not for others');

    my $set = sub { post('group/member', mid => $_[0], conv => 'g1.g',
        member => $_[1], @_[2 .. $#_]) };
    ok($set->(2, 2, ext => '"me"')->{data}{seq}, "one's own ext");
    is($set->(2, 2, ext => '"me"')->{data}{seq}, 0, 'the same again');
    is($set->(2, 3, ext => '"you"')->{code}, -403, "not another's");
    is($set->(2, 2, ext => '"me"', muted => 0)->{code}, -403, 'nor unmuted');
    ok($set->(1, 3, ext => '"you"', role => 'admin')->{data}{seq}, 'the owner');
    my $muted = $set->(3, 4, muted => 600);
    is_deeply(get('group/members', mid => 9, conv => 'g1.g', limit => 4)->{data},
        [{ mid => 1, role => 'owner', muted => 0, ext => undef },
         { mid => 2, role => 'member', muted => 0, ext => 'me' },
         { mid => 3, role => 'admin', muted => 0, ext => 'you' },
         { mid => 4, role => 'member', muted => $muted->{data}{at} + 600_000,
            ext => undef }], 'what each of them is');
}

# ---- conversations -----------------------------------------------------------

sub conversations {
    my $n = 25;
    $api->post('/goim/im/send', [mid => 150, to => 200 + $_, id => 'x'], 'x')
        for 1 .. $n;
    $db->sql("UPDATE conversation SET at = 5 WHERE id LIKE 'p150.%'");
    my (@next, @all);
    while (my @page = @{ get('convs', mid => 150, limit => 10, @next)->{data} }) {
        push @all, map { $_->{conv} } @page;
        @next = (before => $page[-1]{at}, conv => $page[-1]{conv});
    }
    is("@all", join(' ', map { "p150.$_" } 201 .. 200 + $n),
        'pages of conversations of one time: each of them once');

    my $own = sub { my ($is) = grep { $_->{conv} eq 'p150.201' }
        @{ get('convs', mid => $_[0])->{data} };
        return $json->encode([@$is{qw(notify ext)}]) };
    is($own->(150), '[1,null]', 'settings, at first');
    is(post('conv', mid => 150, conv => 'p150.201', notify => 0,
        ext => '{"pin":1}')->{code}, 0, 'are set');
    is($own->(150), '[0,{"pin":1}]', 'and kept');
    is($own->(201), '[1,null]', 'for oneself');
    post('conv', mid => 150, conv => 'p150.201', notify => 1);
    is($own->(150), '[1,{"pin":1}]', 'what is missing stays');
    is(post('conv', mid => 9, conv => 'g1.g', notify => 0)->{code}, 0, 'a group');
    is(post('conv', mid => 999, conv => 'g1.g', notify => 0)->{code}, -403,
        "not another's");
    is(post('conv', mid => 9, conv => 'g1.none', notify => 0)->{code}, -404,
        'nor of none');
}

# a page ends where the next entry does not fit: nothing behind it is told
sub pages {
    my $big = 'x' x 60_000;
    $api->post('/goim/im/send', [mid => 161, to => 160, id => $_], $_ . $big)
        for 1 .. 6;
    post('read', mid => 160, conv => 'p160.161', read => 2);
    $api->post('/goim/im/send', [mid => 161, to => 160, id => 7], 7);
    post('conv', mid => 160, conv => 'p160.161', notify => 0);
    my ($after, $n, @all) = (0, 0);
    while (my @page = @{ get('sync', mid => 160, after => $after)
        ->{data}{items} })
    {
        push @all, map { $_->{seq} || $_->{kind} } @page;
        $after = $page[-1]{inbox};
        $n++;
    }
    is("@all", '1 2 3 4 5 6 read 7 conv', 'the inbox, all of it');
    cmp_ok($n, '>', 1, 'in pages');

    my $is = get('sync', mid => 160, after => 8)->{data};
    ok(!exists $is->{recovered}, 'who tells no epoch is told nothing of it');
    my $same = get('sync', mid => 160, after => 8, epoch => $is->{epoch})->{data};
    is($json->encode($same), $json->encode({ %$is,
        recovered => JSON::PP::true }), 'of this inbox: what follows');
    is($json->encode(get('sync', mid => 160, after => 8, epoch => 'other')
        ->{data}), $json->encode({ %$is, items => [],
        recovered => JSON::PP::false }), 'of another one: nothing, and told so');
    $db->sql('UPDATE account SET first = 5 WHERE mid = 160');
    for ([3, 0], [4, 1]) {
        my ($has, $kept) = @$_;
        my $page = get('sync', mid => 160, after => $has,
            epoch => $is->{epoch})->{data};
        is($page->{recovered} ? 1 : 0, $kept, "5 is the first that is kept: after $has");
    }
}

sub wrong {
    for (['conv', 'notify', conv => 'p1.2', notify => 2],
        ['conv', 'ext', conv => 'p1.2', ext => '{'],
        ['conv', 'ext', conv => 'p1.2', ext => '"' . 'x' x 4095 . '"'],
        ['conv', 'ext', conv => 'p1.2', ext => '{"a":1,"a":2}'],
        ['conv', 'ext', conv => 'p1.2', ext => '"\u0000"'],
        ['conv', 'conv'], ['conv', 'what', conv => 'p1.2', what => 1],
        ['send', 'mids', to => 2, id => 'x', mids => 3],
        ['group/create', 'join', id => 'x', join => 'no'],
        ['group/create', 'history', id => 'x', history => 'none'],
        ['group/join', 'text', conv => 'g1.ask', text => 'x' x 1025],
        ['group/answer', 'accept', conv => 'g1.ask', member => 5],
        ['group/answer', 'accept', conv => 'g1.ask', member => 5, accept => 2],
        ['group/answer', 'member', conv => 'g1.ask', accept => 1],
        ['group/member', 'member', conv => 'g1.ask', role => 'admin'])
    {
        my ($what, $name, @args) = @$_;
        my $said = post($what, mid => 1, @args);
        is($said->{code}, -400, substr "$what @args", 0, 60);
        like($said->{message}, qr/^$name: /, 'it is named');
    }
    for (['sync', 'epoch', epoch => ''], ['sync', 'epoch', epoch => 'x' x 33],
        ['history', 'before', conv => 'p1.2', before => 2, after => 1])
    {
        my ($what, $name, @args) = @$_;
        like(get($what, mid => 1, @args)->{message}, qr/^$name: /, "$what @args");
    }
    is(get('group', mid => 1, conv => 'p1.2')->{message}, 'conv: not a group',
        'a pair is none');
    is(post('conv', mid => 150, conv => 'p150.202', ext => '"' . 'x' x 4094
        . '"')->{code}, 0, 'as long as may be');
}

# ---- an earlier version ------------------------------------------------------

my @one = (
    'CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
    'CREATE TABLE place (partition BIGINT PRIMARY KEY, epoch TEXT NOT NULL, '
        . 'position BYTEA NOT NULL)',
    'CREATE TABLE account (mid BIGINT PRIMARY KEY, seq BIGINT NOT NULL, '
        . 'first BIGINT NOT NULL)',
    'CREATE TABLE inbox (mid BIGINT NOT NULL, seq BIGINT NOT NULL, '
        . 'conv TEXT NOT NULL, cseq BIGINT NOT NULL, PRIMARY KEY (mid, seq))',
    'CREATE TABLE conversation (id TEXT PRIMARY KEY, seq BIGINT NOT NULL, '
        . 'n BIGINT NOT NULL, at BIGINT NOT NULL, rule TEXT NOT NULL, '
        . 'mute_all BIGINT NOT NULL)',
    'CREATE TABLE message (conv TEXT NOT NULL, seq BIGINT NOT NULL, '
        . 'n BIGINT NOT NULL, mid BIGINT NOT NULL, cid TEXT NOT NULL, '
        . 'kind TEXT NOT NULL, at BIGINT NOT NULL, body BYTEA NOT NULL, '
        . 'PRIMARY KEY (conv, seq), UNIQUE (conv, mid, cid))',
    'CREATE TABLE member (conv TEXT NOT NULL, mid BIGINT NOT NULL, '
        . 'read BIGINT NOT NULL, read_n BIGINT NOT NULL, role BIGINT NOT NULL, '
        . 'muted BIGINT NOT NULL, PRIMARY KEY (conv, mid))',
    'CREATE INDEX member_mid ON member (mid)',
    "INSERT INTO meta (name, value) VALUES ('version', '1'), ('epoch', 'old')",
    "INSERT INTO conversation VALUES ('p1.2', 1, 1, 7, 'closed', 0)",
    "INSERT INTO message VALUES ('p1.2', 1, 1, 1, 'c1', 'msg', 7, 'text')",
    "INSERT INTO member VALUES ('p1.2', 1, 1, 1, 0, 0), ('p1.2', 2, 0, 0, 0, 0)",
    'INSERT INTO account VALUES (1, 1, 1), (2, 1, 1)',
    "INSERT INTO inbox VALUES (1, 1, 'p1.2', 1), (2, 1, 'p1.2', 1)",
);

sub brought_up {
    is($db->sql('SELECT count(*) FROM device'), "0\n", 'there are new tables');
    is(join('|', items('p1.2', 2)), 'msg text', 'what was there is there');
    is(get('sync', mid => 2)->{data}{epoch}, 'old', 'in its epoch');
    is($api->post('/goim/im/send', [mid => 2, to => 1, id => 'c1'], 'new')
        ->{data}{seq}, 2, 'and goes on');
}

sub newer {
    allow_log(qr/its tables are of another version/);
    $db->sql("UPDATE meta SET value = '9' WHERE name = 'version'");
    $c->job->stop;
    eval { $c->job->start };
    eventually { !$c->job->alive } 20, 'tables of a later version are refused';
    isnt($c->job->exit_status, 0, 'by ending');
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        $db = Goim::IM->new($kind);
        $db->sql($_) for @one;
        my %im = (im => { db => $db->url });
        $c = Goim::Cluster->new(logic => { conf => { im => { %{ $im{im} },
            insecure => 1 } } }, job => { conf => { %im } });
        $api = $c->api;
        eventually { get('sync', mid => 1)->{code} == 0
            && $db->sql("SELECT value FROM meta WHERE name = 'version'")
                eq "$version\n" } 20, 'an earlier version is brought up';

        subtest 'what was there' => \&brought_up;
        subtest 'asking' => \&asking;
        subtest 'histories' => \&histories;
        subtest 'groups' => \&group;
        subtest 'conversations' => \&conversations;
        subtest 'pages' => \&pages;
        subtest 'wrong parameters' => \&wrong;
        subtest 'a later version' => \&newer;
    };
}

done_testing;
