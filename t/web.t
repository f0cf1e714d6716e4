# The JavaScript client and the demo page in headless Chromium: the client's
# own tests, then the page on a whole system.
#
# GOIM_SHOTS=DIR keeps pictures of the page.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Chromium;
use Goim::Cluster;
use Goim::Proc;
use JSON::PP ();
use MIME::Base64 ();

my $c = Goim::Cluster->new(workers => 2, nginx => { ssl => 1, http2 => 1 },
    job => { conf => { history => { live => '300 10m' } } });
my ($node, $api) = ($c->node, $c->api);
my $root = root_dir();

# what web/README.md says the page needs
my $logic = "http://127.0.0.1:$c->{logics}[0]{http_port}";
my ($block) = slurp("$root/web/README.md")
    =~ /^(    location \/ \{\n.*?)^(?! |\n)/ms;
is($block =~ s{http://127\.0\.0\.1:3111}{$logic}g, 4, 'to logic: four ways');
ok($block =~ s/^    location \/ \{.*?^    \}\n//ms
    && $block =~ s/^    location = \/sub \{.*?^    \}\n//ms,
    'page and connection: the node has these');
$node->configure(server => "$block        location /t/ { alias $root/t/web/; }\n");
$node->reload;

# ---- who may push ------------------------------------------------------------

for (['127.0.0.1', 200], ['127.0.0.2', 403]) {
    my ($from, $want) = @$_;
    my $s = Goim::Socket->new(port => $node->{port}, local => $from);
    $s->write("POST /goim/push/all?operation=1 HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\nContent-Length: 1\r\n\r\nx");
    $s->fill until $s->eof || $s->{buf} =~ /\r\n\r\n/;
    like($s->{buf}, qr{^HTTP/1\.1 $want }, "a push from $from: $want");
}

my $chromium = Goim::Chromium->new(
    args => ['--window-size=1200,1000']);

# ---- the page as a person uses it --------------------------------------------

# a tab; %form fills the join form, unless it is undef, and joins
sub tab {
    my ($form, $base) = @_;
    my $page = $chromium->page(($base || "http://127.0.0.1:$node->{port}")
        . '/rooms.html');
    join_room($page, %$form) if $form;
    return $page;
}

sub join_room {
    my ($page, %form) = @_;
    $page->fill("#$_", $form{$_}) for sort keys %form;
    $page->click('#enter');
    wait_state($page, 'open');
}

sub wait_state {
    my ($page, $state, $timeout) = @_;
    return $page->wait_js("document.documentElement.dataset.state === '$state'",
        $timeout, "state $state");
}

# texts of the messages shown, as [operation, text]
sub messages {
    my ($page) = @_;
    return $page->eval(q{[...document.querySelectorAll('#list li:not(.note)')]
        .map((li) => [li.querySelector('.op').textContent,
            li.querySelector('.body').textContent])});
}

sub shows {
    my ($page, $op, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    eventually { my ($last) = reverse @{ messages($page) };
        $last && $last->[0] eq $op && $last->[1] eq $text } 20, $name;
}

sub online {
    my ($page, $n, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    eventually { $page->text('#online') eq $n } 40, $name;
}

# what the page says of a send
sub sent {
    my ($page, %form) = @_;
    $page->eval(q{document.querySelector('#result').textContent = ''});
    $page->fill("#$_", $form{$_}) for grep { defined $form{$_} }
        qw(target who operation text);
    $page->click('#submit');
    return $page->wait_js(q{document.querySelector('#result').textContent});
}

sub shot {
    my ($page, $name) = @_;
    my $dir = $ENV{GOIM_SHOTS} or return;
    spew("$dir/$name.png", MIME::Base64::decode(
        $page->cmd('Page.captureScreenshot')->{data}));
}

# errors of the page, but for what a browser says of a lost connection
sub errors {
    my ($page) = @_;
    return grep { !/WebSocket connection|ERR_CONNECTION_REFUSED|Failed to load/ }
        $page->errors;
}

# ---- tests of the client's parts ---------------------------------------------

subtest 'the client' => sub {
    my $port = free_port();
    my $rogue = Goim::Proc->new(name => 'rogue', dir => folder('rogue'),
        cmd => [$^X, "$root/t/web/rogue.pl", $port])->start;
    wait_for { Goim::HTTP::get("http://127.0.0.1:$port/log")->{status} == 200 }
        10, 'the rogue server answers';

    my $page = $chromium->page(
        "http://127.0.0.1:$node->{port}/t/unit.html?rogue=$port");
    my $planned = eval { $page->wait_js(
        q{document.querySelector('#plan').textContent}, 120) } || 'no plan';
    my $results = $page->eval(
        q{[...document.querySelectorAll('#results li')]
            .map((li) => li.textContent)});

    ok(s/^(not )?ok - // && !$1, $_) for @$results;
    is($planned, '1..' . @$results, 'all of them ran');
    $page->close;
    $rogue->stop;
};

# ---- one tab -----------------------------------------------------------------

my $one = tab({ room => 'live://7', mid => 1, key => 'tab1',
    accepts => '1000, 1001' });

is($one->text('#status-text'), 'Connected', 'the state is shown');
is($one->text('#my-room'), 'live://7', 'the room is shown');
is($one->text('#my-mid'), '1', 'the user is shown');
is($one->text('#my-key'), 'tab1', 'the key is shown');
is($one->text('#my-url'), "ws://127.0.0.1:$node->{port}/sub",
    'the server is shown');
online($one, 1, 'one is online');

is($api->room(1000, 'live', '7', 'from the API')->{code}, 0, 'a push');
shows($one, '1000', 'from the API', 'it is shown');

is($api->all(1001, 'to all')->{code}, 0, 'a broadcast');
shows($one, '1001', 'to all', 'it is shown');
is($api->mids(1000, [1], 'to the user')->{code}, 0, 'a push to the user');
shows($one, '1000', 'to the user', 'it is shown');

my $evil = q{<img src=x onerror="document.title='hacked'"><script>1</script>};
is($api->room(7, 'live', '7', $evil)->{code}, 0, 'a push of markup');
shows($one, '7', $evil, 'it is shown as text');
is($one->eval(q{document.querySelectorAll('#log img, #log script').length}), 0,
    'and makes no elements');
is($one->text('title'), 'ngx_goim', 'and does nothing');

my $utf8 = "Gr\xc3\xbc\xc3\x9fe \xe5\x8c\x97\xe4\xba\xac";
is($api->room(1000, 'live', '7', $utf8)->{code}, 0, 'a push in UTF-8');
utf8::decode($utf8);
shows($one, '1000', $utf8, 'it is shown');

is($api->room(1000, 'live', '7', 'x' x 100_000)->{code}, 0, 'a long one');
shows($one, '1000', 'x' x 4000 . "\x{2026} (100000 bytes)", 'it is cut');

my @many = map { "m$_" } 1 .. 700;
is(scalar(grep { $api->room(1, 'live', '7', $_)->{code} } @many), 0, 'many');
shows($one, '1', 'm700', 'the last is shown');
is_deeply([map { $_->[1] } @{ messages($one) }], [@many[200 .. 699]],
    'the last 500, in their order');
is($one->text('#received'), 6 + @many, 'all are counted');
$one->click('#clear');
is_deeply(messages($one), [], 'cleared');

# ---- the newest message stays in view ----------------------------------------

# how far the list is from its end
sub below {
    my ($page) = @_;
    return $page->eval(q{(() => { const log = document.querySelector('#log');
        return Math.round(log.scrollHeight - log.scrollTop
            - log.clientHeight); })()});
}

my $line = 0;
sub lines {
    my ($page) = @_;
    my @lines = map { 'line ' . ++$line } 1 .. 60;
    $api->room(1, 'live', '7', $_) for @lines;
    shows($page, '1', $lines[-1], "$lines[-1] is there");
}

lines($one);
cmp_ok(below($one), '<', 40, 'the last is in view');
is(sent($one, text => 'mine'), 'Accepted', 'sent');
shows($one, '1000', 'mine', 'shown');
lines($one);
cmp_ok(below($one), '<', 40, 'and still is with what is said of it');
$one->eval(q{document.querySelector('#result').textContent = 'x '.repeat(500)});
lines($one) for 1 .. 2;
cmp_ok(below($one), '<', 40, 'however long that is');

$one->eval(q{document.querySelector('#log').scrollBy(0, -300)});
my $up = below($one);
lines($one);
cmp_ok(below($one), '>', $up, 'who scrolls up stays there');
$one->eval(q{(() => { const log = document.querySelector('#log');
    log.scrollTop = log.scrollHeight; })()});
lines($one);
cmp_ok(below($one), '<', 40, 'until the end is reached again');
$one->click('#clear');

# ---- the command line does it for every text ---------------------------------

for my $text ('plain', '@/etc/hostname', q{it's}, q{''"\\}, '-x', '--', '&a=b',
    '<$HOME> `id` $(id) !!', "\xe5\x8c\x97", ' spaces  ', '%41+', '{a,b}[1-3]')
{
    my $shown = $text;
    utf8::decode($shown);
    $one->fill('#target', 'room');
    $one->fill('#text', $shown);
    my $command = $one->text('#command');
    utf8::encode($command);
    like(`$command -s 2>&1`, qr/"code":0/, "the command line: $text");
    shows($one, '1000', $shown, 'arrives');
}
$one->fill('#text', '');
$one->click('#clear');

# ---- two tabs ----------------------------------------------------------------

my $two = tab({ room => 'live://7', mid => 2 });

like($two->text('#my-key'), qr/^[0-9a-f]{32}$/, 'a key is made');
online($_, 2, 'two are online') for $one, $two;

is(sent($one, text => 'hello'), 'Accepted', 'one sends to the room');
shows($_, '1000', 'hello', 'both show it') for $one, $two;

is(sent($two, target => 'keys', who => 'tab1', text => 'to a key'),
    'Accepted', 'two sends to a key');
shows($one, '1000', 'to a key', 'one shows it');
is(sent($one, target => 'mids', who => '2', text => 'to a user'), 'Accepted',
    'one sends to a user');
shows($two, '1000', 'to a user', 'two shows it');
is(sent($one, target => 'all', operation => '1001', text => 'to everyone'),
    'Accepted', 'one sends to everyone who accepts 1001');
shows($one, '1001', 'to everyone', 'it does');
shows($two, '1000', 'to a user', 'two does not');

is(sent($one, target => 'socket', text => 'by the connection'),
    'Answered by operation 5', 'a message by the connection');
is(sent($one, operation => 77, text => 'unknown'),
    'Answered by operation 77', 'an unknown operation by the connection');
like(sent($one, target => 'room', operation => 0, text => 'wrong'),
    qr/^Not sent: code -400/, 'what the API refuses is said');
like($one->text('#command'), qr{/goim/push/room\?operation=0&type=live&room=7'},
    'the command line is shown');

eventually { $two->text('#total') eq '2' } 40, 'two are connected in all';
shot($one, 'open');
$one->cmd('Emulation.setEmulatedMedia', features =>
    [{ name => 'prefers-color-scheme', value => 'dark' }]);
shot($one, 'dark');

$two->fill('#room', 'live://8');
$two->fill('#accepts', '1001');
$two->click('#enter');
$two->wait_js(q{document.querySelector('#my-room').textContent
    === 'live://8'});
online($_, 1, 'each is alone') for $one, $two;
is($api->room(1000, 'live', '7', 'for one')->{code}, 0, 'a push to room 7');
is($api->room(1000, 'live', '8', 'for two')->{code}, 0, 'a push to room 8');
shows($one, '1000', 'for one', 'one shows the one');
shows($two, '1000', 'for two', 'two shows the other');
is($api->all(1001, 'accepted now')->{code}, 0, 'a broadcast');
shows($two, '1001', 'accepted now', 'two accepts it now');

# ---- the node goes and returns -----------------------------------------------

$node->stop;
eventually { join('|', @{ $one->eval(q{['#status-text', '#countdown', '#online']
        .map((id) => document.querySelector(id).textContent)}) })
    =~ /^Connection lost\|next attempt in \d+ s\|\x{2013}$/ } 20,
    'the loss is shown, a countdown, and that nobody knows who is online';
wait_state($two, 'waiting');
shot($one, 'waiting');

$node->start;
$node->wait_registered;
$one->click('#retry');
wait_state($_, 'open', 60) for $one, $two;
is($api->room(1000, 'live', '7', 'again')->{code}, 0, 'a push after it');
shows($one, '1000', 'again', 'it is shown');
is($api->room(1000, 'live', '8', 'again')->{code}, 0, 'and one to room 8');
shows($two, '1000', 'again', 'it is shown: the room was kept');

$node->reload;
is($api->room(1000, 'live', '7', 'reloaded')->{code}, 0, 'after a reload');
shows($one, '1000', 'reloaded', 'the connection goes on');

# ---- a key of two tabs, and the end ------------------------------------------

my $three = tab({ room => 'live://7', key => 'tab1' });

wait_state($one, 'replaced');
like($one->text('#status-text'), qr/^Replaced by/, 'the older one ends');
ok($one->eval(q{document.querySelector('#retry').hidden}),
    'and does not come back');
is($api->keys(1000, ['tab1'], 'for the newer')->{code}, 0, 'a push to the key');

shows($three, '1000', 'for the newer', 'the newer one has it');

$three->click('#leave');
wait_state($three, 'closed');
is($three->text('#status-text'), 'Not connected', 'one can leave');
ok(!$three->eval(q{document.querySelector('#key').disabled}),
    'and change the key');
join_room($three, room => '', key => 'other');
is($three->text('#my-room'), "\x{2013}", 'one can be in no room');

# ---- auth that is refused, and logic away ------------------------------------

# the client itself, in the page's place
is($three->eval(<<'JS'), 'denied, denied, closed', 'a refused auth is final');
    (async () => {
        const { GoimClient } = await import('/goim.js');
        const url = location.origin.replace('http', 'ws') + '/sub';
        const client = new GoimClient({ url, platform: 5 });
        const said = [];

        client.on('denied', (e) => said.push(e.code));
        await client.connect().catch((e) => said.unshift(e.code));
        said.push(client.state);

        return said.join(', ');
    })()
JS

$c->logic->stop;

my $early = tab();
$early->fill('#room', 'live://11');
$early->click('#enter');
wait_state($early, 'waiting');
eventually { $early->text('#list') =~ /connection closed, code 1013/ } 10,
    'without logic one is told to wait';
eventually { $early->text('#list') =~ /list of nodes: status 502/ } 10,
    'and that there is no list of nodes';
is($three->eval('document.documentElement.dataset.state'), 'open',
    'those who are in stay');

$c->logic->start;
$node->wait_registered;
wait_state($early, 'open', 60);
pass('with logic one gets in');

# ---- other ways in -----------------------------------------------------------

my $tls = tab({ room => 'live://9' }, "https://127.0.0.1:$node->{wss_port}");

is($tls->text('#my-url'), "wss://127.0.0.1:$node->{wss_port}/sub",
    'wss beside HTTP/2');
is(sent($tls, text => 'over TLS'), 'Accepted', 'a push over TLS');
shows($tls, '1000', 'over TLS', 'it comes');

$c->logic->stop;
$c->logic->configure({ nodes => { ws_port => $node->{port} } });
$c->logic->start;
$node->wait_registered;

my $listed = tab();

eventually { @{ ($api->nodes_weighted('web')->{data} || {})->{nodes} || [] } }
    40, 'logic knows the node';
join_room($listed, server => 'nodes', room => 'live://10');
like($listed->text('#my-url'), qr{^ws://127\.0\.0\.1:$node->{port}/sub$},
    'a node of the list');
is($api->room(1000, 'live', '10', 'listed')->{code}, 0, 'a push');
shows($listed, '1000', 'listed', 'it comes');

# ---- nothing is wrong with the page itself -----------------------------------

$one->cmd('Emulation.setDeviceMetricsOverride', width => 360, height => 800,
    deviceScaleFactor => 1, mobile => JSON::PP::true());
is($one->eval('document.documentElement.scrollWidth'), 360,
    'a narrow window needs no scrolling to the side');
shot($one, 'narrow');

is_deeply($one->eval(q{[...document.querySelectorAll('input, select')]
    .filter((e) => e.labels.length === 0).map((e) => e.id)}), [],
    'every field has a label');
my @tabs = ($one, $two, $three, $early, $tls, $listed);

is_deeply([map { errors($_) } @tabs], [], 'no errors in the console');

$_->close for @tabs;
eventually { !$node->status->{sessions} } 20, 'who closes a tab is gone';

done_testing;
