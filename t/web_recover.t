# Recovery by the JavaScript client, in Chromium and with real servers: whatever
# ends its connection, it has each item of its room once and in order, or is told
# of a gap.

use strict;
use warnings;

use JSON::PP ();

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
my $chromium = Goim::Chromium->new;
my $page = $chromium->page("http://127.0.0.1:$node->{port}/t/blank.html");
my $json = JSON::PP->new->canonical;
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

is_deeply([grep { !/WebSocket connection|ERR_/ } $page->errors], [],
    'no errors in the console');

done_testing;
