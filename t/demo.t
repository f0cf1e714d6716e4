# demo.sh's second half: everything runs on the ports asked for, the printed
# curl line reaches a client, and nothing is left after Ctrl-C.
#
# ASAN: no (it is about the installed nginx and the scripts)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
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

($rc, $said) = check();
is($rc, 0, 'free ports') or diag($said);

# ---- it runs, and stops ----------------------------------------------------------

for my $sig (qw(INT TERM)) {
    my $demo = Goim::Proc->new(name => "demo-$sig", dir => $dir, env => \%env,
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

    my @clients = map { Goim::Client->new(port => $port{$_},
        transport => $_ eq 'WSS_PORT' ? 'wss' : 'ws',
        room => 'live://1000') } qw(PAGE_PORT WSS_PORT);
    my ($curl) = $said =~ /^ +(curl .*)$/m;
    like(`$curl -s`, qr/"code":0/, 'the curl line');
    is_deeply([map { $_->push->{body} } @clients], ['hello', 'hello'],
        'reaches clients of the room');

    my @family = Goim::Proc::descendants($demo->pid);
    cmp_ok(scalar @family, '>=', 6, 'processes');
    hit $sig, $demo->pid;
    is($demo->wait_exit(30), 0, "SIG$sig ends it");
    is_deeply([grep { Goim::Proc::running($_) } @family], [], 'with all it started');
    is_deeply([glob "$env{TMPDIR}/*"], [], 'and no file is left');
}

done_testing;
