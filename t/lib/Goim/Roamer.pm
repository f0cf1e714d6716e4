# Clients that come back, a process each: whenever a connection ends they make
# the next one, to the next node. What they saw is in a file of theirs, and
# judged when all is over.
#
#     my @roamers = map { Goim::Roamer->new(number => $_, nodes => \@nodes,
#         auth => { key => "k$_" }, moves => $_ % 4 == 3) } 1 .. 20;
#     ...
#     $_->stop for @roamers;
#     my @findings = Goim::Checker::check($traffic->posts,
#         [map { $_->client } @roamers]);

package Goim::Roamer;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use JSON::PP ();
use POSIX ();
use Time::HiRes ();

use Goim::Client ();
use Goim::Proc ();
use Goim::Test qw(folder now root_dir slurp);

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

# A line for what happens: came, message, end, each with its time
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
            printf "came %.6f\n", now();
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
        printf "message %.6f %s\n", now(), $_->{body}
            for splice @{ $c->{pushes} };
        splice @{ $c->{replies} };

        if (Time::HiRes::time() > $next) {
            eval { $c->send(2, '') };
            $next = Time::HiRes::time() + $beat;
        }
    }

    # told to go, it may leave by itself before the end has come
    printf "end %.6f %s %s\n", now(),
        $socket->eof || $c->transport->{code} ? 'closed'
            : $$stop ? 'stopped' : 'left',
        $c->transport->{code} || 0;
}

# ---- what the test asks ------------------------------------------------------

# the client, as Goim::Checker takes it
sub client {
    my ($self) = @_;
    my ($auth, @list) = ($self->{auth});

    for (split /\n/, slurp("$self->{dir}/roamer.log")) {
        if (/^came (\S+)$/) {
            push @list, { came => $1, end => '', code => 0, ended => 0,
                tcp => $self->{transport} eq 'tcp',
                events => [{ at => $1, join => $auth->{room} }] };
        } elsif (/^message (\S+) (.*)$/) {
            push @{ $list[-1]{events} }, { at => $1, body => $2 };
        } elsif (/^end (\S+) (\w+) (\d+)$/) {
            @{ $list[-1] }{qw(ended end code)} = ($1, $2, $3);
        }
    }
    return { name => $self->{number}, key => $auth->{key},
        mid => $auth->{mid}, connections => \@list };
}

# has it come?
sub here { return scalar @{ $_[0]->client->{connections} } }

1;
