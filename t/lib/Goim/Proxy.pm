# A way that can be held: a process between two others, which passes on what
# comes. Held, it keeps everything, also what comes on connections whose ends
# have given up by then, and delivers it when it is let go.
#
#     my $proxy = Goim::Proxy->new(to => $redis->{port});
#     my $logic = Goim::Logic->new(redis => $proxy->addr);
#     $proxy->hold;
#     $proxy->release;
#     $proxy->switch($replica->{port});
#
# Paused, it reads nothing. By a unix socket, which takes no more than some
# 200 KB ahead of its reader, that is soon felt.

package Goim::Proxy;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Socket;
use Time::HiRes ();

use Goim::Proc ();
use Goim::Test qw(folder free_port root_dir slurp wait_for);

# to => port; late => s by which answers are late, slow => requests; unix => 1:
# by such a socket; bits => N: in pieces of 1 to N bytes
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('proxy');
    my $port = $arg{unix} ? "$dir/socket" : free_port();
    my $self = $class->SUPER::new(%arg, name => 'proxy', dir => $dir,
        stop => 'KILL', cmd => [$^X, '-I' . root_dir() . '/t/lib',
            '-MGoim::Proxy', '-e', 'Goim::Proxy::run(@ARGV)', $port, $arg{to},
            $arg{late} || 0, $arg{slow} || 0, $arg{bits} || 0]);
    $self->{port} = $port;
    $self->start;
    wait_for { $self->said('ready') } 10, 'the proxy listens';
    return $self;
}

sub addr { return ($_[0]{unix} ? 'unix' : '127.0.0.1') . ":$_[0]{port}" }

# how often it said a word
sub said {
    my ($self, $word) = @_;
    my @lines = slurp("$self->{dir}/proxy.log") =~ /^$word$/mg;
    return scalar @lines;
}

sub _tell {
    my ($self, $signal, $word) = @_;
    my $n = $self->said($word);
    $self->signal($signal);
    wait_for { $self->said($word) > $n } 10, "the proxy: $word";
    return $self;
}

# to another port from now on; who is connected is cut off
sub switch {
    my ($self, $to) = @_;
    my $n = $self->said('ready');
    $self->stop;
    $self->{cmd}[-4] = $to;
    $self->start;
    wait_for { $self->said('ready') > $n } 10, 'the proxy listens';
    return $self;
}

sub hold    { return $_[0]->_tell('USR1', 'holds') }
sub release { return $_[0]->_tell('USR2', 'passes') }

# ---- the process -------------------------------------------------------------

sub run {
    my ($port, $to, $late, $slow, $bits) = @_;
    my ($hold, $said) = (0, '');
    my (%side, $select);

    # nothing is cut off by a signal: it is looked at once a turn
    local $SIG{USR1} = sub { $hold = 1 };
    local $SIG{USR2} = sub { $hold = 0 };
    local $SIG{PIPE} = 'IGNORE';
    $| = 1;

    my $listen = $port =~ m{/}
        ? IO::Socket::UNIX->new(Local => $port, Listen => 512)
        : IO::Socket::INET->new(LocalAddr => '127.0.0.1',
            LocalPort => $port, Listen => 512, ReuseAddr => 1);
    die "$port: $!" if !$listen;
    $select = IO::Select->new($listen);
    print "ready\n";

    while (1) {
        my $word = $hold ? 'holds' : 'passes';
        print "$word\n" if $word ne $said && ($said ne '' || $hold);
        $said = $word;

        for my $s ($select->can_read($bits ? 0.001 : 0.01)) {
            if ($s == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                    PeerPort => $to) or next;
                $_->blocking(0) for $in, $out;
                setsockopt $out, Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1;
                $side{$in} = { s => $in, to => $out, queue => [],
                    late => $slow };
                $side{$out} = { s => $out, to => $in, queue => [],
                    late => $late };
                $select->add($in, $out);
                next;
            }
            my $n = sysread $s, my $data, 65536;
            next if !defined $n && ($!{EAGAIN} || $!{EINTR});
            push @{ $side{$s}{queue} }, [Time::HiRes::time()
                + $side{$s}{late}, $n ? $data : undef];
            $select->remove($s) if !$n;
        }

        next if $hold;
        for my $name (keys %side) {
            my $side = $side{$name} or next;
            pass($side, $bits);
            next if !$side->{done} || !$side{ $side->{to} }{done};
            delete @side{ "$side->{to}", $name };
        }
    }
}

# what is due, as far as the other side takes it, or one piece of it
sub pass {
    my ($side, $bits) = @_;
    my $queue = $side->{queue};

    while (@$queue && $queue->[0][0] <= Time::HiRes::time()) {
        my $data = $queue->[0][1];

        if (defined $data) {
            my $n = syswrite $side->{to}, $data,
                $bits ? 1 + int rand $bits : length $data;
            return if !defined $n && ($!{EAGAIN} || $!{EINTR});

            # who is gone reads nothing, but what he sent counts
            if (defined $n && $n < length $data) {
                substr $queue->[0][1], 0, $n, '';
                return;
            }
        } else {
            shutdown $side->{to}, 1;
            $side->{done} = 1;
        }
        shift @$queue;
    }
}

1;
