# The secret that nodes show to logic: needed beyond loopback, two while it is
# being changed, none at all only where that is allowed; the change itself with
# clients connected.

use strict;
use warnings;

use lib 't/lib';
use Goim::Client;
use Goim::Logic;
use Goim::Nginx;
use Goim::Redis;
use Goim::RPC;
use Goim::Test;

my $redis = Goim::Redis->new;
my $dir = folder('secrets');
my %secret = map { $_ => $_ x 10 } qw(one-a two-b other);

sub file {
    my ($name, @lines) = @_;
    spew("$dir/$name", join '', map { "$_\n" } @lines);
    return "$dir/$name";
}

# what logic says to a Hello with that secret: "" for yes
sub hello {
    my ($logic, $secret) = @_;
    my $rpc = Goim::RPC->new($logic->{rpc_port}, hello => 0);
    my $r = $rpc->call(hello => { version => 'test',
        defined $secret ? (secret => $secret) : () });
    return '' if !$r->{code};
    ok eventually_eof($rpc->socket), 'and the connection ends';
    return $r->{error};
}

sub eventually_eof {
    my ($s) = @_;
    my $end = Time::HiRes::time() + 10 * slow();
    1 while !$s->eof && $s->wait_read($end);
    return $s->eof;
}

allow_log(qr/\[error\] .*(?:a secret is needed|the secret is another)/);
allow_log(qr/Hello was refused, code \d+: "(?:a secret is|the secret is)/);

sub logic {
    my ($file, %conf) = @_;
    return Goim::Logic->new(redis => $redis->addr,
        conf => { rpc => { secret_file => $file, %conf } });
}

subtest 'one' => sub {
    my $logic = logic(file(one => $secret{'one-a'}));
    is hello($logic, $secret{'one-a'}), '', 'the right one';
    is hello($logic), 'a secret is needed: logic ... secret_file=', 'none';
    is hello($logic, ''), 'a secret is needed: logic ... secret_file=', 'empty';
    is hello($logic, $_->[1]), 'the secret is another', $_->[0]
        for [another => $secret{other}], [less => substr $secret{'one-a'}, 1],
        [more => "$secret{'one-a'}a"], ['with a line feed' =>
        "$secret{'one-a'}\n"], ['with a NUL' => "$secret{'one-a'}\0"],
        [long => 'x' x 4000];
    cmp_ok $logic->metrics->{goim_logic_rpc_denied_total}, '>=', 8, 'counted';
    unlike $logic->logs, qr/one-aone-a|otherother/, 'never in the log';

    # nothing before Hello, as ever
    my $rpc = Goim::RPC->new($logic->{rpc_port}, hello => 0);
    $rpc->send(connect => { session => 1, token => '{"mid":1}' });
    ok eventually_eof($rpc->socket), 'no call without a Hello';
    allow_log(qr/\[error\] .*before Hello|Hello/);
};

subtest 'two, and none' => sub {
    my $logic = logic(file(two => @secret{qw(one-a two-b)}));
    is hello($logic, $secret{$_}), '', "$_" for qw(one-a two-b);
    is hello($logic, $secret{other}), 'the secret is another', 'a third';
    is hello($logic, "$secret{'one-a'}\n$secret{'two-b'}"),
        'the secret is another', 'both in one';

    $logic = logic("$dir/two", open => 'on');
    is hello($logic), '', 'none, where that is allowed';
    is hello($logic, $secret{other}), 'the secret is another',
        'a wrong one is wrong';
    $logic = Goim::Logic->new(redis => $redis->addr);
    is hello($logic, $secret{$_}), '', "logic has none, and is shown $_"
        for qw(one-a other);
};

subtest 'it is changed' => sub {
    my $logic = logic(file(logic => $secret{'one-a'}));
    file(node => $secret{'one-a'});
    my $node = Goim::Nginx->new(redis => $redis->addr, workers => 2,
        logic => $logic->rpc_addr . " secret_file=$dir/node");
    my $enters = sub {
        my ($key) = @_;
        eventually {
            my $c = eval { Goim::Client->new(port => $node->{port},
                key => $key, mid => 1) };
            $c && $c->drop;
            $c ? 1 : 0;
        } 20, "$key enters";
    };
    $enters->('first');
    my $stays = Goim::Client->new(port => $node->{port}, key => 'stays',
        mid => 2);

    file(logic => @secret{qw(one-a two-b)});
    $logic->stop;
    $logic->start;
    $enters->('with both');
    file(node => $secret{'two-b'});
    $node->reload;
    $enters->('the new one');
    file(logic => $secret{'two-b'});
    $logic->stop;
    $logic->start;
    $enters->('only the new one');
    is $stays->heartbeat, 0, 'who was there is there';

    file(logic => $secret{other});
    $logic->stop;
    $logic->start;
    eventually { $node->error_log =~ /Hello was refused.*the secret is another/ }
        20, 'the node says what is wrong';
};

subtest 'configuration' => sub {
    my $logic = Goim::Logic->new(redis => $redis->addr, stopped => 1);
    my $says = sub {
        my ($conf, $like, $name) = @_;
        my ($rc, $said) = $logic->test_with($conf);
        defined $like ? like($said, $like, $name) : is($rc, 0, $name);
    };

    $says->({ logic => { rpc => '0.0.0.0:3119' } },
        qr/rpc = "0\.0\.0\.0:3119" is not loopback: set \[rpc\] secret_file/,
        'beyond loopback');
    $says->({ logic => { rpc => ':3119' }, rpc => { open => 'on' } }, undef,
        'open');
    $says->({ logic => { rpc => ':3119' },
        rpc => { secret_file => "$dir/two" } }, undef, 'with a secret');
    $says->({ rpc => { secret_file => file(bad => @$_) } },
        qr/does not hold one or two lines of 16 to 512 visible/, "@$_")
        for ['short'], ['x' x 513], [@secret{qw(one-a two-b other)}],
        ['with a blank in it'];

    my $nginx = Goim::Nginx->new(redis => $redis->addr, port => free_port(),
        stopped => 1);
    my $node = sub {
        my ($value, $like, $name) = @_;
        $nginx->configure(logic => "127.0.0.1:1 $value");
        my ($rc, $said) = $nginx->test_conf;
        defined $like ? like($said, $like, $name) : is($rc, 0, $name);
    };
    allow_log(qr{\[emerg\] });
    $node->("secret_file=$dir/two", undef, 'the first line');
    $node->("secret_file=$dir/none", qr{open\(\) "\Q$dir\E/none" failed},
        'no file');
    $node->("secret_file=$dir/bad", qr/first line of .* is not 16 to 512/,
        'a wrong one');
    $node->("secret_file=$dir/two secret_file=$dir/two", qr/twice/, 'twice');
};

done_testing;
