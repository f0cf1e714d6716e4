# A comet's side of the RPC to logic, for tests of logic alone: calls as Perl
# hashes, packed as proto/goim.proto says.
#
#     my $rpc = Goim::RPC->new($port, server => 'comet-1', zone => 'a1');
#     my $r = $rpc->call(connect => { session => 1, token => '{"mid":1}' });
#     is $r->{connected}{mid}, 1;
#
# server and zone are filled in where a call has them.

package Goim::RPC;

use strict;
use warnings;

use Time::HiRes ();

use Goim::Socket ();
use Goim::Test qw(slow);

# number, name, kind: n (number), b (bytes), s (signed), or another message;
# + after it: repeated
my %schema = (
    Call => [[1, 'id', 'n'], [2, 'hello', 'Hello'], [3, 'connect', 'Connect'],
        [4, 'disconnect', 'Disconnect'], [5, 'heartbeat', 'Heartbeat'],
        [6, 'receive', 'Receive'], [7, 'register', 'Register'],
        [8, 'deregister', 'Deregister'], [9, 'online', 'Online'],
        [10, 'missing', 'Missing']],
    Hello => [[1, 'server', 'b'], [2, 'zone', 'b'], [3, 'version', 'b']],
    Connect => [[1, 'server', 'b'], [2, 'zone', 'b'], [3, 'session', 'n'],
        [4, 'cookie', 'b'], [5, 'token', 'b'], [6, 'addr', 'b']],
    Disconnect => [[1, 'mid', 's'], [2, 'key', 'b'], [3, 'server', 'b'],
        [4, 'zone', 'b'], [5, 'session', 'n']],
    Heartbeat => [[1, 'mid', 's'], [2, 'key', 'b'], [3, 'server', 'b'],
        [4, 'zone', 'b'], [5, 'session', 'n']],
    Receive => [[1, 'mid', 's'], [2, 'key', 'b'], [3, 'server', 'b'],
        [4, 'room', 'b'], [5, 'operation', 's'], [6, 'sequence', 's'],
        [7, 'body', 'b']],
    Register => [[1, 'server', 'b'], [2, 'zone', 'b'], [3, 'instance', 'b'],
        [4, 'replaces', 'b'], [5, 'region', 'b'], [6, 'zone_name', 'b'],
        [7, 'env', 'b'], [8, 'hostname', 'b'], [9, 'addrs', 'b+'],
        [10, 'weight', 'n'], [11, 'offline', 'n'], [12, 'conn_count', 'n'],
        [13, 'ip_count', 'n'], [14, 'version', 'b'], [15, 'started', 'n']],
    Deregister => [[1, 'server', 'b'], [2, 'zone', 'b']],
    RoomCount => [[1, 'room', 'b'], [2, 'count', 'n']],
    Online => [[1, 'server', 'b'], [2, 'zone', 'b'], [3, 'reset', 'n'],
        [4, 'rooms', 'RoomCount+']],
    Missing => [[1, 'server', 'b'], [2, 'zone', 'b'], [3, 'keys', 'b+']],
    Reply => [[1, 'id', 'n'], [2, 'code', 'n'], [3, 'error', 'b'],
        [4, 'connected', 'Connected'], [5, 'disconnected', 'Disconnected'],
        [6, 'registered', 'Registered'], [7, 'onlined', 'Onlined']],
    Connected => [[1, 'mid', 's'], [2, 'key', 'b'], [3, 'room', 'b'],
        [4, 'accepts', 's+'], [5, 'heartbeat', 'n'], [6, 'renew', 'n']],
    Disconnected => [[1, 'had', 'n']],
    Registered => [[1, 'renew', 'n'], [2, 'ttl', 'n'], [3, 'holder', 'b']],
    Onlined => [[1, 'rooms', 'RoomCount+']],
    PushMsg => [[1, 'type', 'n'], [2, 'operation', 's'], [3, 'speed', 's'],
        [4, 'server', 'b'], [5, 'room', 'b'], [6, 'keys', 'b+'],
        [7, 'msg', 'b']],
    Record => [[1, 'kind', 'n'], [2, 'partition', 'n'], [3, 'offset', 'b'],
        [4, 'operation', 's'], [5, 'room', 'b'], [6, 'keys', 'b+'],
        [7, 'body', 'b'], [8, 'speed', 'n'], [9, 'zone', 'b'],
        [10, 'session', 'n']],
    Delivery => [[1, 'epoch', 'b'], [2, 'records', 'Record+']],
);

