# goim's packets.

package Goim::Packet;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(pack_packet parse_packet split_packets %OP);

our %OP = (
    heartbeat => 2, heartbeat_reply => 3, send => 4, send_reply => 5,
    auth => 7, auth_reply => 8, raw => 9, change_room => 12,
    change_room_reply => 13, sub => 14, sub_reply => 15, unsub => 16,
    unsub_reply => 17,
);

# length, header and ver: to say something else than what is right
sub pack_packet {
    my ($op, $body, %arg) = @_;
    $body = '' if !defined $body;
    utf8::encode($body) if utf8::is_utf8($body);
    return pack('NnnNN',
        defined $arg{length} ? $arg{length} & 0xffffffff : 16 + length $body,
        defined $arg{header} ? $arg{header} : 16,
        defined $arg{ver} ? $arg{ver} : 1,
        $op & 0xffffffff, ($arg{seq} || 0) & 0xffffffff) . $body;
}

# The packet at the start of $$buf is taken from it; undef: not yet whole
sub parse_packet {
    my ($buf) = @_;
    return undef if length $$buf < 16;

    my ($len, $header, $ver, $op, $seq) = unpack 'NnnNN', $$buf;
    die "packet length $len, header length $header\n"
        if $header != 16 || $len < 16;
    return undef if length $$buf < $len;

    my $data = substr $$buf, 0, $len, '';
    ($op, $seq) = map { unpack 'l', pack 'L', $_ } $op, $seq;
    return { op => $op, seq => $seq, ver => $ver,
        body => substr $data, 16 };
}

# all packets of a string; dies when something is left over
sub split_packets {
    my ($data) = @_;
    my @packets;
    while (length $data) {
        my $p = parse_packet(\$data) or die "bytes left over\n";
        push @packets, $p;
    }
    return @packets;
}

1;
