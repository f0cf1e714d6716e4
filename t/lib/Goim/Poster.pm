# Backends, a process each, that post at random: to rooms, keys, mids and all.
# Each message is another one; what was not certainly accepted of a room with
# history is posted again with its id, as a backend may.
#
#     my $poster = Goim::Poster->new(apis => [$logic->api], many => 4,
#         rate => 300, rooms => [...], keys => [...], mids => [...],
#         history => 'live');
#     ...
#     $poster->finish;
#     check($poster->posts, ...);

package Goim::Poster;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Goim::API ();
use Goim::Proc ();
use Goim::Test qw(folder hit now root_dir slurp wait_for);

# many => processes; rate => messages a second, of all; history => the type of
# rooms that have one
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('poster');
    my $todo = JSON::PP->new->encode({ %arg,
        apis => [map { $_->{base} } @{ $arg{apis} }] });
    my $self = $class->SUPER::new(%arg, name => 'poster', dir => $dir,
        cmd => [$^X, '-I' . root_dir() . '/t/lib', '-MGoim::Poster', '-e',
            'Goim::Poster::run(shift)', $todo]);
    $self->start;
    return $self;
}

# ---- the processes -----------------------------------------------------------

sub run {
    my $arg = JSON::PP->new->decode($_[0]);
    my ($stop, @pids) = (0);

    local $SIG{TERM} = sub { $stop = 1 };
    for my $number (1 .. $arg->{many}) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        push @pids, $pid;
        next if $pid;
        post_all($arg, $number, \$stop);
        POSIX::_exit(0);
    }
    sleep 1 while !$stop;
    hit('TERM', @pids);
    waitpid $_, 0 for @pids;
    POSIX::_exit(0);
}

sub post_all {
    my ($arg, $number, $stop) = @_;
    my @apis = map { bless { base => $_, timeout => 15 }, 'Goim::API' }
        @{ $arg->{apis} };
    my ($n, $next) = (0, time);
    my (@again, $wait);

    # a signal would cut a request off
    my $term = POSIX::SigSet->new(POSIX::SIGTERM());
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), $term);
    srand $number;
    open my $log, '>', "$number.posts" or die "log: $!";
    $log->autoflush;

    while (!$$stop || @again) {
        my $post = @again && $again[0]{due} < time ? shift @again
            : !$$stop ? draw($arg, "$number-" . ++$n) : undef;
        if ($post) {
            say_post($log, $post, post_one($post, $apis[rand @apis]));
            push @again, { %$post, due => time + 1 }
                if $post->{again} && $post->{again}-- && $post->{unsure};
        }
        $next = time if $next < time - 0.2;
        $next += $arg->{many} / $arg->{rate};
        POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $term);
        $wait = $next - time;
        sleep($wait) if $wait > 0;
        POSIX::sigprocmask(POSIX::SIG_BLOCK(), $term);
    }
}

sub any { return $_[0][rand @{ $_[0] }] }

# most to rooms; few to all, as each of these is one for each client
sub draw {
    my ($arg, $body) = @_;
    my $what = rand;
    my $size = rand() < 0.95 ? int rand 100 : int rand 20_000;
    my $post = { body => $body, size => $size, op => 1000 };

    if ($what < 0.80) {
        my $room = any($arg->{rooms});
        my $kept = $room =~ m{^\Q$arg->{history}\E://};
        @$post{qw(kind to)} = ('room', $room);
        $kept && rand() < 0.1 ? $post->{history} = 0
            : $kept && rand() < 0.5 ? @$post{qw(id again)} = ("id-$body", 3)
            : ();
    } elsif ($what < 0.90) {
        my %keys = map { any($arg->{keys}) => 1 } 0 .. rand 4;
        @$post{qw(kind to)} = ('keys', [sort keys %keys]);
    } elsif ($what < 0.98) {
        @$post{qw(kind to)} = ('mids', [any($arg->{mids})]);
    } else {
        $post->{kind} = 'all';
    }
    return $post;
}

# began, answered, code
sub post_one {
    my ($post, $api) = @_;
    my ($kind, $to) = @$post{qw(kind to)};
    my @to = $kind eq 'all' ? () : ($kind => $to);

    @to = (type => $1, room => $2) if $kind eq 'room' && $to =~ m{(.*)://(.*)};
    push @to, map { defined $post->{$_} ? ($_ => $post->{$_}) : () }
        qw(id history);
    my $began = now();
    my $answer = $api->post("/goim/push/$kind", [operation => $post->{op},
        @to], "$post->{body} $post->{size} " . 'x' x $post->{size});
    my $code = $answer->{code};
    $post->{unsure} = !defined $code || $code == -504;
    return ($began, now(), $code);
}

sub say_post {
    my ($log, $post, $began, $answered, $code) = @_;
    printf {$log} "%s %s %s %.6f %.6f %s %s\n", @$post{qw(kind body)},
        defined $code ? $code : '?', $began, $answered,
        defined $post->{history} ? 'past' : '-',
        ref $post->{to} ? join ',', @{ $post->{to} } : $post->{to} // '';
}

# ---- what the test asks ------------------------------------------------------

# what was posted, as Goim::Checker takes it
sub posts {
    my ($self) = @_;
    my @posts;

    for (map { split /\n/, slurp($_) } glob "$self->{dir}/*.posts") {
        my ($kind, $body, $code, $began, $answered, $past, $to) = split / /;
        push @posts, { kind => $kind, body => $body, op => 1000,
            code => $code eq '?' ? undef : $code, began => $began,
            answered => $answered, $past eq 'past' ? (history => 0) : (),
            to => $kind eq 'all' ? undef : $kind eq 'room' ? $to
                : [split /,/, $to] };
    }
    return \@posts;
}

# code => how often
sub codes {
    my ($self) = @_;
    my %codes;
    $codes{ $_->{code} // 'no answer' }++ for @{ $self->posts };
    return %codes;
}

# wait until so many more are accepted
sub more {
    my ($self, $n, $timeout) = @_;
    my $before = { $self->codes }->{0} || 0;
    wait_for { ({ $self->codes }->{0} || 0) >= $before + $n } $timeout || 30,
        "$n more messages are accepted";
    return $self;
}

# no more, when all have their answers
sub finish { return $_[0]->stop(120) }

1;
