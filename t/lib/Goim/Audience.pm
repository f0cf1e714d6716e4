# Clients of a room with history, half of which recover, that come back whenever
# their connection ends, in a process of their own; and what a test does while
# messages flow to them, judged by Goim::Checker.
#
#     my $c = with_history(bus => 'redis', workers => 2);
#     through('a worker dies', $c, fault => sub {
#         hit 'KILL', ($c->node->workers)[0] });
#
# It is over when all clients are there and nothing is to be found any more,
# which may take as long as a node may miss the last item of a quiet room (42 s);
# and nothing is found a moment later either.

package Goim::Audience;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Exporter 'import';
use IO::Select ();
use JSON::PP ();
use POSIX ();
use Time::HiRes ();

use Goim::Checker ();
use Goim::Client ();
use Goim::Cluster ();
use Goim::Packet qw(split_packets);
use Goim::Proc ();
use Goim::Test qw(folder now root_dir slow slurp wait_for);
use Goim::Traffic ();
use Test::More ();

our @EXPORT = qw(with_history through);

my $json = JSON::PP->new->canonical;
my $audiences = 0;

# a Goim::Cluster, where rooms of type live have one
sub with_history {
    my (%arg) = @_;
    my %registry = (registry => { ttl => '6s', renew => '1s' });
    my $c = Goim::Cluster->new(nginx => { tcp => 1 }, logic => { conf => {
        %registry } }, job => { conf => { %registry,
            history => { live => '300 10m' } } }, %arg);

    wait_for { $c->api->get('/goim/room/position', type => 'live', room => 1)
        ->{data} } 20, 'logic knows which rooms have a history';
    return $c;
}

# nodes => [Goim::Nginx, ...], room => 'live://1', count => 8, plain => 0: all
# recover, tcp => 0: over WebSocket only
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('audience');
    my $run = ++$audiences;
    my $tcp = $arg{tcp} // 1;
    my @clients = map { {
        name => "$run.$_", key => "a$run.$_", mid => $run * 1000 + $_,
        room => $arg{room} || 'live://1',
        recovers => exists $arg{plain} && !$arg{plain} || $_ % 2,
        transport => $tcp && $_ % 4 > 1 ? 'tcp' : 'ws',
        ports => [map { [$_->{port}, $_->{tcp_port}] } @{ $arg{nodes} }],
        turn => $_,
    } } 1 .. $arg{count} || 8;

    my $self = $class->SUPER::new(name => 'audience', dir => $dir,
        clients => \@clients, cmd => [$^X, '-I' . root_dir() . '/t/lib',
            '-MGoim::Audience', '-e', 'Goim::Audience::run(shift)',
            $json->encode(\@clients)]);
    $self->start;
    wait_for { $self->here } 30, 'all clients are there';
    return $self;
}

sub keys { return map { $_->{key} } @{ $_[0]{clients} } }

# ---- the process -------------------------------------------------------------

# A line for what happens: client, what, when
sub run {
    my @clients = @{ $json->decode($_[0]) };
    my $stop = 0;

    local $SIG{TERM} = sub { $stop = 1 };
    $| = 1;

    while (!$stop) {
        enter($_) for grep { !$_->{c} && now() >= ($_->{next} || 0) } @clients;
        my $select = IO::Select->new(map { $_->{c}{t}->socket->{sock} }
            grep { $_->{c} } @clients);
        $select->count ? $select->can_read(0.05) : Time::HiRes::sleep(0.05);
        attend($_) for grep { $_->{c} } @clients;
    }
    POSIX::_exit(0);
}

sub say_of {
    my ($f, $what, @more) = @_;
    printf "%s %s %.6f%s\n", $f->{name}, $what, now(),
        join '', map { " $_" } @more;
    return;
}

# to the next node; what it answers is waited for with all else
sub enter {
    my ($f) = @_;
    my $tcp = $f->{transport} eq 'tcp' ? 1 : 0;
    my $port = $f->{ports}[$f->{turn}++ % @{ $f->{ports} }][$tcp];
    my $position = $f->{epoch} ? { $f->{room} => { epoch => $f->{epoch},
        seq => $f->{seq} } } : {};
    my %auth = (map({ $_ => $f->{$_} } qw(key mid room)), accepts => [1000],
        $f->{recovers} ? (recover => $position) : ());

    $f->{next} = now() + 0.1 + rand 0.3;
    $f->{here} = 0;
    $f->{code} = 0;
    $f->{c} = eval {
        my $c = Goim::Client->new(port => $port, timeout => 3, auth => 0,
            transport => $f->{transport});
        $c->send(7, Goim::Client::token(%auth));
        $c;
    };
    $f->{until} = now() + 5 * slow();
    return;
}

# what has come, in its order
sub attend {
    my ($f) = @_;
    my ($c, $t) = ($f->{c}, $f->{c}{t});

    eval { $t->pump };
    while (my $m = shift @{ $t->{messages} }) {
        for my $p (split_packets($m->{data})) {
            my $bare = $p->{seq} == 0 && $f->{recovers};
            if ($p->{op} == 8 && !$f->{here}) {
                $f->{here} = 1;
                say_of($f, 'came', $f->{epoch} ? @$f{qw(epoch seq)} : ());
            } elsif ($bare && $p->{op} == 23) {
                told($f, $p->{body});
            } elsif ($bare && $p->{op} == 6) {
                $f->{code} = $json->decode($p->{body})->{code};
            } elsif ($p->{op} == 9 && ($f->{recovers} || !$c->{tcp})) {
                item($f, $_) for split_packets($p->{body});
            } elsif ($c->{tcp} && $p->{seq} == 0) {
                item($f, $p);
            }
        }
    }

    if (now() > ($f->{beat} || 0)) {
        eval { $c->send(2, '') };
        $f->{beat} = now() + 20;
    }
    return if !$t->socket->eof && !$t->{code}
        && ($f->{here} || now() < $f->{until});

    say_of($f, 'end', 'closed', $t->{code} || $f->{code}) if $f->{here};
    eval { $c->drop };
    delete $f->{c};
    return;
}

