# A WebSocket client that can also say what a client must not say.

package Goim::WS;

use strict;
use warnings;

use Digest::SHA ();
use MIME::Base64 ();
use Time::HiRes ();

use Goim::Socket ();
use Goim::Test qw(slow);

our %OPCODE = (cont => 0, text => 1, binary => 2, close => 8, ping => 9,
    pong => 10);

# port, path => '/sub', host, ssl, local, timeout as Goim::Socket;
# name => in Host; headers => [name => value, ...] added; request => whole text instead;
# early => bytes right behind the request; any => 1: any answer will do,
# see ->status and ->response (else: die unless 101)
sub new {
    my ($class, %arg) = @_;
    my $self = bless { messages => [], pongs => [], path => '/sub', %arg },
        $class;
    $self->{s} = Goim::Socket->new(%arg);

    my $key = MIME::Base64::encode_base64(
        pack('N4', map { int rand 2 ** 32 } 1 .. 4), '');
    my @headers = @{ $arg{headers} || [] };
    my $host = $arg{name} || ($arg{host} || '127.0.0.1') . ":$arg{port}";
    my $request = "GET $self->{path} HTTP/1.1\r\nHost: $host\r\n"
        . "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        . "Sec-WebSocket-Key: $key\r\nSec-WebSocket-Version: 13\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $request .= "$name: $value\r\n";
    }
    $request .= "\r\n";
    $request = $arg{request} if defined $arg{request};

    $self->{s}->write($request . ($arg{early} || ''));
    $self->_response($key);
    return $self;
}

sub _response {
    my ($self, $key) = @_;
    my $s = $self->{s};
    my $end = Time::HiRes::time() + $s->{timeout};

    while ($s->{buf} !~ /\r\n\r\n/) {
        last if $s->eof;
        $s->wait_read($end) or die "no answer to the upgrade\n";
    }
    if ($s->{buf} !~ s/^(.*?\r\n)\r\n//s) {
        die "connection closed before an answer\n" if !$self->{any};
        $self->{status} = 0;
        return;
    }
    $self->{response} = $1;
    ($self->{status}) = $1 =~ m{^HTTP/1\.[01] (\d+)};
    return if $self->{any};

    die "upgrade: $self->{response}" if $self->{status} != 101;
    my $accept = Digest::SHA::sha1_base64($key
        . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
    $self->{response} =~ /^Sec-WebSocket-Accept: \Q$accept\E\r$/mi
        or defined $self->{request} or die "wrong Sec-WebSocket-Accept\n";
}

sub status   { return $_[0]{status} }
sub response { return $_[0]{response} }
sub socket   { return $_[0]{s} }
sub fileno   { return $_[0]{s}->fileno }

# ---- sending -----------------------------------------------------------------

# The bytes of a frame. fin => 1, mask => 1 (or 4 bytes, or 0), rsv => 0,
# length => number to claim, form => 7|16|64 to force a length's form
sub frame {
    my ($opcode, $payload, %arg) = @_;
    $payload = '' if !defined $payload;
    utf8::encode($payload) if utf8::is_utf8($payload);
    $opcode = $OPCODE{$opcode} if exists $OPCODE{$opcode};

    my $fin = defined $arg{fin} ? $arg{fin} : 1;
    my $mask = defined $arg{mask} ? $arg{mask} : 1;
    my $len = defined $arg{length} ? $arg{length} : length $payload;
    my $form = $arg{form} || ($len < 126 ? 7 : $len < 65536 ? 16 : 64);
    my $bit = $mask ? 0x80 : 0;

    my $out = pack 'C', ($fin ? 0x80 : 0) | (($arg{rsv} || 0) << 4) | $opcode;
    $out .= $form == 7 ? pack('C', $bit | $len)
        : $form == 16 ? pack('Cn', $bit | 126, $len)
        : pack('CQ>', $bit | 127, $len);

    if ($mask) {
        my $m = length $mask == 4 ? $mask : pack 'N', int rand 2 ** 32;
        my $pad = $m x (length($payload) / 4 + 1);
        $out .= $m . ($payload ^ substr $pad, 0, length $payload);
    } else {
        $out .= $payload;
    }
    return $out;
}

sub send_raw   { return $_[0]{s}->write($_[1]) }
sub send_frame { my $self = shift; return $self->send_raw(frame(@_)) }
sub send       { return $_[0]->send_frame(binary => $_[1]) }
sub send_text  { return $_[0]->send_frame(text => $_[1]) }
sub ping       { return $_[0]->send_frame(ping => $_[1]) }

sub send_close {
    my ($self, $code, $reason) = @_;
    return $self->send_frame(close => defined $code
        ? pack('n', $code) . (defined $reason ? $reason : '') : '');
}

# ---- receiving ---------------------------------------------------------------

# A frame that is whole in the buffer, or undef.
sub parse_frame {
    my ($self) = @_;
    my $buf = \$self->{s}{buf};
    return undef if length $$buf < 2;

    my ($b0, $b1) = unpack 'CC', $$buf;
    my ($len, $at) = ($b1 & 0x7f, 2);
    die "the server masked a frame\n" if $b1 & 0x80;

    if ($len == 126) {
        return undef if length $$buf < 4;
        ($len, $at) = (unpack('x2 n', $$buf), 4);
    } elsif ($len == 127) {
        return undef if length $$buf < 10;
        ($len, $at) = (unpack('x2 Q>', $$buf), 10);
    }
    return undef if length $$buf < $at + $len;

    my $payload = substr $$buf, $at, $len;
    substr $$buf, 0, $at + $len, '';
    return { fin => $b0 >> 7, rsv => ($b0 >> 4) & 7, opcode => $b0 & 15,
        payload => $payload };
}

# The next frame of any kind; undef: none in time, or the end (->closed).
sub recv_frame {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : $self->{s}{timeout}) * slow();

    while (1) {
        my $f = $self->parse_frame;
        return $f if $f;
        return undef if $self->{s}->eof || !$self->{s}->wait_read($end);
    }
}

