# Numbered messages, posted by a process of its own while a test does what it
# does, and the check that clients got each of them once and in order.
#
#     my $traffic = Goim::Traffic->new(apis => [$c->api],
#         to => { room => ['live', '1'], keys => ['a', 'b'], all => [] });
#     ...
#     $traffic->finish;
#     $traffic->arrives('name', room => \@members, keys => [...], all => [...]);
#
# A message that was answered with code 0 has to arrive; one without a certain
# answer may, at most once. What a client gets begins somewhere, at the latest
# with the first message posted after it came, and then has no hole.

package Goim::Traffic;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use JSON::PP ();
use POSIX ();
use Time::HiRes ();

use Goim::API ();
use Goim::Client ();
use Goim::Proc ();
use Goim::Test qw(folder now root_dir slurp slow wait_for);
use Test::More ();

# apis => [Goim::API, ...]: taken in turns; to => { room => [type, room],
# keys => [...], mids => [...], all => [] }; every => s between two rounds;
# op => 1000; run => what tells this one's messages from another's
my $runs = 0;

sub new {
    my ($class, %arg) = @_;
    my $dir = folder('traffic');
    my $run = ++$runs;
    my $todo = JSON::PP->new->encode({
        apis => [map { $_->{base} } @{ $arg{apis} }], to => $arg{to},
        every => $arg{every} || 0.01, op => $arg{op} || 1000, run => $run });

    my $self = $class->SUPER::new(name => 'traffic', dir => $dir,
        run => $run, to => $arg{to}, op => $arg{op} || 1000,
        kinds => [sort keys %{ $arg{to} }],
        cmd => [$^X, '-I' . root_dir() . '/t/lib', '-MGoim::Traffic',
            '-e', 'Goim::Traffic::post(shift)', $todo]);
    $self->start;
    $self->more(1);
    return $self;
}

# ---- the process -------------------------------------------------------------

# A line a message: kind, number, code, when it began and was answered
sub post {
    my $todo = JSON::PP->new->decode($_[0]);
    my @apis = map { bless { base => $_, timeout => 15 }, 'Goim::API' }
        @{ $todo->{apis} };
    my ($n, $stop) = (0, 0);

    my $term = POSIX::SigSet->new(POSIX::SIGTERM());

    # a signal would cut a request off
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), $term);
    local $SIG{TERM} = sub { $stop = 1 };
    $| = 1;

    while (!$stop) {
        $n++;
        for my $kind (sort keys %{ $todo->{to} }) {
            my $to = $todo->{to}{$kind};
            my $api = $apis[$n % @apis];
            my $began = now();
            my $answer = $api->$kind($todo->{op},
                $kind eq 'room' ? @$to : $kind eq 'all' ? () : $to,
                "$todo->{run} $kind $n");
            my $code = $answer->{code};
            printf "%s %d %s %.6f %.6f\n", $kind, $n,
                defined $code ? $code : "http-$answer->{http}", $began, now();
        }
        Time::HiRes::sleep($todo->{every});
        POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $term);
        POSIX::sigprocmask(POSIX::SIG_BLOCK(), $term);
    }
    print "end\n";
    POSIX::_exit(0);
}

# ---- what the test asks ------------------------------------------------------

sub _read {
    my ($self) = @_;
    my (%ok, %unsure, %began, %codes);

    for (split /\n/, slurp("$self->{dir}/traffic.log")) {
        my ($kind, $n, $code, $began) = /^(\w+) (\d+) (\S+) ([\d.]+) [\d.]+$/
            or next;
        $codes{$code}++;
        $began{$kind}{$n} = $began;
        $code eq '0' ? push @{ $ok{$kind} }, $n
            : $code ne '-500' ? $unsure{$kind}{$n} = 1 : ();
    }
    @$self{qw(ok unsure began codes)} = (\%ok, \%unsure, \%began, \%codes);
    return $self;
}

# what was posted, as Goim::Checker takes it
sub posts {
    my ($self) = @_;
    my @posts;

    for (split /\n/, slurp("$self->{dir}/traffic.log")) {
        my ($kind, $n, $code, @time) = split / /;
        next if @time != 2;
        my $to = $self->{to}{$kind};
        push @posts, { kind => $kind, body => "$self->{run} $kind $n",
            to => $kind eq 'room' ? join('://', @$to) : $to,
            op => $self->{op}, began => $time[0], answered => $time[1],
            code => $code =~ /^http/ ? undef : $code };
    }
    return \@posts;
}

