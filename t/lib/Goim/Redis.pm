# A real redis-server in a folder of its own, and a small client for it.

package Goim::Redis;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use IO::Socket::INET;
use Time::HiRes ();

use Goim::Proc ();
use Goim::Test qw(free_port folder wait_for);

# conf => { directive => value } beside or instead of the defaults;
# tls => { ca, cert, key }: files; then its address is that for TLS, and the test
# itself speaks to it without
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('redis');
    my $port = $arg{port} || free_port();
    my %conf = (
        bind => '127.0.0.1', port => $port, dir => $dir,
        appendonly => 'yes', appendfsync => 'always', save => '""',
        'shutdown-timeout' => 1,
        $arg{tls} ? ('tls-port' => free_port(), 'tls-auth-clients' => 'yes',
            'tls-ca-cert-file' => $arg{tls}{ca},
            'tls-cert-file' => $arg{tls}{cert},
            'tls-key-file' => $arg{tls}{key}) : (),
        %{ $arg{conf} || {} },
    );
    my @args = map { ("--$_", split / /, $conf{$_}) } sort keys %conf;

    my $self = $class->SUPER::new(name => 'redis', dir => $dir,
        cmd => ['redis-server', @args]);
    @$self{qw(port password tls_port)} = ($port, @conf{qw(requirepass
        tls-port)});

    $self->start if !$arg{stopped};
    return $self;
}

# Start (again, in the same folder) and wait until it answers.
sub start {
    my ($self) = @_;
    $self->SUPER::start;
    delete $self->{sock};
    wait_for {
        die "redis-server ended, see $self->{dir}/redis.log\n"
            if !$self->alive;
        my $pong = eval { $self->cmd('PING') };
        $pong && $pong eq 'PONG';
    } 20, 'redis-server answers';
    return $self;
}

sub restart {
    my ($self, %arg) = @_;
    $arg{kill} ? $self->kill9 : $self->stop;
    return $self->start;
}

sub addr { return '127.0.0.1:' . ($_[0]{tls_port} || $_[0]{port}) }

# ---- client ------------------------------------------------------------------

# One command; strings, numbers, array references; dies with Redis's error.
sub cmd {
    my ($self, @args) = @_;
    my $sock = $self->{sock};

    if (!$sock) {
        $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port}, Timeout => 5)
            or die "redis: $@\n";
        $self->{sock} = $sock;
        $self->{rbuf} = '';
        $self->cmd('AUTH', $self->{password}) if defined $self->{password};
    }

    my $rc = eval {
        my $out = '*' . @args . "\r\n";
        $out .= '$' . length($_) . "\r\n$_\r\n" for @args;
        local $SIG{PIPE} = 'IGNORE';
        my $n = syswrite $sock, $out;
        die "redis: write: $!\n" if !defined $n || $n != length $out;
        [$self->_reply];
    };

    if (!$rc) {
        delete $self->{sock} if $@ !~ /^redis error/;
        die $@;
    }
    return $rc->[0];
}

sub _line {
    my ($self) = @_;
    while ($self->{rbuf} !~ /\r\n/) { $self->_fill }
    $self->{rbuf} =~ s/^(.*?)\r\n//s;
    return $1;
}

sub _fill {
    my ($self) = @_;
    my $rin = '';
    vec($rin, fileno $self->{sock}, 1) = 1;
    select($rin, undef, undef, 10) > 0 or die "redis: no answer\n";
    my $n = sysread $self->{sock}, $self->{rbuf}, 65536,
        length $self->{rbuf};
    die "redis: connection closed\n" if !$n;
}

sub _reply {
    my ($self) = @_;
    my $line = $self->_line;
    my ($type, $rest) = $line =~ /^(.)(.*)$/s;

    return $rest if $type eq '+' || $type eq ':';
    die "redis error: $rest\n" if $type eq '-';

    if ($type eq '$') {
        return undef if $rest < 0;
        $self->_fill while length $self->{rbuf} < $rest + 2;
        my $data = substr $self->{rbuf}, 0, $rest, '';
        substr $self->{rbuf}, 0, 2, '';
        return $data;
    }

    if ($type eq '*') {
        return undef if $rest < 0;
        return [map { $self->_reply } 1 .. $rest];
    }
    die "redis: bad reply $line\n";
}

# a hash as a Perl hash
sub hgetall {
    my ($self, $key) = @_;
    return { @{ $self->cmd('HGETALL', $key) } };
}

# entries of a stream: [id, { field => value }], ...
sub xrange {
    my ($self, $key, $from, $to) = @_;
    return map { [$_->[0], { @{ $_->[1] } }] }
        @{ $self->cmd('XRANGE', $key, $from || '-', $to || '+') };
}

1;
