#!/usr/bin/perl
#
# A WebSocket server that does wrong to order, for the tests of the JavaScript
# client (unit.js): what no right server would ever send has to come from
# somewhere.
#
#     rogue.pl PORT
#
# Everything belongs to an id, the test's. Of itself it answers auth, and
# heartbeats with 9.
#
#   /sub?id=X     WebSocket; &silent: no answer to auth; &once: none to another
#                 auth of the connection; &deny: auth is closed
#                 with 1008; &mute: no answer to heartbeats; &refuse=N: 503 to
#                 the first N attempts
#   /nodes?id=X   a list of nodes; &list=a,b names them; &once: 500 from the
#                 second time on; &never: an error of the API
#   /do?id=X      POST, a JSON array of [action, arguments] for the newest
#                 connection: binary hex, text string, close code reason, drop
#   /log?id=X     what was seen: {"lists", "queries", "connections": [{"host",
#                 "closed", "packets": [{"operation", "sequence", "text"}]}]}

use strict;
use warnings;

use Digest::SHA qw(sha1_base64);
use Encode ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();

$SIG{PIPE} = 'IGNORE';

my ($port) = @ARGV;
my $json = JSON::PP->new->utf8->canonical;
my $select = IO::Select->new;
my (%seen, %conns);

my $listen = IO::Socket::INET->new(LocalAddr => '0.0.0.0',
    LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "listen: $!\n";
$select->add($listen);

while (1) {
    for my $s ($select->can_read) {
        if ($s == $listen) {
            my $new = $listen->accept or next;
            $conns{$new} = { sock => $new, in => '' };
            $select->add($new);
            next;
        }
        my $c = $conns{$s};
        my $n = sysread $s, $c->{in}, 65536, length $c->{in};
        if (!$n) {
            drop($c);
        } elsif ($c->{ws}) {
            frames($c);
        } else {
            http($c);
        }
    }
}

sub drop {
    my ($c) = @_;
    $select->remove($c->{sock});
    delete $conns{ $c->{sock} };
    $c->{log}{closed} = JSON::PP::true if $c->{log};
    close $c->{sock};
}

sub of_id {
    my ($id) = @_;
    return $seen{$id} ||= { attempts => 0, lists => 0, queries => [],
        connections => [] };
}

# ---- HTTP --------------------------------------------------------------------

sub http {
    my ($c) = @_;
    my ($head, $body) = split /\r\n\r\n/, $c->{in}, 2;
    return if !defined $body;

    my ($path, $query) = $head =~ m{^\w+ ([^? ]+)\??(\S*)} or return drop($c);
    my %header = map { lc($_->[0]) => $_->[1] }
        map { [split /:\s*/, $_, 2] } split /\r\n/, $head;
    my %q = map { my ($k, $v) = split /=/, $_, 2; ($k => $v // '') }
        split /&/, $query;

    s/%([0-9a-f]{2})/chr hex $1/gie for values %q;
    return if length $body < ($header{'content-length'} || 0);

    my $x = of_id($q{id} // '');

    if ($path eq '/sub') {
        upgrade($c, $x, \%q, \%header);
    } elsif ($path eq '/nodes') {
        nodes($c, $x, \%q, $query);
    } elsif ($path eq '/do') {
        act($x, @$_) for @{ $json->decode($body) };
        answer($c, 200, {});
    } elsif ($path eq '/log') {
        answer($c, 200, { map { $_ => $x->{$_} }
            qw(lists queries connections) });
    } else {
        answer($c, 404, {});
    }
}

sub answer {
    my ($c, $status, $data) = @_;
    my $body = $json->encode($data);
    syswrite $c->{sock}, "HTTP/1.1 $status Said\r\nConnection: close\r\n"
        . "Access-Control-Allow-Origin: *\r\nContent-Type: application/json"
        . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    drop($c);
}

sub nodes {
    my ($c, $x, $q, $query) = @_;
    $x->{lists}++;
    push @{ $x->{queries} }, $query;
    return answer($c, 500, {}) if defined $q->{once} && $x->{lists} > 1;
    return answer($c, 200, { code => -500 }) if defined $q->{never};
    answer($c, 200, { code => 0, message => '', data => {
        ws_port => $port + 0, heartbeat => 240,
        nodes => [split /,/, $q->{list} // '127.0.0.1'] } });
}

sub upgrade {
    my ($c, $x, $q, $header) = @_;
    my $key = $header->{'sec-websocket-key'} // '';
    my $log = { host => $header->{host}, packets => [],
        closed => JSON::PP::false };

    $c->{log} = $log;
    push @{ $x->{connections} }, $log;

    return answer($c, 503, {}) if ++$x->{attempts} <= ($q->{refuse} || 0);

    $c->{ws} = 1;
    $c->{q} = $q;
    $c->{in} = '';
    $x->{newest} = $c;

    syswrite $c->{sock}, "HTTP/1.1 101 Switching Protocols\r\n"
        . "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        . 'Sec-WebSocket-Accept: '
        . sha1_base64($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
        . "=\r\n\r\n";
}

# ---- WebSocket ---------------------------------------------------------------

sub frame {
    my ($c, $opcode, $data) = @_;
    my $n = length $data;
    return if !$conns{ $c->{sock} };
    syswrite $c->{sock}, pack('C', 0x80 | $opcode)
        . ($n < 126 ? pack('C', $n) : pack('Cn', 126, $n)) . $data;
}

sub packet {
    my ($c, $op, $seq, $body) = @_;
    frame($c, 2, pack('NnnNN', 16 + length $body, 16, 1, $op, $seq) . $body);
}

sub bye {
    my ($c, $code, $reason) = @_;
    frame($c, 8, pack 'na*', $code, $reason);
    $c->{bye} = 1;
}

sub act {
    my ($x, $what, @arg) = @_;
    my $c = $x->{newest} or return;
    $what eq 'binary' ? frame($c, 2, pack 'H*', $arg[0])
        : $what eq 'text' ? frame($c, 1, Encode::encode_utf8($arg[0]))
        : $what eq 'close' ? bye($c, @arg)
        : drop($c);
}

# what browsers send: whole, masked, of less than 64 KB
sub frames {
    my ($c) = @_;

    while (length $c->{in} >= 6) {
        my ($first, $n) = unpack 'CC', $c->{in};
        my $at = 2;

        $n &= 127;
        if ($n == 126) {
            $n = unpack 'x2 n', $c->{in};
            $at = 4;
        }
        return if length $c->{in} < $at + 4 + $n;

        my $mask = substr $c->{in}, $at, 4;
        my $data = substr $c->{in}, $at + 4, $n;
        substr($c->{in}, 0, $at + 4 + $n) = '';
        $data ^= substr $mask x (1 + $n / 4), 0, $n;

        if (($first & 15) == 8) {
            frame($c, 8, substr $data, 0, 2) if !$c->{bye};
            return drop($c);
        }
        got($c, $data) if ($first & 15) == 2;
    }
}

sub got {
    my ($c, $data) = @_;
    my (undef, undef, undef, $op, $seq, $body) = unpack 'NnnNNa*', $data;

    push @{ $c->{log}{packets} }, { operation => $op, sequence => $seq,
        text => Encode::decode('UTF-8', $body) };

    if ($op == 7) {
        defined $c->{q}{deny} ? bye($c, 1008, 'auth refused')
            : defined $c->{q}{silent} || defined $c->{q}{once} && $c->{auths}++
            ? ()
            : packet($c, 8, $seq, '');
    } elsif ($op == 2) {
        packet($c, 3, $seq, pack 'N', 9) if !defined $c->{q}{mute};
    }
}
