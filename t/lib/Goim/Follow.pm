# Clients that recover, as many as one likes: the load client bench/follow, which
# looks at every message by itself.
#
#     my $f = Goim::Follow->new(cluster => $c, clients => 1000, rooms => 20);
#     $f->ready(30);
#     $f->push(100);                  # pushes a second, from now on
#     $f->level(30);                  # seconds until all have all, or dies
#     my $r = $f->report;             # { logins, told, holes, ... }
#     $f->quiet;                      # no pushes; all have all
#     $f->whole('name');              # as many tests: all the same since then

package Goim::Follow;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use POSIX ();
use Time::HiRes ();

use Goim::Proc ();
use Goim::Test qw(build_dir folder slurp slow wait_for);
use Test::More ();

# cluster => Goim::Cluster, clients; nodes => [numbers]; rooms, size, again, base,
# arrive as the program's options
sub new {
    my ($class, %arg) = @_;
    my $c = $arg{cluster};
    my $dir = folder('follow');
    my $program = build_dir() . '/bench/follow';
    my @nodes = $arg{nodes} ? map { $c->node($_) } @{ $arg{nodes} }
        : @{ $c->{nodes} };
    my @options = map { "--$_ $arg{$_}" } grep { defined $arg{$_} }
        qw(clients rooms size again base arrive);

    for my $api (map { $c->api($_) } 0 .. $#{ $c->{logics} }) {
        wait_for { $api->get('/goim/room/position', type => 'live',
            room => 0)->{data} } 30, 'logic knows which rooms have a history';
    }

    -x $program or die "no $program: make unit\n";
    POSIX::mkfifo("$dir/commands", 0600) or die "mkfifo: $!";

    my $self = $class->SUPER::new(name => 'follow', dir => $dir, lines => 0,
        clients => $arg{clients}, rooms => $arg{rooms},
        cmd => ['/bin/sh', '-c', join ' ', "exec '$program' <>commands",
            '--ports', join(',', map { $_->{port} } @nodes),
            '--api', join(',', map { $_->{http_port} } @{ $c->{logics} }),
            @options]);
    $self->start;
    open $self->{to}, '+<', "$dir/commands" or die "commands: $!";
    $self->{to}->autoflush(1);
    return $self;
}

# the answer to a command: { name => value }
sub command {
    my ($self, $line, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds + 30 * slow();
    print { $self->{to} } "$line\n";

    while (Time::HiRes::time() < $end && $self->alive) {
        my @lines = slurp("$self->{dir}/follow.log") =~ /(.*)\n/g;
        splice @lines, 0, $self->{lines};
        for (@lines) {
            $self->{lines}++;
            Test::More::diag($_), next if /^follow: /;
            return { split ' ' };
        }
        Time::HiRes::sleep(0.02);
    }
    die "follow: no answer to '$line'\n";
}

sub wait_until {
    my ($self, $what, $seconds) = @_;
    $seconds *= slow();
    my $answer = $self->command("$what $seconds", $seconds);
    die "follow: $what: $answer->{left} are not after $seconds s\n"
        if $answer->{$what} ne 'yes';
    return $answer->{seconds};
}

sub ready { return wait_until($_[0], 'ready', $_[1]) }
sub level { return wait_until($_[0], 'level', $_[1]) }

sub push   { return $_[0]->command("push $_[1]", 0) }
sub watch  { return $_[0]->command("watch $_[1]", $_[1]) }

# Everybody has everything, and nothing is on its way: what there was.
sub quiet {
    my ($self) = @_;
    $self->level(60);
    $self->push(0);
    $self->level(60);
    return $self->report;
}

# What there was since all was quiet: pushes, of which each came to all who
# should have it, once and in order. told => clients that are told of a loss.
sub whole {
    my ($self, $name, %arg) = @_;
    my $told = $arg{told} || 0;
    my $r = $self->quiet;

    Test::More::is($r->{$_}, 0, "$name: $_") for qw(holes repeats wrong);
    Test::More::is($r->{told}, $told, "$name: who is told of a loss");
    Test::More::is($r->{open}, $self->{clients}, "$name: all are there");
    Test::More::cmp_ok($r->{pushed}, '>', 0, "$name: under pushes");
    Test::More::is($r->{delivered},
        $r->{pushed} * $self->{clients} / $self->{rooms},
        "$name: each message, to each once") if !$told;
    return $r;
}

sub report {
    my ($self) = @_;
    my $r = $self->command('report', 0);
    $r->{logins_a_second} = [split /,/, $r->{logins_a_second}];
    return $r;
}

1;
