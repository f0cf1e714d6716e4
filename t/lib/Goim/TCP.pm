# The raw TCP transport, with the calls of Goim::WS: a message is a packet.

package Goim::TCP;

use strict;
use warnings;

use Time::HiRes ();

use Goim::Socket ();
use Goim::Test qw(slow);

sub new {
    my ($class, %arg) = @_;
    return bless { messages => [], s => Goim::Socket->new(%arg) }, $class;
}

sub socket   { return $_[0]{s} }
sub fileno   { return $_[0]{s}->fileno }
sub send     { return $_[0]{s}->write($_[1]) }
sub send_raw { return $_[0]{s}->write($_[1]) }

sub pump {
    my ($self) = @_;
    my $buf = \$self->{s}{buf};

    $self->{s}->fill;
    while (length $$buf >= 4) {
        my $len = unpack 'N', $$buf;
        die "packet length $len\n" if $len < 16;
        last if length $$buf < $len;
        push @{ $self->{messages} }, { data => substr $$buf, 0, $len, '' };
    }
    return scalar @{ $self->{messages} };
}

sub recv {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : $self->{s}{timeout}) * slow();

    while (1) {
        return shift @{ $self->{messages} } if $self->pump;
        return undef if $self->{s}->eof || !$self->{s}->wait_read($end);
    }
}

# 'eof' or 'reset', undef when it is still open
sub closed {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : $self->{s}{timeout}) * slow();

    while (1) {
        $self->pump;
        last if $self->{s}->eof;
        $self->{s}->wait_read($end) or return undef;
    }
    return $self->{s}->error ? 'reset' : 'eof';
}

sub close { my ($self) = @_; $self->{s}->drop; return 1000 }
sub drop  { my ($self, @arg) = @_; return $self->{s}->drop(@arg) }

1;
