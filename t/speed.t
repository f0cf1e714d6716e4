# LONG
#
# Broadcasts with a speed: over all nodes together no faster than that, evenly,
# everybody once and in order; nothing else waits for them, and what waits is
# bounded.

use strict;
use warnings;

use IO::Select;
use List::Util qw(max);
use Time::HiRes ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::RPC;
use Goim::Test;

my $c = Goim::Cluster->new(bus => 'redis', nodes => 2, workers => 2,
    nginx => { tcp => 1 });
my $api = $c->api;
my $made = 0;

sub came {
    my ($node, $n) = @_;
    return map { $c->client(node => $node, key => 'k' . ++$made,
        transport => $made % 4 ? 'ws' : 'tcp', accepts => [1 .. 20],
        room => 'live://1') } 1 .. $n;
}

# three times as many on one node as on the other
my @first = came(0, 300);
my @second = came(1, 100);
my @all = (@first, @second);

# what each has got of an operation
sub bodies {
    my ($client, $op) = @_;
    return [map { $_->{body} } grep { $_->{op} == $op }
        @{ $client->{pushes} }];
}

# Read until $done->(): for each look [began, ended, packets of $op in it].
sub watch {
    my ($clients, $op, $done) = @_;
    my $end = Time::HiRes::time() + 60 * slow();
    my $select = IO::Select->new(map { [$_->transport->socket->{sock}, $_] }
        @$clients);
    my @looks;

    while (Time::HiRes::time() < $end && !$done->()) {
        my ($began, $n) = (Time::HiRes::time(), 0);
        for my $ready ($select->can_read(0.02)) {
            my $client = $ready->[1];
            my $had = @{ $client->{pushes} };
            $client->pump;
            my @new = @{ $client->{pushes} };
            splice @new, 0, $had;
            @new = grep { $_->{op} == $op } @new;
            $client->{at}{$op} = Time::HiRes::time() if @new;
            $n += @new;
            $select->remove($ready) if $client->transport->socket->eof;
        }
        push @looks, [$began, Time::HiRes::time(), $n];
    }
    return @looks;
}

sub got { my ($op, @clients) = @_; return grep { $_->{at}{$op} } @clients }

sub all_got {
    my ($op, @clients) = @_;
    return sub { got($op, @clients) == @clients };
}

# In no span of time more than the pace allows.  A worker that was late makes
# up for 200 ms at most, perhaps just after it was late once more; what is seen
# in a look may have been sent since the one before began.
sub evenly {
    my ($speed, $looks, $name) = @_;
    my $worst = 0;

    for my $i (1 .. $#$looks) {
        my $n = 0;
        for my $j ($i .. $#$looks) {
            $n += $looks->[$j][2];
            my $span = $looks->[$j][1] - $looks->[$i - 1][0];
            my $over = $n - $speed * ($span + 0.5) - 8;
            $worst = $over if $over > $worst;
        }
    }
    is $worst, 0, $name;
}

sub everybody_once {
    my ($op, $bodies, $name, @clients) = @_;
    my @wrong = grep { "@{ bodies($_, $op) }" ne "@$bodies" } @clients;
    is scalar @wrong, 0, $name
        or diag explain [map { bodies($_, $op) } @wrong[0 .. 2]];
}

# what job told the nodes of the last broadcast
sub told {
    my ($server) = @_;
    my @records = map { @{ $_->{records} } }
        Goim::RPC::deliveries($c->redis, $server);
    return $records[-1];
}

subtest 'the pace' => sub {
    eventually {
        $api->all(999, 'nobody wants this', 1);
        ((told('comet-1') || {})->{sessions} || 0) == 400;
    } 30, 'job knows the connections of both nodes';
    is told('comet-1')->{speed}, 1, 'and passes the pace on';

    my $start = Time::HiRes::time();
    is $api->all(1, 'paced', 50)->{code}, 0, 'accepted';
    is $api->room(2, 'live', '1', 'to the room')->{code}, 0, 'a room message';
    is $api->keys(3, ['k1', 'k400'], 'to keys')->{code}, 0, 'one to keys';
    is $api->all(4, 'to all')->{code}, 0, 'a broadcast of another operation';

    my $before;
    my @looks = watch(\@all, 1, sub {
        $before = got(1, @all) if !defined $before
            && !grep { !@{ bodies($_, 2) } || !@{ bodies($_, 4) } } @all;
        all_got(1, @all)->();
    });
    everybody_once(1, ['paced'], 'everybody has it once', @all);
    everybody_once(2, ['to the room'], 'and the room message', @all);
    everybody_once(3, ['to keys'], 'and what was for keys', @all[0, 399]);
    everybody_once(4, ['to all'], 'and the other broadcast', @all);
    cmp_ok defined $before ? $before : 400, '<', 300,
        'these did not wait for it';

    evenly(50, \@looks, 'at no time faster than it should be');
    for ([first => @first], [second => @second]) {
        my ($name, @clients) = @$_;
        cmp_ok max(map { $_->{at}{1} } @clients) - $start, '>', 7,
            "the $name node takes its time";
    }
};

