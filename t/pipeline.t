# Packets sent before the answer to auth wait for it, however many there are and
# however they are cut; answers leave in the order of the requests.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Packet;
use Goim::Test;
use Goim::WS;

my $c = Goim::Cluster->new(bus => 'redis', workers => 1,
    nginx => { ssl => 1 });
my $nginx = $c->node;

my %to = (ws => { port => $nginx->{port} },
    wss => { port => $nginx->{wss_port}, ssl => 1 });

# what is answered in which order: [op, seq] of each
sub requests {
    my ($n) = @_;
    my @op = (2, 4, 14, 100, 2, 16, 4, 12);
    my %body = (12 => 'live://1', 14 => '1,2', 16 => '1', 4 => 'message',
        100 => 'any');
    return ([7, 1, '{"mid":1}'],
        map { my $op = $op[$_ % @op]; [$op, $_ + 1, $body{$op}] } 1 .. $n);
}

my %answer = (7 => 8, 2 => 3, 4 => 5, 14 => 15, 16 => 17, 12 => 13);

sub answered {
    my ($name, $ws, @requests) = @_;
    my @want = map { [exists $answer{$_->[0]} ? $answer{$_->[0]} : $_->[0],
        $_->[1]] } @requests;
    my @got;
    while (@got < @want) {
        my $m = $ws->recv or last;
        my $p = Goim::Packet::parse_packet(\$m->{data});
        push @got, [@$p{qw(op seq)}];
    }
    is_deeply(\@got, \@want, $name);
}

for my $kind (qw(ws wss)) {
    for my $n (0, 1, 10, 3000) {
        my @requests = requests($n);
        my $frames = join '', map { Goim::WS::frame(binary =>
            Goim::Packet::pack_packet($_->[0], $_->[2], seq => $_->[1])) }
            @requests;

        # all with the upgrade, then all behind it, then cut
        my $ws = Goim::WS->new(%{ $to{$kind} }, early => $frames);
        answered("$kind: $n behind auth, all with the request", $ws,
            @requests);
        is($ws->close, 1000, "$kind: closed");

        $ws = Goim::WS->new(%{ $to{$kind} });
        $ws->send_raw($frames);
        answered("$kind: $n behind auth, at once", $ws, @requests);
        is($ws->close, 1000, "$kind: closed");

        next if $n > 100;
        $ws = Goim::WS->new(%{ $to{$kind} });
        $ws->send_raw($_) for $frames =~ /.{1,3}/sg;
        answered("$kind: $n behind auth, in pieces", $ws, @requests);
        is($ws->close, 1000, "$kind: closed");
    }
}

eventually { $nginx->status->{sessions} == 0 } 10, 'no session is left';

done_testing;
