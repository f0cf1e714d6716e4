# The demo page's messenger in headless Chromium, on a whole system: two users,
# two devices of one, groups, typing, what is unread, offline and back.
#
# GOIM_SHOTS=DIR keeps pictures of the page.

# ASAN: no

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 ();

use lib 't/lib';
use Goim::Chromium;
use Goim::Cluster;
use Goim::Sender;
use Goim::Test;

my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(logic => { Goim::Sender::logic(%im) },
    job => { conf => { %im } });
my ($node, $api) = ($c->node, $c->api);

# the application, as far as the page sees it
my $web = folder('page');
system('cp', '-r', root_dir() . '/web/.', $web) == 0 or die "cp: $?\n";
(my $html = slurp("$web/index.html"))
    =~ s/(name="goim-token" content=")/$1\/token/ or die 'no place for /token';
spew("$web/index.html", $html);
my $tokens = join '', map { "if (\$arg_mid = $_) { return 200 '"
    . token(mid => $_, im => {}, accepts => [22]) . "'; }\n" } 1 .. 5;
$node->configure(server => "location = /token { $tokens return 403 no; }\n"
    . "location /chat/ { alias $web/; }\n");
$node->reload;

my $chromium = Goim::Chromium->new(args => ['--window-size=1200,800']);

# ---- the page as a person uses it ----------------------------------------------

sub opens {
    my ($mid, $query) = @_;
    my $page = $chromium->page("http://127.0.0.1:$node->{port}/chat/"
        . ($query || ''));
    if (!$query) {
        $page->fill('#mid', $mid);
        $page->click('#enter');
    }
    is_open($page);
    return $page;
}

sub is_open {
    my ($page) = @_;
    $page->wait_js(q{document.documentElement.dataset.state === 'open'}, 20,
        'it is in');
}

sub writes {
    my ($page, $text) = @_;
    $page->fill('#text', $text);
    $page->click('#send');
}

sub writes_to {
    my ($page, $mid, $text) = @_;
    $page->click('#new-message');
    $page->fill('#to', $mid);
    $page->click('#message-form [type=submit]');
    $page->wait_js(q{!document.querySelector('#talk').hidden});
    writes($page, $text);
}

# a browser's other tabs are not seen, and so nothing is read there
sub looks_at {
    my ($page) = @_;
    $page->cmd('Page.bringToFront');
}

# what a conversation looks like: "own hello", "other hello", "change ..."
sub shown {
    my ($page) = @_;
    return $page->eval(q{[...document.querySelectorAll('#items li:not(.day)')]
        .map((li) => li.className + ' '
            + (li.querySelector('.body') ?? li).textContent)});
}

sub shows {
    my ($page, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    looks_at($page);
    eval { wait_for { @{ shown($page) } >= @$expected
        && shown($page)->[-1] eq $expected->[-1] } 20, $name };
    is_deeply(shown($page), $expected, $name);
}

# its list: "User 2|last message|unread"
sub listed {
    my ($page) = @_;
    return $page->eval(q{[...document.querySelectorAll('.row')].map((row) =>
        ['.title', '.last', '.unread'].map((part) =>
            row.querySelector(part)?.firstChild.textContent ?? '').join('|'))});
}

sub lists {
    my ($page, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    eval { wait_for { "@{ listed($page) }" eq "@$expected" } 20, $name };
    is_deeply(listed($page), $expected, $name);
}

sub goes_to {
    my ($page, $conv) = @_;
    $page->wait_js(qq{document.querySelector('[data-conv="$conv"]') !== null});
    $page->click(qq{[data-conv="$conv"]});
}

sub shot {
    my ($page, $name) = @_;
    my $dir = $ENV{GOIM_SHOTS} or return;
    spew("$dir/$name.png", MIME::Base64::decode(
        $page->cmd('Page.captureScreenshot')->{data}));
}

# ---- two users -------------------------------------------------------------------

my $one = opens(1);
shot($one, 'chat-empty');
my $two = opens(2);

writes_to($one, 2, 'hello, two');
shows($one, ['own hello, two'], 'what one writes is shown');
lists($two, ['User 1|hello, two|1'], 'two has it, unread');
is($two->text('title'), '(1) ngx_goim', 'the title says so');
goes_to($two, 'p1.2');
shows($two, ['other hello, two'], 'two reads it');
lists($two, ['User 1|hello, two|'], 'it is read');
is($two->text('title'), 'ngx_goim', 'the title, too');

my $evil = q{<img src=x onerror="document.title='hacked'">};
writes($two, $evil);
shows($one, ['own hello, two', "other $evil"], 'markup is text');
is($one->eval(q{document.querySelectorAll('#log img').length}), 0,
    'and makes no elements');

# ---- typing ----------------------------------------------------------------------

$two->fill('#text', 'I am wri');
eventually { $one->text('#typing') eq "User 2 is typing\x{2026}" } 20,
    'who types is seen';
shot($one, 'chat-typing');
writes($two, 'done');
eventually { $one->text('#typing') eq '' } 20, 'until it is written';

# ---- two devices of one user -------------------------------------------------------

my $too = opens(1, '?mid=1&join');
lists($too, ['User 2|done|'], 'another device has the same list');
goes_to($too, 'p1.2');
shows($too, ['own hello, two', "other $evil", 'other done'], 'and history');
writes($too, 'by the other device');
shows($_, ['own hello, two', "other $evil", 'other done',
    'own by the other device'], 'both devices show it') for $one, $too;

# ---- a group ---------------------------------------------------------------------

$one->click('#new-group');
$one->fill('#name', 'team');
$one->fill('#mids', '2, 3');
$one->click('#group-form [type=submit]');
eventually { $one->text('#talk-title') eq 'team' } 20, 'a group';
writes($one, 'welcome');
lists($two, ['team|1: welcome|1', 'User 1|by the other device|1'],
    'its members have it');
looks_at($two);
lists($two, ['team|1: welcome|1', 'User 1|by the other device|'],
    'what is in view is read when somebody looks');
goes_to($two, 'g1.team');
writes($two, 'thanks');
lists($too, ['team|2: thanks|1', 'User 2|You: by the other device|'],
    'it is unread, on both devices');
shows($one, ['change User 1 made the group', 'own welcome', 'other thanks'],
    'and answer');
lists($too, ['team|2: thanks|', 'User 2|You: by the other device|'],
    'what is read on one device is read on the other');

$one->click('#members');
eventually { $one->text('#member-list') eq 'User 1, ownerUser 2User 3' } 20,
    'its members';
$one->fill('#add', 4);
$one->click('#members-form [type=submit]');
eventually { $one->text('#member-list') =~ /User 4/ } 20, 'one more';
$one->click('#members-dialog [data-close]');
shows($two, ['change User 1 made the group', 'other welcome', 'own thanks',
    'change User 1 added user 4'], 'everybody is told');
shot($one, 'chat-group');
$two->click('#members');
$two->click('#leave');
eventually { $two->text('#items') =~ /User 2 left/ } 20, 'one leaves';
ok($two->eval(q{document.querySelector('#text').disabled}),
    'and can write no more');

# ---- offline, and back -------------------------------------------------------------

$one->click('#offline');
eventually { $one->text('#status-text') eq 'Offline' } 10, 'offline';
goes_to($one, 'p1.2');
writes($one, 'written offline');
eventually { $one->text('#items .waiting .about span') eq "waiting\x{2026}" } 10,
    'what is written waits';
shot($one, 'chat-offline');
goes_to($two, 'p1.2');
writes($two, "missed $_") for 1 .. 3;
shows($too, ['own hello, two', "other $evil", 'other done',
    'own by the other device', map { "other missed $_" } 1 .. 3],
    'the other device has what is missed');

# the page is loaded again meanwhile: the same device, and nothing is lost
$one->eval(q{new Promise((resolve, reject) => {
    const r = indexedDB.open('goim');
    r.onerror = reject;
    r.onsuccess = () => {
        const q = r.result.transaction('outbox').objectStore('outbox').count();
        q.onsuccess = () => { r.result.close(); resolve(q.result); };
    };
})}) == 1 or diag 'not in the database';
$one->open("http://127.0.0.1:$node->{port}/chat/?again");
is_open($one);
goes_to($one, 'p1.2');
shows($_, ['own hello, two', "other $evil", 'other done',
    'own by the other device', (map { "other missed $_" } 1 .. 3),
    'own written offline'], 'back: all of it, once') for $one, $too;
$one->click('#offline');
eventually { $one->text('#status-text') eq 'Offline' } 10, 'offline once more';
writes($two, 'missed 4');
$one->click('#offline');
shows($one, ['own hello, two', "other $evil", 'other done',
    'own by the other device', (map { "other missed $_" } 1 .. 3),
    'own written offline', 'other missed 4'], 'and back');

# ---- earlier messages --------------------------------------------------------------

$api->post('/goim/im/send', [mid => 5, to => 2, id => "e$_"], "old $_")
    for 1 .. 70;
$two->open("http://127.0.0.1:$node->{port}/chat/?again");
is_open($two);
goes_to($two, 'p2.5');
shows($two, [map { "other old $_" } 41 .. 70], 'the newest');
for my $from (11, 1) {
    $two->click('#earlier');
    eventually { shown($two)->[0] eq "other old $from" } 20, "back to $from";
}
is_deeply(shown($two), [map { "other old $_" } 1 .. 70], 'each once, in order');
ok($two->eval(q{document.querySelector('#earlier').hidden}), 'no more');

# ---- what goes wrong ---------------------------------------------------------------

is($api->post('/goim/im/group/create', [mid => 5, id => 'theirs', mids => 2])
    ->{code}, 0, 'a group of somebody else');
goes_to($two, 'g5.theirs');
$api->post('/goim/im/group/update', [mid => 5, conv => 'g5.theirs',
    mute_all => 1]);
writes($two, 'may I?');
eventually { my ($said) = grep { /^own refused/ } @{ shown($two) }; $said } 20,
    'what is refused stays, and is marked';
like($two->text('#items .refused .about'), qr/not sent: /, 'with the reason');
$two->click('#items .refused button');
eventually { !grep { /refused/ } @{ shown($two) } } 10, 'until it is removed';

# ---- keys, fields, a phone -----------------------------------------------------------

$two->eval(q{document.querySelector('#text').dispatchEvent(new KeyboardEvent(
    'keydown', { key: 'Escape', bubbles: true }))});
is($two->eval('document.activeElement.dataset.conv'), 'g5.theirs',
    'Escape leads back to the list');
goes_to($two, 'p2.5');
is($two->eval('document.activeElement.id'), 'text', 'who opens one may write');
$two->fill('#text', 'by Enter');
$two->eval(q{document.querySelector('#text').dispatchEvent(new KeyboardEvent(
    'keydown', { key: 'Enter', bubbles: true, cancelable: true }))});
eventually { shown($two)->[-1] eq 'own by Enter' } 20, 'Enter sends';

is_deeply($two->eval(q{[...document.querySelectorAll('input, textarea')]
    .filter((e) => e.labels.length === 0).map((e) => e.id)}), [],
    'every field has a label');

$one->cmd('Emulation.setDeviceMetricsOverride', width => 390, height => 780,
    deviceScaleFactor => 2, mobile => JSON::PP::true());
goes_to($one, 'g1.team');
my $boxes = q{['.list', '.talk'].map((part) =>
    document.querySelector(part).offsetWidth)};
is_deeply($one->eval($boxes), [0, 390], 'a phone shows the conversation');
shot($one, 'chat-phone');
is($one->eval('document.documentElement.scrollWidth'), 390,
    'without scrolling to the side');
$one->click('#back');
is_deeply($one->eval($boxes), [390, 0], 'or the list');
shot($one, 'chat-phone-list');

$one->click('#sign-out');
$one->wait_js(q{document.body?.dataset.view === 'sign-in'});
is($one->eval('sessionStorage.length'), 0, 'who signs out leaves nothing');

my @errors = map { $_->errors } $one, $two, $too;
is_deeply(\@errors, [], 'no errors in the console');

done_testing;
