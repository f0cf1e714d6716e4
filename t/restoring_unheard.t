# ASAN: no (restoring.t takes these ways there)
# LONG
#
# Redis has lost everything, and there are nodes of which no logic has heard:
# who is on them is not taken for offline before their registrations would have
# ended.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Logic;
use Goim::Redis;
use Goim::RPC;
use Goim::Test;

my $ttl = 8;
my $redis = Goim::Redis->new;
my ($one, $two) = map { Goim::Logic->new(redis => $redis->addr, stopped => 1,
    conf => { registry => { ttl => "${ttl}s", renew => '500ms' } }) } 1, 2;

sub ready { Goim::RPC::ready($_[0]->start) }

sub node {
    my ($logic, $name) = @_;
    return Goim::RPC->new($logic->{rpc_port}, server => $name, zone => 'z');
}

sub push_to_nobody {
    my ($logic) = @_;
    my $r = $logic->api->keys(1000, ['nobody'], 'x');
    return "$r->{code} $r->{message}";
}

sub restores { return push_to_nobody($_[0]) eq '-500 restoring' }

# The node has no sessions to announce.
sub announced {
    my ($node, $life) = @_;
    return $node->call(announced => { life => $life })->{code};
}

my $life;

# until when it was said that sessions are restored, from now on
sub restored_after {
    my (@logics) = @_;
    my $end = time + 3 * $ttl * slow();
    my $last = time;
    while (time < $end) {
        my @said = map { push_to_nobody($_) } @logics;
        return $last if !grep { !/^0 / } @said;
        $last = time;
        sleep 0.1;
    }
    return $end;
}

subtest 'a node that takes long to register' => sub {
    ready($one);
    my $near = node($one, 'near');
    $life = $near->register->{registered}{life};
    is push_to_nobody($one), '0 ', 'nobody is nowhere';

    my $flushed = time;
    $redis->cmd('FLUSHALL');
    eventually { restores($one) } 10, 'restoring';
    my $new;
    eventually {
        my $r = $near->register(life => $life, seen => 1);
        $r->{code} == 0 && ($new = $r->{registered}{life}) > $life;
    } 10, 'the node that is known is back';
    is announced($near, $new), 0, 'and has announced';

    cmp_ok restored_after($one), '>', $flushed + $ttl - 2,
        'others may be on their way until they would have lapsed';
    $life = $new;
};

subtest 'a logic that knew nothing comes first' => sub {
    $one->pause;
    $redis->cmd('FLUSHALL');
    ready($two);
    my $new = node($two, 'new')->register->{registered}{life};
    cmp_ok $new, '>', $life, 'a node registers for the first time';
    my $from = time;
    $one->resume;
    eventually { restores($two) } 10, 'the other knows that there was more';
    cmp_ok restored_after($one, $two), '>', $from + $ttl - 3,
        'until those would have lapsed';
    is $redis->cmd('HGET', 'goim:life', 'n'), $new, 'in the same life';
    $life = $new;
};

subtest 'all begin together' => sub {
    $_->stop for $one, $two;
    $redis->cmd('FLUSHALL');
    ready($_) for $one, $two;
    is push_to_nobody($one), '0 ', 'as if it were a new installation';

    my $old = node($one, 'old');
    my $new = $old->register(life => $life, seen => 1)->{registered}{life};
    eventually { restores($one) && restores($two) } 5,
        'a node says that it is none';
    is announced($old, $new), 0, 'it has announced';
    ok restores($two), 'others are awaited';

    # who comes much later is awaited by itself
    restored_after($one, $two);
    my $late = node($two, 'late');
    $late->register(life => $life, seen => 1);
    eventually { restores($one) } 5, 'one that comes later is awaited, too';
    is announced($late, $new), 0, 'has announced';
    eventually { push_to_nobody($one) eq '0 ' } 5, 'that is all';
};

done_testing;