sub told {
    my ($f, $body) = @_;
    my $place = $json->decode($body)->{ $f->{room} };
    @$f{qw(epoch seq)} = $place ? @$place{qw(epoch seq)} : ();
    return say_of($f, 'told', $body);
}

sub item {
    my ($f, $p) = @_;
    my $numbered = $f->{recovers} && $p->{seq} > 0;
    $f->{seq} = $p->{seq} if $numbered;
    return say_of($f, 'item', $numbered ? ($f->{epoch} // '?', $p->{seq})
        : ('-', 0), $p->{body});
}

# ---- what the test asks ------------------------------------------------------

# The clients as Goim::Checker takes them; whose connection stands is taken for
# stopped now.
sub clients {
    my ($self) = @_;
    my %by = map { $_->{name} => { %$_, connections => [] } }
        @{ $self->{clients} };

    for (split /\n/, slurp("$self->{dir}/audience.log")) {
        my ($name, $what, $at, $rest) = /^(\S+) (\w+) ([\d.]+) ?(.*)$/ or next;
        my $f = $by{$name} or next;
        my $c = $f->{connections}[-1];

        if ($what eq 'came') {
            my ($epoch, $seq) = split / /, $rest;
            push @{ $f->{connections} }, { came => $at, code => 0,
                tcp => $f->{transport} eq 'tcp', end => 'stopped',
                ended => 9e9, events => [{ at => $at, join => $f->{room},
                    $epoch ? (said => { epoch => $epoch, seq => $seq })
                    : () }] };
        } elsif ($what eq 'told') {
            push @{ $c->{events} }, { at => $at, told => $json->decode($rest) };
        } elsif ($what eq 'item') {
            my ($epoch, $seq, $body) = split / /, $rest, 3;
            push @{ $c->{events} }, { at => $at, body => $body,
                $seq ? (epoch => $epoch, seq => $seq) : () };
        } elsif ($what eq 'end') {
            ($c->{end}, $c->{code}) = split / /, $rest;
            $c->{ended} = $at;
        }
    }
    return [map { $by{ $_->{name} } } @{ $self->{clients} }];
}

# all are, and who recovers was told where
sub here {
    my ($self) = @_;
    for my $f (@{ $self->clients }) {
        my $c = $f->{connections}[-1] or return 0;
        return 0 if $c->{end} ne 'stopped';
        return 0 if $f->{recovers}
            && !grep { $_->{told} } @{ $c->{events} };
    }
    return 1;
}

sub _count {
    my ($self, $what) = @_;
    return scalar grep { $what->($_) } map { @{ $_->{events} } }
        map { @{ $_->{connections} } } @{ $self->clients };
}

# how many connections, numbered items, and words that something is gone
sub connections {
    my $n = 0;
    $n += @{ $_->{connections} } for @{ $_[0]->clients };
    return $n;
}

sub numbered { return $_[0]->_count(sub { defined $_[0]{epoch} }) }

sub told_false {
    return $_[0]->_count(sub { grep { $_ && defined $_->{recovered}
        && !$_->{recovered} } values %{ $_[0]{told} || {} } });
}

# ---- the whole of it ---------------------------------------------------------

# What new() takes, and apis => Goim::API of logics, every => s between two
# rounds: clients to whom messages flow.
sub listens {
    my ($class, %arg) = @_;
    my $self = $class->new(%arg);
    my ($type, $room) = split m{://}, $arg{room} || 'live://1';

    $self->{traffic} = Goim::Traffic->new(apis => $arg{apis},
        every => $arg{every} || 0.02, to => { room => [$type, $room],
            exists $arg{plain} && !$arg{plain} ? ()
                : (keys => [$self->keys], all => []) });
    $self->{traffic}->more(20);
    return $self;
}

# Two tests: nobody lacks anything untold. lost => [times] as Goim::Checker
# takes them; within => s until all have all (60). Nobody follows any more then.
sub judge {
    my ($self, $name, %arg) = @_;
    my @found;
    my $look = sub {
        @found = $self->here ? Goim::Checker::check($self->{traffic}->posts,
            $self->clients, lost => $arg{lost} || [])
            : ({ what => 'not there', text => 'somebody' });
        return !@found;
    };

    $self->{traffic}->more(20, 60);
    $self->{traffic}->finish;
    eval { wait_for { $look->() } $arg{within} || 60, $name };
    Time::HiRes::sleep(0.5);
    $look->();
    $self->stop;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    splice @found, 12 if @found > 12;
    Test::More::ok(!@found, "$name: all have all, or are told")
        || Test::More::diag(join "\n", map { "$_->{what}: $_->{text}" } @found);
    Test::More::cmp_ok($self->numbered, '>', 0, "$name: items have numbers");
    return $self;
}

# Both, of all nodes and logics of a cluster, while `fault` is called. lost => 1:
# what is kept may get lost by it. Else it may not, and nobody may be told so.
sub through {
    my ($name, $cluster, %arg) = @_;
    my $self = __PACKAGE__->listens(nodes => $cluster->{nodes},
        apis => [map { $_->api } @{ $cluster->{logics} }], %arg);
    my @lost = now();

    $arg{fault}->($self);
    push @lost, now();

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->judge($name, %arg, lost => $arg{lost} ? \@lost : []);
}

1;
