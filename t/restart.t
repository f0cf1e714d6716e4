# nginx is killed with its master, or the machine was: the next one does not
# wait until the registration has run out. And who lives is not pushed away.

use strict;
use warnings;

use POSIX ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Proc;
use Goim::RPC;
use Goim::Test;

allow_log(qr/\[emerg\].*"server_id" comet-1 is held by another/,
    qr/\[alert\].*exited on signal 9/);

# nothing here may be owed to the time that a registration lasts
my $long = { registry => { ttl => '1h', renew => '500ms' } };
my $c = Goim::Cluster->new(workers => 2, logic => { conf => $long },
    job => { conf => $long });
my $api = $c->api;
my $node = $c->node;

sub client {
    my ($nginx, $key) = @_;
    return Goim::Client->new(port => $nginx->{port}, mid => 1, key => $key,
        room => 'live://1', accepts => [1000]);
}

sub gets {
    my ($client, $text, $name) = @_;
    is $api->room(1000, 'live', '1', $text)->{code}, 0, "$name: accepted";
    is $client->push->{body}, $text, "$name: arrives";
}

sub instance {
    my $zones = $c->redis->hgetall('goim:nodes:zones:comet-1');
    my ($text) = map { /^\d+ (.*)/ } values %$zones;
    return $text;
}

sub kill_all {
    my ($nginx) = @_;

    # it may be about to fork another, or that one has no name of its own yet
    hit 'STOP', $nginx->master;
    my @workers = Goim::Proc::children($nginx->master);
    $nginx->kill9;
    hit 'KILL', @workers;
    wait_for { !grep { Goim::Proc::running($_) } @workers } 10, 'killed';
}

sub twin {
    return Goim::Nginx->new(server_id => 'comet-1', workers => 2,
        redis => $c->redis->addr, logic => $c->logic->rpc_addr, @_);
}

subtest 'kill -9 of all' => sub {
    client($node, 'a');
    for my $n (1 .. 3) {
        kill_all($node);
        $node->start;
        $node->wait_registered(20);
        gets(client($node, "b$n"), "hello $n", "start $n");
    }
    like $node->error_log, qr/"server_id" comet-1 was held by .* dead/, 'said';
    unlike $node->error_log, qr/\[emerg\]/, 'nobody was refused';
    my $last = client($node, 'last');
    eventually { $api->online_room('live', '1')->{data}{1} == 1 } 20,
        'the dead ones are not counted'
        or diag explain $api->online_room('live', '1');
};

subtest 'one that lives' => sub {
    my $twin = twin();
    eventually { $twin->error_log =~ /\[emerg\].*is held by another/ } 20,
        'is not pushed away';
    is $twin->status->{registered}, 0, 'the twin is not registered';
    gets(client($node, 'here'), 'still', 'the first one');

    $twin->stop;
};

subtest 'kill -9 of the master alone' => sub {
    my $stays = client($node, 'stays');
    my @workers = $node->workers;
    $node->kill9;
    gets($stays, 'no master', 'workers go on');
    gets(client($node, 'enters'), 'enters', 'and let clients in');

    my $next = twin();
    $next->wait_registered(20);
    gets(client($next, 'next'), 'successor', 'the successor');
    is_deeply [map { $stays->push->{body} } 1, 2], ['enters', 'successor'],
        'the old workers deliver, too';
    eventually { my $n = () = $node->error_log =~ /its node was replaced/g;
        $n == 2 } 20, 'and know that they were replaced';
    eventually { !eval { client($node, 'late'); 1 } } 20,
        'they take nobody any more';
    gets($stays, 'once more', 'who stays');
    is $next->status->{registered}, 1, 'they do not fight';
    $stays->drop;
    eventually { !grep { Goim::Proc::running($_) } @workers } 30,
        'and end with their clients';
    kill_all($next);
};

