# Messages between people by the JavaScript client, in Chromium and with real
# servers: whatever ends connections and processes, each message that a page
# sends is stored once, and comes once and in one order to all devices.

# ASAN: no

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Chromium;
use Goim::Cluster;
use Goim::Proxy;
use Goim::Sender;
use Goim::Test;

allow_log(qr/exited on signal 9/);

my $json = JSON::PP->new->canonical->allow_nonref;
my $root = root_dir();
my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(nodes => 2, workers => 1,
    nginx => { goim => { drain => '1s', zone => 'goim 16m' },
        main => 'worker_shutdown_timeout 60s;',
        server => "location /t/ { alias $root/t/web/; }" },
    logic => { Goim::Sender::logic(%im) }, job => { conf => { %im } });
my ($node, $api) = ($c->node(0), $c->api);
my $chromium = Goim::Chromium->new;

sub tab {
    my ($n) = @_;
    return $chromium->page('http://127.0.0.1:' . $c->node($n)->{port}
        . '/t/blank.html');
}

# a page becomes a device of somebody, with the source text of options
sub device {
    my ($page, $mid, $options) = @_;
    my $token = token(mid => $mid, im => {}, accepts => [20, 22]);
    $page->eval("(async () => (await import('/t/people.js')).device('$mid', "
        . "'$token', " . ($options || '{}') . '))()');
}

sub it { return $_[0]->eval("it.$_[1]") }

sub say_to {
    my ($page, $to, $name, $n) = @_;
    $page->eval("it.say('$to', '$name', $n)");
}

# what is stored of a conversation, by the HTTP API
sub stored {
    my ($mid, $conv) = @_;
    my ($after, @items) = (0);
    while (1) {
        my $page = $api->get('/goim/im/history', mid => $mid, conv => $conv,
            after => $after)->{data};
        last if !$page || !@{ $page->{items} };
        push @items, @{ $page->{items} };
        $after = $items[-1]{seq};
    }
    return \@items;
}

