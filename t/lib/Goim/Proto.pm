# The messages of proto/goim.proto as Perl hashes: what one of the services
# would write or read, for tests that stand in another's place.
#
#     my $bytes = proto_encode('PushMsg', { type => 'ROOM', room => 'a://1' });
#     my $push = proto_decode('PushMsg', $bytes);
#
# Repeated fields are array references. Decoded messages hold their fields'
# defaults; enums are given by name or number, and read as names.

package Goim::Proto;

use strict;
use warnings;

use Exporter 'import';

use Goim::Test qw(root_dir slurp);

our @EXPORT_OK = qw(proto_encode proto_decode);

my (%message, %enum);           # name => [fields], name => { NAME => number }

sub _load {
    my $text = slurp(root_dir() . '/proto/goim.proto');
    my (@in, $name);

    $text =~ s{//.*}{}g;

    while ($text =~ /\G\s*(?:
            (?<kind>message|enum|oneof)\s+(?<name>\w+)\s*\{
          | (?<end>\})
          | (?<rep>repeated\s+)?(?<type>\w+)\s+(?<field>\w+)\s*=\s*(?<no>\d+)\s*;
          | (?<label>\w+)\s*=\s*(?<value>\d+)\s*;
          | [^;{}]*;
        )/gcx)
    {
        my %m = %+;

        if ($m{kind}) {
            push @in, [$m{kind}, $m{name}];
            $message{ $m{name} } ||= [] if $m{kind} eq 'message';
        } elsif ($m{end}) {
            pop @in;
        } elsif ($m{field}) {
            my ($msg) = grep { $_->[0] eq 'message' } reverse @in or next;
            push @{ $message{ $msg->[1] } }, { name => $m{field},
                type => $m{type}, no => $m{no}, rep => $m{rep} ? 1 : 0,
                one => $in[-1][0] eq 'oneof' };
        } elsif (defined $m{label}) {
            my ($msg) = map { $_->[1] } grep { $_->[0] eq 'message' } @in;
            $enum{"$msg.$in[-1][1]"}{ $m{label} } = $m{value};
        }
    }
}

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

sub _enum {
    my ($message, $type) = @_;
    return $enum{"$message.$type"};
}

sub proto_encode {
    my ($message, $data) = @_;
    _load() if !%message;
    my $fields = $message{$message} or die "no message $message\n";
    my %left = %$data;
    my $out = '';

    for my $f (@$fields) {
        my $value = delete $left{ $f->{name} };
        next if !defined $value;

        for my $v ($f->{rep} ? @$value : $value) {
            if ($f->{type} =~ /^(?:string|bytes)$/) {
                next if !$f->{rep} && $v eq '';
                $out .= _varint($f->{no} << 3 | 2) . _varint(length $v) . $v;
            } elsif ($message{ $f->{type} }) {
                my $bytes = proto_encode($f->{type}, $v);
                $out .= _varint($f->{no} << 3 | 2) . _varint(length $bytes)
                    . $bytes;
            } else {
                my $e = _enum($message, $f->{type});
                my $n = $e && exists $e->{$v} ? $e->{$v} : $v;
                $out .= _varint($f->{no} << 3) . _varint($n)
                    if $n || $f->{rep};
            }
        }
    }

    die "$message has no field " . join(', ', keys %left) . "\n" if %left;
    return $out;
}

sub _read_varint {
    my ($bytes, $pos) = @_;
    my ($n, $shift) = (0, 0);
    while (1) {
        die "cut short\n" if $$pos >= length $$bytes || $shift > 63;
        my $b = ord substr $$bytes, $$pos++, 1;
        $n |= ($b & 127) << $shift;
        return $n if $b < 128;
        $shift += 7;
    }
}

sub _read {
    my ($message, $f, $wire, $bytes, $pos) = @_;

    if ($wire == 2) {
        my $len = _read_varint($bytes, $pos);
        die "cut short\n" if $$pos + $len > length $$bytes;
        my $v = substr $$bytes, $$pos, $len;
        $$pos += $len;

        if ($f && $f->{type} !~ /^(?:string|bytes)$/) {
            return [proto_decode($f->{type}, $v)] if $message{ $f->{type} };
            my ($p, @list) = (0);
            push @list, _read($message, $f, 0, \$v, \$p) while $p < $len;
            return [map { @$_ } @list];
        }
        return [$v];
    }

    die "wire type $wire\n" if $wire != 0;
    my $n = _read_varint($bytes, $pos);
    return [$n] if !$f;

    if (my $e = _enum($message, $f->{type})) {
        my ($name) = grep { $e->{$_} == $n } keys %$e;
        return [defined $name ? $name : $n];
    }
    return [$f->{type} =~ /^int/ ? unpack('q', pack 'Q', $n) : $n];
}

sub proto_decode {
    my ($message, $bytes) = @_;
    _load() if !%message;
    my $fields = $message{$message} or die "no message $message\n";
    my %by_no = map { $_->{no} => $_ } @$fields;
    my (%data, $pos);

    for my $f (@$fields) {
        next if $f->{one} || $message{ $f->{type} } && !$f->{rep};
        my $e = _enum($message, $f->{type});
        $data{ $f->{name} } = $f->{rep} ? []
            : $f->{type} =~ /^(?:string|bytes)$/ ? ''
            : $e ? (grep { $e->{$_} == 0 } keys %$e)[0] : 0;
    }

    $pos = 0;
    while ($pos < length $bytes) {
        my $tag = _read_varint(\$bytes, \$pos);
        my $f = $by_no{ $tag >> 3 };
        my $values = _read($message, $f, $tag & 7, \$bytes, \$pos);
        next if !$f;

        if ($f->{rep}) {
            push @{ $data{ $f->{name} } }, @$values;
        } else {
            $data{ $f->{name} } = $values->[-1];
        }
    }
    return \%data;
}

1;
