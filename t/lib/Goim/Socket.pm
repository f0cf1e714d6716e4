# A socket with a buffer and bounds in time, plain or TLS.

package Goim::Socket;

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes ();

# host, port, ssl => 1 or { IO::Socket::SSL options }, local => address,
# timeout => s (20), proxy => bytes that go before everything, TLS too
sub new {
    my ($class, %arg) = @_;
    my $self = bless { buf => '', eof => 0, timeout => $arg{timeout} || 20 },
        $class;
    my $host = $arg{host} || '127.0.0.1';

    my $sock = IO::Socket::INET->new(PeerAddr => $host,
        PeerPort => $arg{port}, Proto => 'tcp', Timeout => $self->{timeout},
        $arg{local} ? (LocalAddr => $arg{local}) : (),
        ) or die "connect to $host:$arg{port}: $@\n";
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    setsockopt($sock, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), $arg{rcvbuf})
        if $arg{rcvbuf};

    if (defined $arg{proxy}) {
        syswrite $sock, $arg{proxy} or die "write: $!\n";
    }
    if ($arg{ssl}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL($sock,
            SSL_verify_mode => 0, SSL_hostname => 'localhost',
            Timeout => $self->{timeout}, ref $arg{ssl} ? %{ $arg{ssl} } : ())
            or die "TLS: " . IO::Socket::SSL::errstr() . "\n";
        $self->{ssl} = 1;
    }
    $sock->blocking(0);
    $self->{sock} = $sock;
    return $self;
}

sub fileno { return CORE::fileno($_[0]{sock}) }

sub _wait {
    my ($self, $write, $end) = @_;
    my $left = $end - Time::HiRes::time();
    return 0 if $left < 0;
    my $bits = '';
    vec($bits, CORE::fileno($self->{sock}), 1) = 1;
    my $none;
    return select($write ? $none : my $r = $bits, $write ? $bits : $none,
        undef, $left) > 0;
}

# All bytes, or die when the peer does not take them in time or is gone.
sub write {
    my ($self, $data) = @_;
    my $end = Time::HiRes::time() + $self->{timeout};

    while (length $data) {
        local $SIG{PIPE} = 'IGNORE';
        my $n = syswrite $self->{sock}, $data;

        if (defined $n) {
            substr $data, 0, $n, '';
            next;
        }
        if (!$!{EAGAIN} && !$!{EINTR}) {
            die "write: $!\n";
        }
        $self->_wait(1, $end) or die "write: timed out\n";
    }
    return 1;
}

# What is there, without waiting; true when something came or it ended.
sub fill {
    my ($self) = @_;
    my $got = 0;

    while (!$self->{eof}) {
        my $n = sysread $self->{sock}, $self->{buf}, 65536,
            length $self->{buf};
        if (!defined $n) {
            return $got if $!{EAGAIN} || $!{EINTR} || $!{EWOULDBLOCK};
            $self->{error} = "$!";
            $self->{eof} = 1;
        } elsif ($n == 0) {
            $self->{eof} = 1;
        }
        $got = 1;
    }
    return $got;
}

# Wait for bytes; 0 when none came before $end (absolute).
sub wait_read {
    my ($self, $end) = @_;
    return 1 if $self->fill;
    while ($self->_wait(0, $end)) {
        return 1 if $self->fill;
    }
    return 0;
}

sub eof   { return $_[0]{eof} }
sub error { return $_[0]{error} }

# an end without any goodbye; reset => 1: by RST
sub drop {
    my ($self, %arg) = @_;
    return if !$self->{sock};
    setsockopt $self->{sock}, Socket::SOL_SOCKET(), Socket::SO_LINGER(),
        pack('ii', 1, 0) if $arg{reset};
    $self->{ssl} ? $self->{sock}->close(SSL_no_shutdown => 1)
        : close $self->{sock};
    delete $self->{sock};
    $self->{eof} = 1;
}

1;