# all devices have what is stored, and that is each of these once
sub each_once {
    my ($pages, $mid, $conv, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @stored = map { $_->{body} } @{ stored($mid, $conv) };
    is_deeply([sort @stored], [sort @$expected], "$name: each stored once");
    for my $page (@$pages) {
        eval { wait_for { it($page, "texts('$conv').length") >= @stored } 20,
            $name };
        is_deeply(it($page, "texts('$conv')"), \@stored,
            "$name: each once, in the order that is stored");
    }
}

sub answered {
    my ($page, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    eval { wait_for { !it($page, 'im.waiting.length') } 60, $name };
    is(it($page, 'im.waiting.length'), 0, "$name: all are answered");
    is_deeply(it($page, 'errors'), [], "$name: nothing is wrong");
}

sub names { my ($name, $n) = @_; return map { "$name$_" } 1 .. $n }

my ($one, $too, $two) = map { tab($_) } 0, 1, 1;

subtest 'two devices of one, one of another' => sub {
    device($one, 1);
    device($too, 1);
    device($two, 2);
    say_to($one, 2, 'a', 5);
    say_to($two, 1, 'b', 5);
    answered($_, 'talk') for $one, $two;
    each_once([$one, $too, $two], 1, 'p1.2', [names('a', 5), names('b', 5)],
        'talk');
    my $texts = it($too, "texts('p1.2')");
    is_deeply([grep { /^a/ } @$texts], [names('a', 5)], 'in order of sending');

    my $got = $two->eval(q{it.im.history('p1.2', { before: 6, limit: 2 })
        .then((page) => page.items.map((i) => [i.seq, i.text(), i.mid]))});
    is_deeply([map { $_->[0] } @$got], [4, 5], 'a page of history');
};

subtest 'cursors' => sub {
    my $unread = q{it.im.conversations().then((list) => list.map((c) =>
        [c.conv, c.unread, c.last.text()]))};
    my $last = it($one, "texts('p1.2').at(-1)");
    $api->post('/goim/im/send', [mid => 3, to => 1, id => 'x'], 'from three');
    is_deeply($one->eval($unread)->[0], ['p1.3', 1, 'from three'],
        'one is unread');
    $one->eval(q{it.im.read('p1.3', 1)});
    is($_->eval($unread)->[0][1], 0, 'read, on both devices') for $one, $too;
    $one->eval(q{it.im.read('p1.2', 3).then(() => it.im.read('p1.2', 2))});
    cmp_ok($api->get('/goim/im/history', mid => 1, conv => 'p1.2')
        ->{data}{read}, '>=', 3, 'it does not go back');
};

subtest 'groups' => sub {
    is($one->eval(q{it.im.do('group/create', { id: 'team', mids: [2, 4n] })
        .then((data) => data.conv)}), 'g1.team', 'a group');
    say_to($two, 'g1.team', 'g', 3);
    answered($two, 'group');
    eventually { @{ it($_, "texts('g1.team')") } == 4 } 20, 'they have it all'
        for $one, $too, $two;
    is($two->eval(q{it.im.do('group/dismiss', { conv: 'g1.team' })
        .catch((e) => e.status)}), -403, 'a refusal is told');
    is($two->eval(q{it.im.send('g9.none', 'x').catch((e) => e.status)}), -404,
        'of a message, too');
};

# ---- what ends connections and processes ---------------------------------------

# one and two talk on while something happens
sub through {
    my ($what, $happens) = @_;
    (my $name = $what) =~ s/ /-/g;
    subtest $what => sub {
        device($one, 11);
        device($too, 11);
        device($two, 12);
        my $before = @{ stored(11, 'p11.12') };
        my $opens = it($one, 'opens');
        say_to($one, 12, "$name-a", 20);
        say_to($two, 11, "$name-b", 20);
        $happens->();
        say_to($one, 12, "$name-c", 5);
        answered($_, $name) for $one, $two;
        my @all = map { $_->{body} } @{ stored(11, 'p11.12') };
        my @new = @all[$before .. $#all];
        is_deeply([sort @new], [sort +names("$name-a", 20),
            names("$name-b", 20), names("$name-c", 5)], 'each stored once');
        is_deeply([grep { /-[ac]/ } @new],
            [names("$name-a", 20), names("$name-c", 5)], 'in order of sending');
        for my $page ($one, $too, $two) {
            eval { wait_for { it($page, 'got.length') >= @new } 30, $name };
            is_deeply(it($page, "texts('p11.12')"), \@new,
                'each once on each device, in the order that is stored');
            is_deeply([grep { /gap|kicked/ } @{ it($page, 'told') }], [],
                'no gap');
        }
        cmp_ok(it($one, 'opens'), '>', $opens, 'by another connection')
            if $name =~ /node|network/;
    };
}

through('a node is killed', sub {
    my @workers = $node->workers;
    $node->kill9;
    hit KILL => @workers;
    $node->start;
    $node->wait_registered;
});

through('logic is killed', sub {
    $c->logic->kill9;
    $c->logic->start;
});

through('job is killed', sub {
    $c->job->kill9;
    $c->job->start;
});

subtest 'a network that holds everything' => sub {
    my $proxy = Goim::Proxy->new(to => $node->{port});
    device($one, 21, "{ url: 'ws://127.0.0.1:$proxy->{port}/sub', "
        . 'heartbeat: 500, heartbeatTimeout: 1000 }');
    device($two, 22);
    say_to($one, 22, 'n', 1);
    answered($one, 'network');
    $proxy->hold;
    say_to($one, 22, 'held', 3);
    say_to($two, 21, 'other', 30);
    wait_for { it($one, 'client.state') ne 'open' } 20, 'it notices';
    $proxy->release;
    answered($_, 'network') for $one, $two;
    each_once([$one, $two], 21, 'p21.22', ['n1', names('held', 3),
        names('other', 30)], 'network');
    $one->eval('it.client.close()');
    $proxy->stop;
};

subtest 'a device that is sent away' => sub {
    device($_, 41, '{ key: "device-' . ($_ == $one ? 1 : 2) . '" }')
        for $one, $too;
    is($api->post('/goim/disconnect', [keys => 'device-1',
        code => 4501, reason => 'lost'])->{code}, 0, 'it is');
    eventually { "@{ it($one, 'told') }" eq 'kicked 4501' } 20, 'and told so';
    is(it($one, 'client.state'), 'closed', 'it does not come back');
    is_deeply([map { it($too, $_) } 'client.state', 'told.length'],
        ['open', 0], 'the other one stays');
};

# ---- pages come and go -----------------------------------------------------------

subtest 'a page that goes with messages in it' => sub {
    my $options = "{ im: { outbox: 'indexeddb', storage: sessionStorage } }";
    device($one, 31, $options);
    device($two, 32);
    say_to($one, 32, 'p', 1);
    answered($one, 'page');
    each_once([$one, $two], 31, 'p31.32', ['p1'], 'page');

    # it has sent, but never hears of it; and what it was away for comes
    $c->logic->stop;
    say_to($one, 32, 'kept', 3);
    wait_for { it($one, q{im.waiting.length}) == 3 } 10, 'they wait';
    $one->eval(q{new Promise((resolve, reject) => {
        const r = indexedDB.open('goim');
        r.onsuccess = async () => {
            for (;;) {
                const n = await new Promise((done) => {
                    const q = r.result.transaction('outbox')
                        .objectStore('outbox').count();
                    q.onsuccess = () => done(q.result);
                });
                if (n >= 3) { r.result.close(); resolve(n); return; }
                await new Promise((done) => { setTimeout(done, 20); });
            }
        };
        r.onerror = reject; })});
    $one->open("http://127.0.0.1:$node->{port}/t/blank.html?2");
    $c->logic->start;
    $node->wait_registered;
    say_to($two, 31, 'while', 2);
    answered($two, 'page');
    device($one, 31, $options);
    wait_for { keys %{ it($one, 'answers') } == 3 } 20, 'three are answered';
    answered($one, 'page');
    is_deeply([sort map { $_->{body} } @{ stored(31, 'p31.32') }],
        [sort 'p1', names('kept', 3), names('while', 2)], 'each stored once');
    eventually { @{ it($one, 'got') } == 5 } 20,
        'the page that came has what came since, and its own';
    is_deeply([grep { /^while/ } @{ it($one, "texts('p31.32')") }],
        [names('while', 2)], 'each once');
    like(it($one, 'told')->[0], qr/^recovered [2-5]$/, 'as it is told');
};

is_deeply([map { $_->close; () } $one, $too, $two], [], 'closed');

done_testing;
