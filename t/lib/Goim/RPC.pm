# A comet's side of the RPC to logic, for tests of logic alone: calls as Perl
# hashes, packed by Goim::Proto.
#
#     my $rpc = Goim::RPC->new($port, server => 'comet-1', zone => 'a1');
#     my $r = $rpc->call(connect => { session => 1, token => '{"mid":1}' });
#     is $r->{connected}{mid}, 1;
#
# server and zone are filled in where a call has them. code: 0 OK, 1 FAILED,
# 2 DENIED, 3 REFUSED, 4 MALFORMED, 5 REPLACED (16 on the wire).

package Goim::RPC;

use strict;
use warnings;

use Time::HiRes ();

use Goim::Proto qw(proto_encode proto_decode);
use Goim::Socket ();
use Goim::Test qw(slow wait_for);

# what a reply's code is here: a number, so that 0 is false
my %code = (OK => 0, FAILED => 1, DENIED => 2, REFUSED => 3, MALFORMED => 4,
    REPLACED => 5);

# hello => 0: the caller says it himself
sub new {
    my ($class, $port, %arg) = @_;
    my $self = bless { server => 'comet-1', zone => 'a1', id => 0,
        replies => {}, %arg,
        s => Goim::Socket->new(port => $port) }, $class;

    if (!exists $arg{hello} || $arg{hello}) {
        my $r = $self->call(hello => { version => 'test' });
        die "hello: $r->{error}\n" if $r->{code};
    }
    return $self;
}

# logic, when all of its threads have Redis
sub ready {
    my ($logic) = @_;
    wait_for {
        my $m = $logic->metrics;
        $m->{goim_logic_redis_connections} == $m->{goim_logic_threads};
    } 20, 'logic has Redis';
    return $logic;
}

sub socket   { return $_[0]{s} }
sub send_raw { return $_[0]{s}->write($_[1]) }

# send a call; its id
sub send {
    my ($self, $name, $m) = @_;
    my $id = ++$self->{id};
    $self->{s}->write(frame($self->packed($id, $name, $m)));
    return $id;
}

sub frame { return pack('N', length $_[0]) . $_[0] }

sub packed {
    my ($self, $id, $name, $m) = @_;
    my %who = $name eq 'read' || $name eq 'heads' ? ()
        : $name eq 'receive' ? (server => $self->{server})
        : (server => $self->{server}, zone => $self->{zone});
    return proto_encode('Call', { id => $id, $name => { %who,
        %{ $m || {} } } });
}

# the reply to an id; undef when the connection ended or none came in time
sub reply {
    my ($self, $id, $timeout) = @_;
    my $s = $self->{s};
    my $end = Time::HiRes::time() + ($timeout || 20) * slow();

    while (1) {
        while (length $s->{buf} >= 4) {
            my $len = unpack 'N', $s->{buf};
            last if length $s->{buf} < 4 + $len;
            my $r = proto_decode('Reply', substr $s->{buf}, 4, $len);
            substr $s->{buf}, 0, 4 + $len, '';
            $r->{code} = $code{ $r->{code} };
            $self->{replies}{ $r->{id} } = $r;
        }
        return delete $self->{replies}{$id} if $self->{replies}{$id};
        return undef if $s->eof || !$s->wait_read($end);
    }
}

sub call {
    my ($self, $name, $m, %arg) = @_;
    my $r = $self->reply($self->send($name, $m), $arg{timeout});
    die "no reply to $name\n" if !$r;
    return $r;
}

# true when the other side ends the connection
sub closed {
    my ($self, $timeout) = @_;
    my $s = $self->{s};
    my $end = Time::HiRes::time() + ($timeout || 10) * slow();
    while (!$s->eof) {
        $s->wait_read($end) or return 0;
    }
    return 1;
}

sub close { return $_[0]{s}->drop }

# a node with all that a registration has
sub register {
    my ($self, %arg) = @_;
    return $self->call(register => { instance => "test/$self->{server}",
        hostname => $self->{server}, weight => 10,
        started => int(Time::HiRes::time() * 1000), addrs => ['192.0.2.1'],
        version => '0.1.0', %arg });
}

# what logic appended to a node's stream: deliveries
sub deliveries {
    my ($redis, $server) = @_;
    return map { proto_decode('Delivery', $_->[1]{d}) }
        $redis->xrange("goim:node:$server");
}

# the records in the Redis bus: PushMsg with partition
sub pushes {
    my ($redis, $partitions) = @_;
    my @all;
    for my $n (0 .. ($partitions || 8) - 1) {
        my $key = "goim:bus:$n";
        next if $redis->cmd('TYPE', $key) ne 'stream';
        for ($redis->xrange($key)) {
            push @all, { %{ proto_decode('PushMsg', $_->[1]{v}) },
                partition => $n, kafka_key => $_->[1]{k},
                stream_id => $_->[0] };
        }
    }
    return @all;
}

1;
