# Clients that roam, a process each: whenever a connection ends they make the
# next one, to the next node; they leave and change rooms by themselves, and
# some recover, with the positions that they keep. What they saw is in files of
# theirs, and judged when all is over.
#
#     my $roamers = Goim::Roamer->new(clients => [map { { number => $_,
#         ports => \@ports, transport => 'tcp', auth => { key => "k$_" },
#         rooms => \@rooms, recovers => $_ % 2 } } 1 .. 20]);
#     ...
#     $roamers->stop;
#     my @findings = Goim::Checker::check(\@posts, [$roamers->clients]);
#
# A client:
#     number, ports => of the nodes, transport, auth => {}, rooms => []
#     recovers => 1     with its positions
#     stays => s        then it leaves; half to one and a half of that
#     changes => s      between changes of its room
#     pauses => s       between times when it does not read

package Goim::Roamer;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use IO::Socket::SSL ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

use Goim::Client ();
use Goim::Proc ();
use Goim::Test qw(folder hit now root_dir slow slurp);

my $json = JSON::PP->new->canonical;
my $beat = 4;           # s between heartbeats
my $turn = 1;           # s at most until it looks whether it is to stop

sub new {
    my ($class, %arg) = @_;
    my $dir = folder('roamers');
    my $self = $class->SUPER::new(%arg, name => 'roamers', dir => $dir,
        cmd => [$^X, '-I' . root_dir() . '/t/lib', '-MGoim::Roamer', '-e',
            'Goim::Roamer::run(shift)', $json->encode($arg{clients})]);
    $self->start;
    return $self;
}

# ---- the processes -----------------------------------------------------------

sub run {
    my $clients = $json->decode($_[0]);
    my ($stop, @pids) = (0);

    local $SIG{TERM} = sub { $stop = 1 };
    for my $arg (@$clients) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        push @pids, $pid;
        next if $pid;
        roam($arg, \$stop);
        POSIX::_exit(0);
    }
    sleep 1 while !$stop;
    hit('TERM', @pids);
    waitpid $_, 0 for @pids;
    POSIX::_exit(0);
}

# want: the room that it enters next; at: room => { epoch, seq }
sub roam {
    my ($arg, $stop) = @_;
    my $self = bless { %$arg, at => {}, turn => $arg->{number} },
        'Goim::Roamer::Client';

    srand $arg->{number};
    $self->{want} = $self->room;
    open $self->{log}, '>', "$arg->{number}.seen" or die "log: $!";
    $self->{log}->autoflush;

    while (!$$stop) {
        my $c = eval { $self->come };
        if ($c) {
            my $how = $self->stay($c, $stop);
            $self->say(end => $how, $self->{code} || 0) if $self->{in};
            eval { $c->drop };
        }
        sleep 0.1 + rand 0.3;
    }
}

package Goim::Roamer::Client;

# one that has started, and then again and again
sub every {
    my ($s) = @_;
    return Time::HiRes::time() + ($s ? $s * (0.5 + rand) : 1e9);
}

sub room { my ($self) = @_; return $self->{rooms}[rand @{ $self->{rooms} }] }

sub say {
    my ($self, $what, @words) = @_;
    print { $self->{log} } join(' ', $what, sprintf('%.6f',
        Goim::Test::now()), @words) . "\n";
}

# What it says of a room: its position, or a few items before that (as it was
# not done with them); or that it wants some of the newest.
sub position {
    my ($self, $room) = @_;
    my $at = $self->{at}{$room};
    return rand() < 0.5 ? undef : { last => int 1 + rand 20 } if !$at;
    return $at if rand() < 0.7;
    my $back = int rand 4;
    return { %$at, seq => $at->{seq} > $back ? $at->{seq} - $back : 0 };
}

# a connection on which auth is on its way
sub come {
    my ($self) = @_;
    my $port = $self->{ports}[$self->{turn}++ % @{ $self->{ports} }];
    my $room = $self->{want};
    my %recover;

    if ($self->{recovers}) {
        $self->{said} = $self->position($room);
        %recover = (recover => { $self->{said} ? ($room => $self->{said})
            : () });
    }
    @$self{qw(in code changing)} = (0, undef, undef);
    my $c = Goim::Client->new(port => $port, timeout => 3, auth => 0,
        transport => $self->{transport}, %{ $self->{auth} }, room => $room,
        %recover);
    $c->send(7, Goim::Client::token(%{ $c->{auth} }));
    return $c;
}

