# The application behind logic: says who may log in, takes packets of clients.
#
#     my $app = Goim::App->new(sub {
#         my ($path, $head, $body, $nth) = @_;
#         return (200, '{"mid":7}');
#     });
#     ... url => $app->url('/auth') ...
#     my @requests = $app->seen;          # { path, head, body, nth }
#
# The handler runs in a process of its own, once for each request; nth counts
# the requests of a connection. It returns status and body, and true behind
# them to close the connection then; nothing: closed without an answer. A
# reference in the place of both is a whole answer, sent as it stands.
#
# ssl => DIR: https, with cert.pem and key.pem in there.

package Goim::App;

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::SSL ();
use JSON::PP ();

use Goim::Test qw(free_port folder hit slurp spew);

sub new {
    my ($class, $handler, %arg) = @_;
    my $self = bless { handler => $handler, port => free_port(), %arg,
        file => folder('app') . '/seen' }, $class;
    spew($self->{file}, '');
    return $self->start;
}

sub url {
    my ($self, $path, $host) = @_;
    return ($self->{ssl} ? 'https' : 'http') . '://' . ($host || '127.0.0.1')
        . ":$self->{port}$path";
}

sub seen {
    my ($self) = @_;
    return map { JSON::PP::decode_json($_) }
        split /\n/, slurp($self->{file});
}

sub start {
    my ($self) = @_;
    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "listen: $@";
    $self->{pid} = fork;
    die "fork: $!" if !defined $self->{pid};
    return $self if $self->{pid};

    $SIG{$_} = 'DEFAULT' for qw(TERM INT ALRM);
    $SIG{PIPE} = 'IGNORE';
    $self->_serve($listen);
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    hit TERM => $pid;
    waitpid $pid, 0;
}

sub _serve {
    my ($self, $listen) = @_;
    my $select = IO::Select->new($listen);
    my %conn;

    while (1) {
        for my $s ($select->can_read) {
            if ($s == $listen) {
                my $c = $listen->accept or next;
                $c = $self->_tls($c) or next if $self->{ssl};
                $select->add($c);
                $conn{$c} = { buf => '', served => 0 };
                next;
            }
            my $n;
            do {
                $n = sysread $s, $conn{$s}{buf}, 65536, length $conn{$s}{buf};
            } while $n && $self->{ssl} && $s->pending;
            next if $n && $self->_answer($s, $conn{$s});
            $select->remove($s);
            delete $conn{$s};
            close $s;
        }
    }
}

sub _tls {
    my ($self, $s) = @_;
    return IO::Socket::SSL->start_SSL($s, SSL_server => 1, Timeout => 5,
        SSL_cert_file => "$self->{ssl}/cert.pem",
        SSL_key_file => "$self->{ssl}/key.pem");
}

# all whole requests that are there; false: close it
sub _answer {
    my ($self, $s, $conn) = @_;
    my $buf = \$conn->{buf};

    while ($$buf =~ /^(.*?)\r\n\r\n/s) {
        my ($head, $at) = ($1, $+[0]);
        my ($len) = $head =~ /^Content-Length: (\d+)/mi;
        $len ||= 0;
        last if length $$buf < $at + $len;

        my $body = substr $$buf, $at, $len;
        substr $$buf, 0, $at + $len, '';
        my ($path) = $head =~ m{^(?:POST|GET) (\S+) HTTP/1\.1};
        my @args = ($path, $head, $body, ++$conn->{served});
        $self->_note(@args);

        my ($status, $out, $close) = $self->{handler}->(@args);
        return 0 if !defined $status;
        ($status, $out, $close) = ($$status, undef, $out) if ref $status;
        _write($s, defined $out ? "HTTP/1.1 $status X\r\nContent-Length: "
            . length($out) . "\r\n\r\n$out" : $status);
        return 0 if $close;
    }
    return 1;
}

# all of it: TLS takes a record at a time
sub _write {
    my ($s, $text) = @_;
    while (length $text) {
        my $n = syswrite $s, $text or return;
        substr $text, 0, $n, '';
    }
}

sub _note {
    my ($self, %r) = (shift);
    @r{qw(path head body nth)} = @_;
    open my $fh, '>>', $self->{file} or die "$self->{file}: $!";
    print {$fh} JSON::PP->new->ascii->canonical->encode(\%r), "\n";
    close $fh;
}

1;
