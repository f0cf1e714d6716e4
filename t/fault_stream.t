# The stream of a node is deleted, trimmed, made a string, while it is read and
# while nobody reads it: who recovers has everything and is told nothing, as
# histories hold it.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Audience;
use Goim::Test;

my $c = with_history(bus => $ENV{GOIM_BUS}, workers => 2);
my ($node, $redis) = ($c->node, $c->redis);
my $stream = 'goim:node:comet-1';
my %breaks = (
    deleted => sub { $redis->cmd('DEL', $stream) },
    trimmed => sub { $redis->cmd('XTRIM', $stream, 'MAXLEN', 0) },
    'made a string' => sub { $redis->cmd('SET', $stream, 'x') },
);

for my $what (sort keys %breaks) {
    my $break = $breaks{$what};
    through("$what while it is read", $c, plain => 0, fault => sub {
        for (1 .. 10) {
            $break->();
            sleep 0.1;
        }
    });

    my $before = holes();
    through("$what while nobody reads", $c, plain => 0, fault => sub {
        my @workers = $node->workers;
        hit STOP => @workers;
        sleep 0.5;
        $break->();
        sleep 0.5;
        hit CONT => @workers;
    });
    cmp_ok holes(), '>', $before, 'there was a hole';
}

sub holes { return $node->status->{counters}{holes} }

done_testing;
