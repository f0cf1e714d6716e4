# Recovery by the JavaScript client, in Chromium and with real servers: whatever
# ends its connection, it has each item of its room once and in order, or is told
# of a gap. GOIM_SHOTS=DIR keeps pictures of the page.

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 ();

use lib 't/lib';
use Goim::Chromium;
use Goim::Cluster;
use Goim::Proxy;
use Goim::Test;

allow_log(qr/exited on signal 9/);

my $root = root_dir();
my $c = Goim::Cluster->new(nodes => 2, workers => 2,
    nginx => { goim => { drain => '1s', zone => 'goim 16m' },
        main => 'worker_shutdown_timeout 60s;',
        server => "location /t/ { alias $root/t/web/; }" },
    job => { conf => { history => { live => '300 10m', few => '2 10m' } } });
my ($node, $other, $api) = ($c->node(0), $c->node(1), $c->api);
my $chromium = Goim::Chromium->new(args => ['--window-size=1200,1000']);
my $page = $chromium->page("http://127.0.0.1:$node->{port}/t/blank.html");
my %said;

wait_for {
    $api->get('/goim/room/position', type => 'live', room => 'any')->{data}
} 20, 'logic knows which rooms have a history';

sub say_more {
    my ($room, $n) = @_;
    my ($type, $id) = split m{://}, $room;

    for (1 .. $n) {
        my $text = 'm' . (1 + @{ $said{$room} ||= [] });
        my $res = $api->room(1000, $type, $id, $text);
        die "push: $res->{code}\n" if $res->{code};
        push @{ $said{$room} }, $text;
    }
}

# in a page: follow a room, with the source text of options
sub follow {
    my ($page, $room, $options) = @_;
    $page->eval("(async () => { const real = await import('/t/real.js');"
        . " await real.follow('$room', "
        . ($options || '{}') . '); })()');
}

sub it { return $_[0]->eval("it.$_[1]") }

# what it got since the item with this number
sub has {
    my ($page, $room, $from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @all = @{ $said{$room} }[$from .. $#{ $said{$room} }];

    eval { wait_for { it($page, 'got.length') >= @all } 20, $name };
    is_deeply(it($page, 'got'), \@all, $name);
}

# it came back, and heard of nothing but that
sub came_back {
    my ($page, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    cmp_ok(it($page, 'opens'), '>', 1, "$name: by another connection");
    is_deeply([grep { !/^recovered \d+$/ } @{ it($page, 'told') }], [],
        "$name: no gap");
}

sub shot {
    my ($name) = @_;
    my $dir = $ENV{GOIM_SHOTS} or return;
    spew("$dir/$name.png", MIME::Base64::decode(
        $page->cmd('Page.captureScreenshot')->{data}));
}

# ---- what ends connections ---------------------------------------------------

subtest 'a reload' => sub {
    follow($page, 'live://reload');
    say_more('live://reload', 5);
    has($page, 'live://reload', 0, 'items come');
    $node->reload;
    for (1 .. 40) {
        say_more('live://reload', 1);
        last if it($page, 'opens') > 1;
        select undef, undef, undef, 0.1;
    }
    wait_for { it($page, 'opens') > 1 } 20, 'it is told to go';
    say_more('live://reload', 5);
    has($page, 'live://reload', 0, 'each once');
    came_back($page, 'a reload');
    like(it($page, 'errors')->[0], qr/code 1012/, 'as the node said');
};

subtest 'kill -9 of workers' => sub {
    follow($page, 'live://workers');
    say_more('live://workers', 5);
    has($page, 'live://workers', 0, 'items come');
    for my $again (1 .. 3) {
        my $opens = it($page, 'opens');
        hit KILL => $node->workers;
        say_more('live://workers', 20);
        wait_for { it($page, 'opens') > $opens } 20, 'it comes back';
        has($page, 'live://workers', 0, "each once, $again");
    }
    came_back($page, 'workers');
};

subtest 'kill -9 of a node' => sub {
    follow($page, 'live://node', '{ url: real.inTurn('
        . "$node->{port}, $other->{port}) }");
    say_more('live://node', 5);
    has($page, 'live://node', 0, 'items come');
    my @workers = $node->workers;
    $node->kill9;
    hit KILL => @workers;
    say_more('live://node', 20);
    has($page, 'live://node', 0, 'the rest comes from the other one');
    came_back($page, 'a node');
    like(it($page, 'client.url'), qr/:$other->{port}\//, 'where it is now');
    $node->start;
    $node->wait_registered;
};

# ---- the network -------------------------------------------------------------

my $proxy = Goim::Proxy->new(to => $node->{port});
my $by_proxy = "{ url: 'ws://127.0.0.1:$proxy->{port}/sub', heartbeat: 500, "
    . 'heartbeatTimeout: 1000 }';

subtest 'a network that holds everything' => sub {
    follow($page, 'live://network', $by_proxy);
    say_more('live://network', 5);
    has($page, 'live://network', 0, 'items come');
    $proxy->hold;
    say_more('live://network', 50);
    wait_for { it($page, 'client.state') ne 'open' } 20, 'it notices';
    is(it($page, 'got.length'), 5, 'nothing came');
    $proxy->release;
    wait_for { it($page, 'opens') > 1 } 20, 'it comes back';
    say_more('live://network', 5);
    has($page, 'live://network', 0, 'each once');
    came_back($page, 'network');
    is_deeply([grep { $_ eq 'recovered 50' } @{ it($page, 'told') }],
        ['recovered 50'], 'and is told how many it missed');
};

subtest 'a history that was outrun' => sub {
    follow($page, 'few://1', $by_proxy);
    say_more('few://1', 5);
    has($page, 'few://1', 0, 'items come');
    $proxy->hold;
    say_more('few://1', 400);
    wait_for { it($page, 'client.state') ne 'open' } 20, 'it notices';
    wait_for {
        $api->get('/goim/room/position', type => 'few', room => 1)
            ->{data}{seq} == 405
    } 20, 'all have a number';
    $proxy->release;
    wait_for { grep { /^gap/ } @{ it($page, 'told') } } 20, 'it is told';
    is_deeply([grep { $_ ne 'recovered 0' } @{ it($page, 'told') }],
        ['gap 6 405'], 'of the gap');
    say_more('few://1', 3);
    is_deeply(wait_for { it($page, 'got.length') == 8 && it($page, 'got') },
        [map { "m$_" } 1 .. 5, 406 .. 408], 'and goes on behind it');
};

# ---- pages come and go -------------------------------------------------------

sub load { return $page->open("http://127.0.0.1:$node->{port}/t/blank.html?"
    . ++$said{loads}) }

subtest 'a page that is loaded again' => sub {
    my $stored = '{ storage: sessionStorage, last: 2 }';
    say_more('live://page', 3);
    follow($page, 'live://page', $stored);
    has($page, 'live://page', 1, 'the newest two');
    load();
    say_more('live://page', 4);
    follow($page, 'live://page', $stored);
    has($page, 'live://page', 3, 'only what came since');
    is(it($page, 'told[0]'), 'recovered 4', 'as it is told');

    my $tab = $chromium->page("http://127.0.0.1:$node->{port}/t/blank.html");
    follow($tab, 'live://page', $stored);
    has($tab, 'live://page', 5, 'another tab begins by itself');
    $tab->close;

    # what a handler has not returned from is not done with
    $page->eval(q{it.client.on('message', (m) => new Promise((resolve) => {
        if (m.text() !== 'm9') { resolve(); } }))});
    say_more('live://page', 3);
    has($page, 'live://page', 3, 'the handler is called for three');
    is(it($page, 'client.position.seq'), 8, 'and returns from the first');
    load();
    follow($page, 'live://page', $stored);
    has($page, 'live://page', 8, 'the others come again');
};

subtest 'a position from before the page\'s state was read' => sub {
    for my $round (1 .. 3) {
        my $got = $page->eval("(async () => (await import('/t/real.js'))"
            . ".begin('live://begin$round'))()");
        is_deeply($got->{lacks}, [], 'no hole between page and socket');
        is_deeply([grep { $_ ne 'recovered' } @{ $got->{told} }], [],
            'all is there');
        is($got->{twice}, 0, 'nothing comes twice by the socket');
        ok($got->{between} && $got->{some},
            'there was something between the two');
    }
};

# ---- the demo page -----------------------------------------------------------

# what the page shows, without the times
sub shown {
    return $page->eval(q{[...document.querySelectorAll('#list li')]
        .map((li) => [li.className.trim(), ...[...li.querySelectorAll('span')]
            .map((e) => e.textContent)].join(' ').trim())});
}

# the node is away, in the meantime there are messages; what is shown then
sub away {
    my ($room, $n) = @_;
    $page->click('#clear');
    $node->stop;
    wait_for { $page->text('#status-text') eq 'Connection lost' } 20, 'lost';
    say_more($room, $n);
    $node->start;
    $node->wait_registered;
    $page->click('#retry');
    wait_for { $page->text('#status-text') eq 'Connected' } 30, 'connected';
    wait_for { my $last = $said{$room}[-1];
        grep { /^note (recovered|gap)/ || / \Q$last\E / } @{ shown() } } 20,
        'something is said';
    say_more($room, 1);
    my $last = $said{$room}[-1];
    wait_for { shown()->[-1] =~ / \Q$last\E / } 20, 'the newest is shown';
    return [grep { !/^note(?! recovered| gap)/ } @{ shown() }];
}

sub enter {
    my ($room) = @_;
    $page->open("http://127.0.0.1:$node->{port}/rooms.html?room=$room&key=page&join");
    wait_for { $page->text('#my-room') eq $room
        && $page->text('#status-text') eq 'Connected' } 20, 'the page joins';
}

subtest 'the demo page' => sub {
    enter('live://demo');
    say_more('live://demo', 2);
    wait_for { @{ shown() } == 2 } 20, 'two messages';
    is_deeply(shown(), ['1000 m1 #1', '1000 m2 #2'], 'with their numbers');
    is($page->text('#my-position'), '2', 'and the position');

    is_deeply(away('live://demo', 3),
        ['note recovered 3 messages were missed: here they are',
        (map { "missed 1000 m$_ #$_" } 3 .. 5), '1000 m6 #6'],
        'what was missed');
    shot('recovered');

    say_more('live://demo', 1);
    wait_for { $page->text('#my-position') eq '7' } 20, 'one more';
    enter('live://other');
    say_more('live://demo', 1);
    enter('live://demo');
    wait_for { @{ shown() } == 2 } 20, 'another load of the page';
    is_deeply(shown(), ['note recovered One message was missed: here it is',
        'missed 1000 m8 #8'], 'goes on where the one before was');

    enter('few://demo');
    say_more('few://demo', 1);
    wait_for { @{ shown() } == 1 } 20, 'a message';
    is_deeply(away('few://demo', 300),
        ['note gap Messages number 2 to 301 were missed. They are no longer '
            . 'kept.', '1000 m302 #302'], 'a gap');
    shot('gap');

    $page->cmd('Emulation.setDeviceMetricsOverride', width => 360,
        height => 800, deviceScaleFactor => 1, mobile => JSON::PP::true());
    is($page->eval('document.documentElement.scrollWidth'), 360,
        'a narrow window needs no scrolling to the side');
    $page->eval(q{document.querySelector('.messages').scrollIntoView()});
    shot('narrow');
};

is_deeply([grep { !/WebSocket connection|ERR_|Failed to load/ }
    $page->errors], [],
    'no errors in the console');

done_testing;