# how many were accepted so far
sub accepted {
    my ($self) = @_;
    my $ok = $self->_read->{ok};
    my $n = 0;
    $n += @{ $ok->{$_} || [] } for @{ $self->{kinds} };
    return $n;
}

# wait until so many more are accepted
sub more {
    my ($self, $n, $timeout) = @_;
    my $before = $self->accepted;
    wait_for { $self->accepted >= $before + $n } $timeout || 30,
        "$n more messages are accepted";
    return $self;
}

# Stop posting, after one last round that was accepted.
sub finish {
    my ($self) = @_;
    $self->more(scalar @{ $self->{kinds} });
    $self->stop(40);
    $self->_read;
    return $self;
}

# codes other than 0: "code: how often, ..."
sub refused {
    my ($self) = @_;
    my $codes = $self->_read->{codes};
    return join ', ', map { "$_: $codes->{$_}" } grep { $_ ne '0' }
        sort keys %$codes;
}

# One test: each client of a kind's list got every message of that kind.
# A client's {came} is when it was ready, if that was during the traffic.
sub arrives {
    my ($self, $name, %clients) = @_;
    my %all = map { $_ => $_ } map { @$_ } values %clients;
    my @all = values %all;
    my $last = '';

    Goim::Client->pump_all(\@all, 20, sub {
        for my $kind (keys %clients) {
            my $n = $self->{ok}{$kind}[-1];
            for my $c (@{ $clients{$kind} }) {
                return 0 if ($self->_sort($c)->{$kind}[-1] || 0) < $n;
            }
        }
        return 1;
    });

    my @wrong;
    for my $kind (sort keys %clients) {
        for my $c (@{ $clients{$kind} }) {
            my $what = $self->_wrong($kind, $c);
            push @wrong, "$kind, client "
                . ($c->{auth}{key} || $c->{auth}{mid} || '') . ": $what"
                if $what;
        }
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    splice @wrong, 20 if @wrong > 20;
    return Test::More::ok(!@wrong, $name)
        || Test::More::diag(join "\n", @wrong);
}

# what came, by kind
sub _sort {
    my ($self, $c) = @_;
    my $by = $c->{traffic}{ $self->{run} } ||= {};
    my @other;

    for my $p (splice @{ $c->{pushes} }) {
        if ($p->{body} =~ /^(\d+) (\w+) (\d+)$/) {
            push @{ $c->{traffic}{$1}{$2} }, $3;
        } else {
            push @other, $p;
        }
    }
    $c->{pushes} = \@other;
    return $by;
}

# what is wrong with what a client got of a kind; '' when nothing is
sub _wrong {
    my ($self, $kind, $c) = @_;
    my @came = @{ $self->_sort($c)->{$kind} || [] };
    my %ok = map { $_ => 1 } @{ $self->{ok}{$kind} || [] };
    my $unsure = $self->{unsure}{$kind} || {};
    my (%seen, @got);

    for my $n (@came) {
        return "$n twice (of " . @came . ')' if $seen{$n}++;
        push @got, $n if $ok{$n};
        return "$n was refused" if !$ok{$n} && !$unsure->{$n}
            && exists $self->{began}{$kind}{$n};
    }

    my $from = $c->{came} || 0;
    my $first = @got ? $got[0] : 1e9;
    my @want = grep { $_ >= $first || $self->{began}{$kind}{$_} >= $from }
        @{ $self->{ok}{$kind} };

    return '' if "@want" eq "@got";
    my %want = map { $_ => 1 } @want;
    my %got = map { $_ => 1 } @got;
    my @missing = grep { !$got{$_} } @want;
    return sprintf '%d of %d missing (%s)', scalar @missing, scalar @want,
        join ' ', @missing > 12 ? (@missing[0 .. 5], '...', @missing[-6 .. -1])
        : @missing if @missing;
    for my $i (1 .. $#got) {
        return "$got[$i] after $got[$i - 1]" if $got[$i] < $got[$i - 1];
    }
    return 'more than there was';
}

# for _wrong: what is posted from now on has to reach it
sub came {
    my (@clients) = @_;
    $_->{came} = now() for @clients;
    return @clients;
}

1;
