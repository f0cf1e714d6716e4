# Programs that are tests, beside each other: most of a test's time is waiting.
#
#     each_bus(sub { my ($bus) = @_; ... });      # the whole test file is this
#
#     my $p = Goim::Beside->new('lease_test', [$path], %env)->start;
#     $p->says if $p->ended;              # a subtest: what it said is passed on

package Goim::Beside;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Exporter 'import';
use Time::HiRes ();

use Goim::Proc ();
use Goim::Test qw(folder root_dir slurp);
use Test::More ();

our @EXPORT = qw(each_bus);

# in a folder of its own, or in the one of dir => ...
sub new {
    my ($class, $name, $cmd, %arg) = @_;
    my $own = folder($name);
    return $class->SUPER::new(name => $name, log => "$own/out", dir => $own,
        errors => "$own/stderr.log", %arg, cmd => ['sh', '-c',
            'exec "$@" 2>"$0"', "$own/stderr.log", @$cmd]);
}

# A subtest of its name, when it has ended.
sub says {
    my ($self) = @_;
    Time::HiRes::sleep(0.05) while $self->alive;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::subtest($self->{name} => sub {
        my $said = slurp($self->{log});
        my $rc = $self->exit_status;
        my $n = 0;

        # a program that has several groups says several plans, and what is
        # inside a subtest is indented
        while ($said =~ /^ *(not )?ok\b[ \t]*(.*)/mg) {
            $n++;
            Test::More::ok(!$1, $2);
        }
        Test::More::ok($n, 'says TAP');
        Test::More::is($rc, 0, 'exits with 0')
            or Test::More::diag($said, slurp($self->{errors}));
    });
}

# $sub of each bus, a subtest each: Kafka's in a process of its own, which runs
# the same file. GOIM_BUS=redis, or kafka: this one alone.
sub each_bus {
    my ($sub) = @_;
    my @buses = split /,/, $ENV{GOIM_BUS} || 'redis,kafka';
    my @others = map { Goim::Beside->new($_, [$^X, $0], dir => root_dir(),
        env => { GOIM_BUS => $_ })->start } splice @buses, 1;

    Test::More::subtest($buses[0] => sub { $sub->($buses[0]) });
    $_->says for @others;
}

1;
