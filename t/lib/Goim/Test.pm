# What every test uses: Test::More, folders, free ports, waiting, and the
# check of all logs at the end.
#
#     use Goim::Test;
#     ...
#     done_testing;
#
# Everything that was started is stopped at the end, also after die, exit or
# a signal. Folders are removed unless a test failed; then their path is said.

package Goim::Test;

use strict;
use warnings;

use Carp ();
use Cwd ();
use Exporter 'import';
use File::Basename ();
use File::Path ();
use File::Spec ();
use File::Temp ();
use Socket;
use Test2::API ();
use Test::More import => ['!done_testing'];
use Time::HiRes ();

use Goim::Proc ();

our @EXPORT = (
    (grep { $_ ne 'done_testing' } @Test::More::EXPORT),
    qw(done_testing free_port wait_for eventually folder root_dir build_dir
        slurp spew allow_log asan have slow hit)
);
our @EXPORT_OK = qw(now);

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $owner = $$;
my ($top, %ports, @allowed, $finished, %made);

# ---- where things are --------------------------------------------------------

sub root_dir { return $root }

# GOIM_ASAN=1: what `make asan` built; GOIM_BUILD: any other folder
sub asan { return $ENV{GOIM_ASAN} ? 1 : 0 }

sub build_dir {
    my $base = $ENV{GOIM_BUILD} ? File::Spec->rel2abs($ENV{GOIM_BUILD})
        : "$root/build";
    return asan() ? "$base/asan" : $base;
}

sub have { return -e build_dir() . "/$_[0]" }

# hit $signal, @pids: kill, never of a whole group
*hit = \&Goim::Proc::hit;

# by how much longer things may take here
sub slow { return $ENV{GOIM_SLOW} || (asan() ? 3 : 1) }

# seconds of a clock that nobody sets, the same one for all processes
sub now { return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }

