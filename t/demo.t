# demo.sh's second half: everything runs on the ports asked for, with tokens of its
# application and without, the printed curl line reaches a client, and nothing is
# left after Ctrl-C.
#
# ASAN: no (it is about the installed nginx and the scripts)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Chromium;
use Goim::Client;
use Goim::HTTP;
use Goim::Proc;

use IO::Socket::INET;

my $dir = folder('demo');
my %port = map { $_ => free_port() }
    qw(PAGE_PORT TCP_PORT WSS_PORT HTTP_PORT RPC_PORT JOB_PORT);
my %env = (%port, TMPDIR => "$dir/tmp", BUILD => build_dir());
mkdir $env{TMPDIR};
chmod 0755, $env{TMPDIR};

sub check {
    my (%over) = @_;
    local @ENV{ keys %env, keys %over } = (values %env, values %over);
    my $said = `tools/demo-run.sh --check 2>&1`;
    return ($? >> 8, $said);
}

# ---- ports that are taken are named before anything starts ---------------------

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
    LocalPort => $port{HTTP_PORT}, Listen => 1, ReuseAddr => 1) or die $!;
my ($rc, $said) = check();
is($rc, 1, 'a taken port');
like($said, qr/\b$port{HTTP_PORT}\b.*HTTP_PORT/, 'is named');
close $listener;

($rc, $said) = check(RPC_PORT => $port{PAGE_PORT});
is($rc, 1, 'a port given twice');
like($said, qr/RPC_PORT/, 'is named');

($rc, $said) = check(WSS_PORT => 'x1');
is($rc, 1, 'no number');
like($said, qr/WSS_PORT=x1/, 'is named');

($rc, $said) = check(AUTH => 'none');
is($rc, 1, 'an unknown mode');
like($said, qr/AUTH=none/, 'is named');

($rc, $said) = check();
is($rc, 0, 'free ports') or diag($said);

# the page by itself: it gets a token that lets it send, and another one when that
# one is about to end, which is 60 s before
sub page_sends {
    my ($url, $app) = @_;
    my $chromium = Goim::Chromium->new;
    my $page = $chromium->page("${url}rooms.html?accepts=1000&mid=42&join");

    $page->wait_js(q{document.documentElement.dataset.state === 'open'});
    is($page->text('#my-mid'), 42, 'the page is who its token says');
    $page->fill('#text', 'by the page');
    $page->click('#submit');
    is($page->wait_js(q{document.querySelector('#result').textContent}), 'Sent',
        'and sends');
    eventually { my @n = slurp($app) =~ /^token for 42$/mg; @n > 1 } 20,
        'it asks for another before that ends';
    $page->fill('#room', 'game://1');
    $page->click('#enter');
    eventually { $page->text('#list') =~ /it may not enter that room/ } 20,
        'what no token grants is refused';
    is_deeply([$page->errors], [], 'no errors');

    # and its users write to each other
    my ($one, $two) = map { $chromium->page("$url?mid=$_&join") } 1, 2;
    $_->wait_js(q{document.documentElement.dataset.state === 'open'})
        for $one, $two;
    $one->click('#new-message');
    $one->fill('#to', 2);
    $one->click('#message-form [type=submit]');
    $one->wait_js(q{!document.querySelector('#talk').hidden});
    $one->fill('#text', 'hello, two');
    $one->click('#send');
    eventually { $two->text('#conversations') =~ /User 1.*hello, two/ } 20,
        'a message between people';
    is_deeply([$one->errors, $two->errors], [], 'no errors');
}

# ---- it runs, and stops ----------------------------------------------------------

for (['INT', 'jwt'], ['TERM', 'trust']) {
    my ($sig, $auth) = @$_;
    my $demo = Goim::Proc->new(name => "demo-$sig", dir => $dir,
        env => { %env, TOKEN_SECONDS => 62, $auth eq 'jwt' ? () : (AUTH => $auth) },
        cmd => [root_dir() . '/tools/demo-run.sh']);
    $demo->start;

    wait_for {
        die slurp("$dir/demo-$sig.log") if !$demo->alive;
        slurp("$dir/demo-$sig.log") =~ /Ctrl-C stops/;
    } 60, 'the demo runs';
    $said = slurp("$dir/demo-$sig.log");

    my ($page) = $said =~ m{page +(http://\S+)};
    my $res = Goim::HTTP::get($page);
    is($res->{status}, 200, 'the page');
    like($res->{content}, qr/<script/, 'with its script');
    is(Goim::HTTP::get("${page}goim.js")->{headers}{'content-type'},
        'application/javascript', 'a module');
    is(Goim::HTTP::get("${page}goim/status")->{status}, 200, 'the status');
    my $list;
    eventually { $list = Goim::HTTP::get(
        "${page}goim/nodes/weighted?platform=web")->{json}{data} } 20,
        'the list of nodes';
    is_deeply([@$list{qw(domain nodes tcp_port ws_port wss_port)}],
        ['127.0.0.1', ['127.0.0.1'], @port{qw(TCP_PORT PAGE_PORT WSS_PORT)}],
        'is this one, with its ports');

    eventually { Goim::HTTP::get(
        "${page}goim/room/position?type=live&room=1000")->{json}{data} } 20,
        'the room has a history';

    $res = Goim::HTTP::get("${page}token?mid=7");
    is($res->{status}, $auth eq 'jwt' ? 200 : 404, "tokens with $auth");
    my $packet = '{"mid":7,"room_id":"live://1000"'
        . ($auth eq 'jwt' ? qq(,"token":"$res->{content}"}) : '}');
    is(Goim::HTTP::get("${page}token?mid=$_")->{status}, 400, "none for '$_'")
        for $auth eq 'jwt' ? ('', '0', '7%22', '-1') : ();

    my %open = (PAGE_PORT => 'ws', WSS_PORT => 'wss', TCP_PORT => 'tcp');
    my @clients = map { Goim::Client->new(port => $port{$_},
        transport => $open{$_}, token => $packet) } sort keys %open;
    my ($curl) = $said =~ /^ +(curl .*)$/m;
    like(`$curl -s`, qr/"code":0/, 'the curl line');
    is_deeply([map { $_->push->{body} } @clients], [('hello') x 3],
        'reaches clients of the room');

    if ($auth eq 'jwt') {
        ok(!eval { Goim::Client->new(port => $port{PAGE_PORT}, mid => 7) },
            'nobody else is let in');
        page_sends($page, glob "$env{TMPDIR}/goim-demo.*/app.out");
        is($_->push->{body}, 'by the page', 'to the room') for @clients;
    }

    my @family = Goim::Proc::descendants($demo->pid);
    cmp_ok(scalar @family, '>=', 6, 'processes');
    hit $sig, $demo->pid;
    is($demo->wait_exit(30), 0, "SIG$sig ends it");
    is_deeply([grep { Goim::Proc::running($_) } @family], [], 'with all it started');
    is_deeply([glob "$env{TMPDIR}/*"], [], 'and no file is left');
}

done_testing;