subtest 'the machine was rebooted' => sub {
    my $mine = instance();
    like $mine, qr{^[^/]+/[0-9a-f]+\.[0-9a-f-]+\.\d+/\d+/[0-9a-f]{16}$},
        'an instance';

    # what it would say from before the boot; with an id of another machine,
    # or none, that says nothing
    my ($machine) = $mine =~ m{/([0-9a-f]+)\.};
    (my $before = $mine) =~ s/\.[0-9a-f]{8}-/.01234567-/;
    (my $elsewhere = $before) =~ s{^[^/]+}{elsewhere};
    my $rpc = Goim::RPC->new($c->logic->{rpc_port}, server => 'comet-1',
        zone => 'before');

    is $rpc->register(instance => $before, replaces => $mine)->{code}, 0,
        'one of before';
    my $nginx = twin();

    if ($machine =~ /[^0]/) {
        $nginx->wait_registered(20);
        gets(client($nginx, 'rebooted'), 'up', 'after the boot');
        $nginx->stop;
    } else {
        eventually { $nginx->error_log =~ /\[emerg\].*is held by another/ }
            20, 'no machine-id: it waits';
        $nginx->stop;
    }

    is $rpc->register(instance => $elsewhere)->{code}, $machine =~ /[^0]/
        ? 0 : 3, 'one of another host';
    $nginx = twin();
    eventually { $nginx->error_log =~ /\[emerg\].*is held by another/ } 20,
        'is not pushed away';
};

# what is left of a process that nobody reaped: its number, and who is to blame
sub zombie {
    pipe my $in, my $out or die "pipe: $!";
    my $parent = fork // die "fork: $!";

    if (!$parent) {
        my $child = fork // POSIX::_exit(1);
        POSIX::_exit(0) if !$child;
        syswrite $out, "$child\n";
        sleep 300;
        POSIX::_exit(0);
    }
    chomp(my $child = <$in>);
    wait_for { slurp("/proc/$child/stat") =~ /\) Z / } 10, 'it is dead';
    return ($child, $parent);
}

subtest 'a master that nobody reaped' => sub {
    my ($pid, $parent) = zombie();
    my $first = twin(server_id => 'comet-5');
    $first->wait_registered(20);
    my ($mine) = map { /^\d+ (.*)/ }
        values %{ $c->redis->hgetall('goim:nodes:zones:comet-5') };
    $first->stop;
    (my $dead = $mine) =~ s{/\d+/[0-9a-f]+$}{/$pid/0123456789abcdef};
    my $rpc = Goim::RPC->new($c->logic->{rpc_port}, server => 'comet-5',
        zone => 'unreaped');
    is $rpc->register(instance => $dead)->{code}, 0, 'it was registered';
    my $next = twin(server_id => 'comet-5');
    $next->wait_registered(20);
    like $next->error_log, qr/was held by \Q$dead\E, which is dead/, 'is dead';
    hit 'KILL', $parent;
    $next->stop;
};

# nothing is left to the time that a call or a registration lasts
subtest 'QUIT with clients' => sub {
    my @conf = (server_id => 'comet-6',
        main => 'worker_shutdown_timeout 1s;',
        goim => { logic_timeout => '60s' });
    my $first = twin(@conf);
    $first->wait_registered(20);
    my @clients = map { client($first, "quit$_") } 1 .. 10;
    my $master = $first->master;
    $first->signal('QUIT');
    is $_->closed(20), 1001, 'is told' for @clients;
    eventually { !Goim::Proc::running($master) } 20, 'it ends';
    is scalar(@{ $c->redis->cmd('HKEYS', 'goim:nodes:zones:comet-6') }), 0,
        'and has left the registry';
    is $c->redis->cmd('EXISTS', map { "sess_quit$_" } 1 .. 10), 0,
        'as have its clients';
    my $next = twin(@conf);
    $next->wait_registered(20);
    gets(client($next, 'quit1'), 'on', 'a successor anywhere');
    unlike $next->error_log, qr/\[emerg\]/, 'is not refused';
    $next->stop;
};

done_testing;