subtest 'order' => sub {
    is $api->all(5, 'one', 100)->{code}, 0, 'at a pace';
    is $api->all(5, 'two')->{code}, 0, 'at once';
    is $api->all(5, 'three', 100000)->{code}, 0, 'at a higher pace';
    is $api->all(5, 'four', 2147483647)->{code}, 0, 'at the highest';
    watch(\@all, 5, sub { !grep { @{ bodies($_, 5) } < 4 } @all });
    everybody_once(5, [qw(one two three four)],
        'those of one operation stay in order', @all);
};

subtest 'who comes and goes' => sub {
    is $api->all(16, 'paced', 100)->{code}, 0, 'accepted';
    watch(\@all, 16, sub { got(16, @all) > 20 });

    my @gone = (splice(@first, 100, 20), splice(@second, 0, 20));
    $_->drop for @gone;
    my @new = (came(0, 20), came(1, 20));
    @all = (@first, @second);
    is $api->all(16, 'behind it')->{code}, 0, 'accepted';

    my $before;
    watch([@all, @new], 16, sub {
        $before = got(16, @all) if !defined $before && all_got(16, @new)->();
        !grep { @{ bodies($_, 16) } < 2 } @all;
    });
    everybody_once(16, ['paced', 'behind it'], 'who stays has all', @all);
    everybody_once(16, ['behind it'], 'who came later what came later', @new);
    cmp_ok defined $before ? $before : @all + 0, '<', @all + 0,
        'without waiting for the others';
    push @first, splice @new, 0, 20;
    push @second, @new;
    @all = (@first, @second);
};

subtest 'a reload, and the end of a worker' => sub {
    is $api->all(7, 'paced', 100)->{code}, 0, 'accepted';
    watch(\@all, 7, sub { got(7, @all) > 20 });
    $c->node(0)->reload;
    cmp_ok scalar(got(7, @all)), '<', 400, 'not all have it yet';

    allow_log(qr/exited on signal 9/);
    hit 'KILL', ($c->node(1)->workers)[0];
    my @looks = watch(\@all, 7, sub {
        !grep { !$_->{at}{7} && !$_->transport->socket->eof } @all });
    my @left = grep { !$_->transport->socket->eof } @all;

    cmp_ok scalar(@left), '<', 400, 'some are gone with their worker';
    cmp_ok scalar(@left), '>=', 300, 'the others are there';
    everybody_once(7, ['paced'], 'and have it once', @left);
    evenly(100, \@looks, 'no faster than it should be');
    is scalar(grep { $_->transport->socket->eof } @first), 0,
        'nobody was closed by the reload';
    @all = @left;
};

subtest 'one a second' => sub {
    my $start = Time::HiRes::time();
    is $api->all(8, 'slow', 1)->{code}, 0, 'accepted';
    watch(\@all, 8, sub { got(8, @all) >= 3 });
    cmp_ok scalar(got(8, @all)), '<=',
        Time::HiRes::time() - $start + 8, 'one a second, and a few';
    is $api->all(9, 'fast', 2147483647)->{code}, 0, 'the highest speed';
    watch(\@all, 9, all_got(9, @all));
    everybody_once(9, ['fast'], 'everybody has it', @all);
    cmp_ok scalar(got(8, @all)), '<', 200, 'the slow one goes on';
};

# while that one is on its way
$_->stop for @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };

subtest 'too many' => sub {
    my $c = Goim::Cluster->new(bus => 'redis', nginx => {
        goim => { queue_size => '64m' } });
    my $api = $c->api;
    my $unpaced = sub { $c->node->status->{counters}{unpaced} };

    # Each of these takes a minute, of which who came last sees the beginning.
    my @others = map { $c->client(key => "o$_", accepts => [999]) } 1 .. 60;
    my @all = map { $c->client(key => "k$_", accepts => [1 .. 20]) } 1 .. 2;

    my @bodies = 1 .. 1100;
    is scalar(grep { $api->all(1, $_, 1)->{code} } @bodies), 0,
        'more than are paced at a time';
    is $api->keys(2, ['k2'], 'urgent')->{code}, 0, 'and one to a key';
    watch(\@all, 1, sub { !grep { @{ bodies($_, 1) } < 1100 } @all });
    everybody_once(1, \@bodies, 'all arrive, in order', @all);
    eventually { $all[1]->pump; @{ bodies($all[1], 2) } } 10,
        'and the other one';
    cmp_ok $unpaced->(), '>=', 76, 'the oldest were hastened';
    like $c->node->error_log, qr/\[warn\].*the oldest are hastened/, 'said';

    my $before = $unpaced->();
    @bodies = map { 'x' x (480_000 + $_) } 1 .. 40;
    my $refused = 0;
    for my $body (@bodies) {
        $refused += $api->all(3, $body, 1)->{code} != 0;
        $_->pump for @all;
    }
    is $refused, 0, 'more bytes than wait at a time';
    watch(\@all, 3, sub { !grep { @{ bodies($_, 3) } < 40 } @all });
    everybody_once(3, [map { length } @bodies], 'all arrive, in order',
        map { $_->{body} = length $_->{body} for @{ $_->{pushes} }; $_ } @all);
    cmp_ok $unpaced->(), '>', $before, 'some were hastened';
    $_->stop for @{ $c->{nodes} }, @{ $c->{jobs} }, @{ $c->{logics} };
};

done_testing;