# A new folder of this test: /tmp/goim-NAME.XXXXXX/WHAT-N
sub folder {
    my ($what) = @_;

    if (!$top) {
        my $name = File::Basename::basename($0);
        $name =~ s/\.t$//;
        $top = File::Temp::tempdir("goim-$name.XXXXXX", TMPDIR => 1);
        chmod 0755, $top;
    }

    my $dir = "$top/$what-" . ++$made{$what};
    mkdir $dir or die "$dir: $!";
    return $dir;
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or die "$path: $!";
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub spew {
    my ($path, $text) = @_;
    open my $fh, '>:raw', $path or die "$path: $!";
    print {$fh} $text;
    close $fh or die "$path: $!";
    return $path;
}

# ---- ports -------------------------------------------------------------------

# A port nobody listens on. It lies outside the range the kernel gives to
# outgoing connections, and an abstract socket keeps other tests off it for as
# long as this one runs.
sub free_port {
    for (1 .. 2000) {
        my $port = 10240 + int rand 20000;
        next if $ports{$port};

        socket my $lock, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
        bind $lock, pack_sockaddr_un("\0goim-test-port-$port") or next;

        socket my $s, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
        setsockopt $s, SOL_SOCKET, SO_REUSEADDR, 1;
        bind $s, pack_sockaddr_in($port, INADDR_ANY) or next;
        close $s;

        $ports{$port} = $lock;
        return $port;
    }
    die "no free port\n";
}

# ---- waiting -----------------------------------------------------------------

# Call $sub until it is true, and return what it said; die after $timeout
# seconds (10 by default; longer under sanitizers).
sub wait_for(&;$$) {
    my ($sub, $timeout, $what) = @_;
    my $end = Time::HiRes::time() + ($timeout || 10) * slow();
    my $pause = 0.005;

    while (1) {
        my $rc = $sub->();
        return $rc if $rc;
        last if Time::HiRes::time() > $end;
        Time::HiRes::sleep($pause);
        $pause = $pause * 1.5 > 0.05 ? 0.05 : $pause * 1.5;
    }

    my (undef, $file, $line) = caller;
    die sprintf "timed out after %s s: %s at %s line %d\n",
        ($timeout || 10) * slow(), $what || 'wait_for', $file, $line;
}

# The same as a test of its own: eventually { ... } 10, 'name';
sub eventually(&$$) {
    my ($sub, $timeout, $name) = @_;
    my $rc = eval { wait_for(\&$sub, $timeout, $name) };
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($rc, $name) or $@ && Test::More::diag($@);
    return $rc;
}

# ---- logs and the end --------------------------------------------------------

# Lines that would fail the test otherwise, named in advance.
sub allow_log { push @allowed, @_ }

my $bad = qr/\[(?:alert|crit|emerg)\]
             | AddressSanitizer | LeakSanitizer | UndefinedBehaviorSanitizer
             | ThreadSanitizer | runtime\ error:
             | Assertion\ .*\ failed | stack\ smashing | double\ free/x;

sub bad_lines {
    my @found;
    return if !$top;

    for my $file (glob "$top/*/*.log $top/*/logs/*.log") {
        open my $fh, '<', $file or next;
        while (my $line = <$fh>) {
            next if $line !~ $bad;
            next if grep { $line =~ $_ } @allowed;
            chomp $line;
            push @found, "$file:$.: $line";
            last if @found >= 20;
        }
    }
    return @found;
}

sub done_testing {
    return Test::More::done_testing(@_) if Test::More->builder->parent;

    Goim::Proc::stop_all();

    my @found = bad_lines();
    Test::More::ok(!@found, 'logs are clean')
        or Test::More::diag(join "\n", @found);

    $finished = 1;
    Test::More::done_testing(@_);
}

$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

# a test that hangs ends too, and says where it was
$SIG{ALRM} = sub { die Carp::longmess('the test took too long') };
alarm(($ENV{GOIM_ALARM} || 300) * slow());

# one failure is enough: who only asks whether there is one
on_failure(sub { exit 1 }) if $ENV{GOIM_ONE_FAILURE};

# GOIM_FAILED names a file that is told what failed, inner tests too, by their
# names: prove's summary has numbers alone
if ($ENV{GOIM_FAILED}) {
    on_failure(sub { failed($_[0]{assert}{details}) });
    $SIG{__DIE__} = sub { failed("died: $_[0]") if defined $^S && !$^S };
}

sub on_failure {
    my ($sub) = @_;
    Test2::API::test2_stack()->top->listen(sub {
        my $facets = $_[1]->facet_data;
        $sub->($facets) if $facets->{assert} && !$facets->{assert}{pass}
            && !$facets->{amnesty};
    }, inherit => 1);
}

sub failed {
    my ($what) = @_;
    return if $$ != $owner;
    $what = substr $what // 'a test without a name', 0, 300;
    $what = join " ", split " ", $what;
    open my $fh, '>>', $ENV{GOIM_FAILED} or return;
    print {$fh} $0, asan() ? ' (ASan)' : '', ": $what\n";
    close $fh;
}

END {
    my $rc = $?;

    if ($$ == $owner) {
        local $@;
        eval { Goim::Proc::stop_all() };

        if ($top) {
            my $passed = $finished && !$rc && Test::More->builder->is_passing;

            if ($passed && !$ENV{GOIM_KEEP}) {
                File::Path::remove_tree($top);
            } else {
                Test::More::diag("kept: $top");
                Test::More::diag(tails()) if !$passed;
            }
        }
    }
    $? = $rc;
}

# The ends of the logs, so that a failure on another machine can be read.
sub tails {
    my $text = '';
    for my $file (sort glob "$top/*/*.log") {
        next if $file =~ /access\.log$/ || !-s $file;
        my @lines = split /\n/, slurp($file);
        my $n = $ENV{CI} ? 60 : 12;
        splice @lines, 0, @lines - $n if @lines > $n;
        $text .= "--- $file\n" . join("\n", map { substr $_, 0, 300 } @lines)
            . "\n";
    }
    return $text;
}

1;
