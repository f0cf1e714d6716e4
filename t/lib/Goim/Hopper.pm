# Clients that enter rooms, and a push to each room at the very moment when the
# client has its answer: it has to arrive.
#
#     my $hopper = Goim::Hopper->new(apis => [$c->api(0), $c->api(1)]);
#     is $hopper->hop([$client, 'live://1'], [$other, 'live://2']), '', 'name';
#
# Who has not authenticated yet logs in with the room, the others change to it.

package Goim::Hopper;

use strict;
use warnings;

use Goim::Client ();

sub new {
    my ($class, %arg) = @_;
    return bless { n => 0, %arg }, $class;
}

# a room that nobody has been in
sub fresh { return 'live://h' . ++$_[0]{rooms} }

# All at once; when all has arrived, or some time has passed: '', or what is
# missing.
sub hop {
    my ($self, @hops) = @_;
    my @clients = map { $_->[0] } @hops;
    my (%want, %wrong);

    for my $hop (@hops) {
        my ($c, $room) = @$hop;
        $want{$c} = undef;
        $c->{waits} = $c->{in} ? $c->send(12, $room)
            : $c->send(7, Goim::Client::token(%{ $c->{auth} },
                room => $room));
    }

    Goim::Client->pump_all(\@clients, 20, sub {
        for my $hop (@hops) {
            $self->_look($hop, \%want, \%wrong);
        }
        return !grep { !$wrong{ $_->[0] } && !$_->[0]{in_time} } @hops;
    });

    my @missing;
    for my $hop (@hops) {
        my ($c, $room) = @$hop;
        push @missing, "$room: " . ($wrong{$c} || ($c->{waits} ? 'no answer'
            : 'no message')) if !delete $c->{in_time};
        $c->{pushes} = [grep { $_->{body} !~ /^hop \d+$/ }
            @{ $c->{pushes} }];
    }
    return join ', ', @missing;
}

# whether all of them get this message, whatever else comes before it
sub get {
    my ($self, $body, @clients) = @_;
    for my $c (@clients) {
        my $p;
        1 while ($p = $c->push) && $p->{body} ne $body;
        return 0 if !$p;
    }
    return 1;
}

# answered: push; pushed: has it come?
sub _look {
    my ($self, $hop, $want, $wrong) = @_;
    my ($c, $room) = @$hop;

    if ($c->{waits} && (my $r = shift @{ $c->{replies} })) {
        delete $c->{waits};

        if ($r->{op} != ($c->{in} ? 13 : 8)
            || $r->{op} == 13 && $r->{body} ne $room)
        {
            $wrong->{$c} = "answer $r->{op} $r->{body}";
            return;
        }

        $c->{in} = 1;
        my ($type, $id) = $room =~ m{^(\w+)://(.*)$};
        my $n = ++$self->{n};
        my $said = $self->{apis}[$n % @{ $self->{apis} }]->room(1000, $type,
            $id, "hop $n");

        # what is not accepted may be refused for another reason
        return $wrong->{$c} = "push: $said->{text}" if ($said->{code} // 1);
        $want->{$c} = "hop $n";
    }

    if (defined $want->{$c}
        && grep { $_->{body} eq $want->{$c} } @{ $c->{pushes} })
    {
        $c->{in_time} = 1;
    }
    $wrong->{$c} ||= 'closed with ' . ($c->transport->{code} // 'nothing')
        if $c->transport->socket->eof && !$c->{in_time};
}

1;
