# Clients that log in, change rooms as fast as they can, and leave: a process of
# its own, which makes a node's workers change what they share.

package Goim::Storm;

use strict;
use warnings;

use Goim::Client ();
use Goim::Packet ();
use Goim::WS ();

sub run {
    my ($port) = @_;

    while (1) {
        eval {
            my @clients = map { Goim::Client->new(port => $port,
                room => "storm://$_", accepts => [1]) } 1 .. 6;
            for (1 .. 20) {
                $_->transport->send_raw(changes(200)) for @clients;
                $_->pump, $_->{replies} = [] for @clients;
            }
        };
    }
}

# frames of $n changes of room
sub changes {
    my ($n) = @_;
    return join '', map { Goim::WS::frame(binary => Goim::Packet::pack_packet(
        12, 'storm://' . int rand 1000, seq => $_)) } 1 .. $n;
}

1;