sub code { return { OK => 0, FAILED => 1, DENIED => 2, REFUSED => 3,
    MALFORMED => 4 }->{ $_[0] } }

# ---- protobuf ----------------------------------------------------------------

sub _varint {
    my ($n) = @_;
    my $out = '';
    $n = unpack 'Q', pack 'q', $n if $n < 0;
    while ($n > 127) {
        $out .= chr($n & 127 | 128);
        $n >>= 7;
    }
    return $out . chr $n;
}

sub encode {
    my ($type, $m) = @_;
    my $out = '';

    for my $f (@{ $schema{$type} }) {
        my ($num, $name, $kind) = @$f;
        next if !defined $m->{$name};
        (my $one = $kind) =~ s/\+$//;

        for my $v ($kind =~ /\+$/ ? @{ $m->{$name} } : $m->{$name}) {
            if ($one eq 'n' || $one eq 's') {
                $out .= _varint($num << 3) . _varint($v);
                next;
            }
            my $data = $one eq 'b' ? $v : encode($one, $v);
            $out .= _varint($num << 3 | 2) . _varint(length $data) . $data;
        }
    }
    return $out;
}

sub decode {
    my ($type, $data) = @_;
    my %field = map { $_->[0] => $_ } @{ $schema{$type} };
    my (%m, $pos);

    for my $f (@{ $schema{$type} }) {
        my ($num, $name, $kind) = @$f;
        $m{$name} = $kind =~ /\+$/ ? [] : $kind =~ /^[A-Z]/ ? undef
            : $kind eq 'b' ? '' : 0;
    }

    $pos = 0;
    my $varint = sub {
        my ($n, $shift) = (0, 0);
        while (1) {
            my $c = ord substr $data, $pos++, 1;
            $n |= ($c & 127) << $shift;
            return $n if $c < 128;
            $shift += 7;
        }
    };

    while ($pos < length $data) {
        my $tag = $varint->();
        my ($num, $wire) = ($tag >> 3, $tag & 7);
        my $v;

        if ($wire == 0) {
            $v = $varint->();
        } elsif ($wire == 2) {
            my $len = $varint->();
            $v = substr $data, $pos, $len;
            $pos += $len;
        } else {
            die "wire type $wire\n";
        }

        my $f = $field{$num} or next;
        my ($name, $kind) = @$f[1, 2];
        (my $one = $kind) =~ s/\+$//;
        my @v = $v;

        if ($wire == 2 && ($one eq 's' || $one eq 'n')) {       # packed
            my ($inner, $at, $keep) = ($v, 0, $data);
            @v = ();
            ($data, my $was) = ($inner, $pos);
            $pos = 0;
            push @v, $varint->() while $pos < length $inner;
            ($data, $pos) = ($keep, $was);
        }

        for (@v) {
            $_ = unpack 'q', pack 'Q', $_ if $one eq 's';
            $_ = decode($one, $_) if $one =~ /^[A-Z]/;
            $kind =~ /\+$/ ? push @{ $m{$name} }, $_ : ($m{$name} = $_);
        }
    }
    return \%m;
}

# ---- calls -------------------------------------------------------------------

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
    return encode('Call', { id => $id, $name => {
        server => $self->{server}, zone => $self->{zone}, %{ $m || {} } } });
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
            my $r = decode('Reply', substr $s->{buf}, 4, $len);
            substr $s->{buf}, 0, 4 + $len, '';
            $self->{replies}{ $r->{id} } = $r;
            push @{ $self->{order} }, $r->{id};
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
    return map { decode('Delivery', $_->[1]{d}) }
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
            push @all, { %{ decode('PushMsg', $_->[1]{v}) },
                partition => $n, kafka_key => $_->[1]{k},
                stream_id => $_->[0] };
        }
    }
    return @all;
}

1;
