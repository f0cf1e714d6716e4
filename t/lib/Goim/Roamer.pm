# Clients that come back, a process each: whenever a connection ends they make
# the next one, to the next node. What they saw is in a file of theirs, and
# judged when all is over.
#
#     my @roamers = map { Goim::Roamer->new(number => $_, nodes => \@nodes,
#         auth => { key => "k$_" }, moves => $_ % 4 == 3) } 1 .. 20;
#     ...
#     $_->stop for @roamers;
#     for my $c ($roamers[0]->connections) { ... }

package Goim::Roamer;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use JSON::PP ();
use POSIX ();
use Time::HiRes ();

use Goim::Client ();
use Goim::Proc ();
use Goim::Test qw(folder root_dir slurp);

my $beat = 4;           # s between heartbeats

# number; ports => of the nodes; transport; auth => {}; moves => 1: to another
# node now and then, by itself
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('roamer');
    my $self = $class->SUPER::new(%arg, name => 'roamer', dir => $dir,
        cmd => [$^X, '-I' . root_dir() . '/t/lib', '-MGoim::Roamer', '-e',
            'Goim::Roamer::run(shift)', JSON::PP->new->encode(\%arg)]);
    $self->start;
    return $self;
}

# ---- the process -------------------------------------------------------------

# A line for what happens: came, message, end
sub run {
    my $arg = JSON::PP->new->decode($_[0]);
    my $stop = 0;
    my $n = $arg->{number};

    local $SIG{TERM} = sub { $stop = 1 };
    srand $n;
    $| = 1;

    while (!$stop) {
        my $port = $arg->{ports}[$n++ % @{ $arg->{ports} }];
        my $c = eval { Goim::Client->new(port => $port, timeout => 3,
            transport => $arg->{transport}, %{ $arg->{auth} }) };

        if ($c) {
            printf "came %.6f\n", Time::HiRes::time();
            stay($c, $arg->{moves} ? 5 + rand 10 : 1e9, \$stop);
            eval { $c->drop };
        }
        Time::HiRes::sleep(0.1 + rand 0.3);
    }
    POSIX::_exit(0);
}

sub stay {
    my ($c, $time, $stop) = @_;
    my $socket = $c->transport->socket;
    my $end = Time::HiRes::time() + $time;
    my $next = 0;

    while (!$$stop && Time::HiRes::time() < $end && !$socket->eof) {
        $socket->wait_read(Time::HiRes::time() + 0.2);
        eval { $c->pump; 1 } or last;
        print "message $_->{body}\n" for splice @{ $c->{pushes} };
        splice @{ $c->{replies} };

        if (Time::HiRes::time() > $next) {
            eval { $c->send(2, '') };
            $next = Time::HiRes::time() + $beat;
        }
    }
    printf "end %s %s\n", $$stop ? 'stopped' : $socket->eof ? 'closed' : 'left',
        $c->transport->{code} || 0;
}

# ---- what the test asks ------------------------------------------------------

# { came => when, got => [bodies], end => 'stopped', 'closed' (by the node),
# 'left', code => of the close frame }, ...
sub connections {
    my ($self) = @_;
    my @list;

    for (split /\n/, slurp("$self->{dir}/roamer.log")) {
        if (/^came (\S+)$/) {
            push @list, { came => $1, got => [], end => '', code => 0 };
        } elsif (/^message (.*)$/) {
            push @{ $list[-1]{got} }, $1;
        } elsif (/^end (\w+) (\d+)$/) {
            @{ $list[-1] }{qw(end code)} = ($1, $2);
        }
    }
    return @list;
}

1;