# Handle the frames that are there: messages are put together, pings answered.
sub _take {
    my ($self, $f) = @_;
    die "reserved bits are set\n" if $f->{rsv};

    if ($f->{opcode} == 9) {
        $self->send_frame(pong => $f->{payload}) if !$self->{no_pong};
    } elsif ($f->{opcode} == 10) {
        push @{ $self->{pongs} }, $f->{payload};
    } elsif ($f->{opcode} == 8) {
        @$self{qw(code reason)} = length $f->{payload} >= 2
            ? unpack('n a*', $f->{payload}) : (1005, '');
    } else {
        die "a message begins inside another\n"
            if $f->{opcode} && $self->{partial};
        $self->{partial} ||= { opcode => $f->{opcode}, data => '' };
        $self->{partial}{data} .= $f->{payload};
        push @{ $self->{messages} }, delete $self->{partial} if $f->{fin};
    }
}

# Read what there is without waiting; the number of messages that wait.
sub pump {
    my ($self) = @_;
    $self->{s}->fill;
    while (my $f = $self->parse_frame) { $self->_take($f) }
    return scalar @{ $self->{messages} };
}

# The next message: { opcode, data }; undef: none in time, or the end.
sub recv {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : $self->{s}{timeout}) * slow();

    while (1) {
        return shift @{ $self->{messages} } if $self->pump;
        return undef if defined $self->{code} || $self->{s}->eof
            || !$self->{s}->wait_read($end);
    }
}

# Wait until the server ends the connection; what comes before is kept.
# Returns the close code, 1006 when there was no close frame, undef when it
# is still open.
sub closed {
    my ($self, $timeout) = @_;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : $self->{s}{timeout}) * slow();

    while (1) {
        $self->pump;
        last if $self->{s}->eof;
        if (defined $self->{code} && !$self->{answered}++) {
            eval { $self->send_close($self->{code} == 1005 ? undef
                : $self->{code}) };
        }
        $self->{s}->wait_read($end) or return undef;
    }
    return defined $self->{code} ? $self->{code} : 1006;
}

sub reason { return $_[0]{reason} }

# The whole goodbye; returns the code the server answered with.
sub close {
    my ($self, $code, $reason) = @_;
    $self->{answered} = 1;
    eval { $self->send_close(defined $code ? $code : 1000, $reason) };
    my $rc = $self->closed;
    $self->{s}->drop;
    return $rc;
}

# gone without a word
sub drop { my ($self, @arg) = @_; return $self->{s}->drop(@arg) }

1;
