# Messages to a room are gathered into frames of up to gather_size; one alone
# goes as it is.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Packet qw(split_packets);
use Goim::Test;

my $c = Goim::Cluster->new(workers => 1);
my ($node, $api) = ($c->node, $c->api);

# what n messages of such a size come in when they come together:
# [length of a frame, messages in it]
sub frames {
    my ($n, $size) = @_;
    my $client = $c->client(room => 'live://1', accepts => [1000]);
    my ($worker) = grep { Goim::Nginx::title($_) !~ /shutting/ } $node->workers;
    my (@frames, @got);

    hit STOP => $worker;
    $api->room(1000, 'live', '1', sprintf('%06d', $_) . 'x' x ($size - 6))
        for 1 .. $n;
    hit CONT => $worker;

    wait_for {
        $client->transport->pump;
        while (my $m = shift @{ $client->transport->{messages} }) {
            my ($p) = split_packets($m->{data});
            is($p->{op}, 9, 'a frame of messages') if $p->{op} != 9;
            my @packets = split_packets($p->{body});
            push @frames, [length $m->{data}, scalar @packets];
            push @got, map { substr($_->{body}, 0, 6) + 0 } @packets;
        }
        @got >= $n;
    } 20, 'the messages';

    is_deeply(\@got, [1 .. $n], "$n x $size: each once, in order");
    $client->close;
    return @frames;
}

sub longest { return (sort { $b <=> $a } map { $_->[0] } @_)[0] }

my @frames = frames(200, 1000);
cmp_ok(scalar @frames, '<', 100, 'messages are gathered');
cmp_ok(longest(@frames), '<=', 16384, 'into at most 16k, by default');
cmp_ok(longest(@frames), '>', 14000, 'and not into less');

@frames = frames(5, 40_000);
is_deeply(\@frames, [([40_000 + 32, 1]) x 5], 'a longer one goes alone');

$node->configure(goim => { gather_size => '4k' });
$node->reload;
@frames = frames(200, 300);
cmp_ok(scalar @frames, '<', 100, 'gather_size 4k: messages are gathered');
cmp_ok(longest(@frames), '<=', 4096, 'into at most that');
cmp_ok(longest(@frames), '>', 3600, 'and not into less');

# exactly: 16 for the frame's own header, and for each message
$node->configure(goim => { gather_size => '1024' });
$node->reload;
@frames = frames(40, 1008 / 4 - 16);
is(longest(@frames), 1024, 'to the byte');

done_testing;