# how it ended
sub stay {
    my ($self, $c, $stop) = @_;
    my $socket = $c->transport->socket;
    my $came = Time::HiRes::time();
    my $leave = every($self->{stays});
    my $change = every($self->{changes});
    my $pause = every($self->{pauses});
    my $next = $came + $beat;

    while (1) {
        my $time = Time::HiRes::time();
        eval { $self->take($c, @$_) for $c->arrived; 1 } or return 'left';
        $self->{code} //= $c->transport->{code};
        return 'closed' if $socket->eof || defined $self->{code};
        return 'stopped' if $$stop;
        return 'left' if $time > $leave
            || !$self->{in} && $time > $came + 5 * Goim::Test::slow();

        if ($time > $next) {
            eval { $c->send(2, '') };
            $next = $time + $beat;
        }
        if ($time > $change && $self->{in} && !defined $self->{changing}) {
            eval { $self->change($c) };
            $change = every($self->{changes});
        }
        if ($time > $pause && $self->{in}) {
            Time::HiRes::sleep(0.5 + rand $beat);
            $pause = every($self->{pauses});
            next;
        }
        my ($until) = sort { $a <=> $b } $time + $turn, $next, $leave,
            $change, $pause;
        $socket->wait_read($until);
    }
}

# to another room, or the same once more, which it then says nothing of
sub change {
    my ($self, $c) = @_;
    my $room = $self->{changing} = $self->room;
    my $said = $self->{recovers} && $room ne $self->{want}
        ? $self->position($room) : undef;
    $self->{said} = $said;
    $c->send(12, $said ? $json->encode({ $room => $said }) : $room);
}

# ---- what comes --------------------------------------------------------------

sub take {
    my ($self, $c, $kind, $what) = @_;

    if ($kind eq 'pushes') {
        $self->push($what);
    } elsif ($kind eq 'positions') {
        $self->told($_, $what->{$_}) for keys %$what;
    } elsif ($kind eq 'byes') {
        $self->{code} = $what->{code};
    } elsif ($what->{op} == 8) {
        $self->say('came');
        $self->{in} = 1;
        $self->joined;
    } elsif ($what->{op} == 13) {
        # who enters its room again goes on from where it is
        $self->{said} = $self->{at}{ $self->{want} }
            if $what->{body} eq $self->{want};
        $self->{want} = $what->{body};
        delete $self->{changing};
        $self->joined;
    }
}

sub joined {
    my ($self) = @_;
    my $said = $self->{recovers} && $self->{said} && $self->{said}{epoch}
        ? $self->{said} : undef;
    $self->say(join => $self->{want}, $said ? @$said{qw(epoch seq)} : ());
}

sub told {
    my ($self, $room, $told) = @_;
    my $yes = $told && $told->{recovered};

    $self->say(told => $room, !$told ? () : (@$told{qw(epoch seq first)},
        !exists $told->{recovered} ? '-' : $yes ? 'yes' : 'no'));
    delete $self->{at}{$room};
    $self->{at}{$room} = { epoch => $told->{epoch}, seq => $told->{seq} }
        if $told;
}

# "word size xxx": as long as it says
sub push {
    my ($self, $push) = @_;
    my ($word, $size, $rest) = split / /, $push->{body}, 3;
    my $at = $self->{at}{ $self->{want} };

    $word = "broken-$word" if !defined $rest || length $rest != $size
        || $rest =~ tr/x//c;
    $word = "early-$word" if !$self->{in};
    return $self->say(message => $word) if !$push->{seq};
    $self->say(item => $word, $at ? $at->{epoch} : '?', $push->{seq});
    $at->{seq} = $push->{seq} if $at;
}

package Goim::Roamer;

# ---- what the test asks ------------------------------------------------------

# the clients, as Goim::Checker takes them
sub clients {
    my ($self) = @_;
    return map { $self->_client($_) } @{ $self->{clients} };
}

sub _client {
    my ($self, $arg) = @_;
    my ($auth, @list) = ($arg->{auth});
    my $log = "$self->{dir}/$arg->{number}.seen";

    for (split /\n/, -e $log ? slurp($log) : '') {
        my ($what, $at, @w) = split / /;
        if ($what eq 'came') {
            push @list, { came => $at, end => '', code => 0, ended => 0,
                tcp => $arg->{transport} eq 'tcp', events => [] };
        } elsif ($what eq 'end') {
            @{ $list[-1] }{qw(ended end code)} = ($at, @w);
        } else {
            push @{ $list[-1]{events} }, { at => $at, $what eq 'join'
                ? (join => $w[0], @w > 1 ? (said => _at(@w[1, 2])) : ())
                : $what eq 'told' ? (told => { $w[0] => @w > 1
                    ? { %{ _at(@w[1, 2]) }, first => $w[3], $w[4] eq '-' ? ()
                        : (recovered => $w[4] eq 'yes' ? 1 : 0) } : undef })
                : (body => $w[0], @w > 1 ? %{ _at(@w[1, 2]) } : ()) };
        }
    }
    return { name => "$arg->{number}, $arg->{transport}", key => $auth->{key},
        mid => $auth->{mid}, recovers => $arg->{recovers},
        connections => \@list };
}

sub _at { return { epoch => $_[0], seq => $_[1] } }

# how many are there now
sub here {
    my ($self) = @_;
    my $n = 0;
    for (@{ $self->{clients} }) {
        my $tail = _tail("$self->{dir}/$_->{number}.seen");
        $n++ if $tail ne '' && $tail !~ /^end [^\n]*\n\z/m;
    }
    return $n;
}

sub _tail {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    seek $fh, -300, 2;
    local $/;
    return <$fh> // '';
}

1;
