# A node as job sees it: a registration, and a stream that is read as a comet
# reads it, each record once by its position.
#
#     my $node = Goim::Node->new(redis => $redis, server => 'comet-1');
#     $node->register;
#     $node->read;
#     $node->{records}     # { kind, partition, offset, body, ... }, in order

package Goim::Node;

use strict;
use warnings;

use Time::HiRes ();

use Goim::Proto qw(proto_encode proto_decode);

# redis, server; zone, prefix, and what else a goim.Register holds in info
sub new {
    my ($class, %arg) = @_;
    return bless { zone => 'z1', prefix => '', info => {}, last => '0-0',
        records => [], seen => {}, epoch => '', repeated => 0, entries => 0,
        largest => 0, epochs => 0, %arg }, $class;
}

sub register {
    my ($self) = @_;
    my ($r, $p) = @$self{qw(redis prefix)};
    my $now = int(1000 * Time::HiRes::time());
    my $node = proto_encode('Node', { seen => $now, info => {
        server => $self->{server}, zone => $self->{zone},
        started => $now, weight => 1, %{ $self->{info} } } });

    my $field = "$self->{server}/$self->{zone}";

    $r->cmd('HSETNX', "${p}goim:nodes", 'created', $now);
    my $old = $r->cmd('HGET', "${p}goim:nodes", $field);
    $r->cmd('HSET', "${p}goim:nodes", $field, $node);
    $r->cmd('INCR', "${p}goim:nodes:version")
        if !defined $old || proto_decode('Node', $old)->{left};
    return $self;
}

sub deregister {
    my ($self) = @_;
    my $p = $self->{prefix};

    # as logic does it: in a full Redis too
    $self->{redis}->cmd('EVAL', "#!lua flags=allow-oom\n"
        . "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) "
        . "return redis.call('INCR', KEYS[2])", 2, "${p}goim:nodes",
        "${p}goim:nodes:version", "$self->{server}/$self->{zone}",
        proto_encode('Node', { left => 1, info => {
            server => $self->{server}, zone => $self->{zone} } }));
    return $self;
}

sub key { return "$_[0]{prefix}goim:node:$_[0]{server}" }

# What is new in the stream; the number of records that were new.
sub read {
    my ($self) = @_;
    my $before = @{ $self->{records} };

    while (1) {
        my $list = $self->{redis}->cmd('XRANGE', $self->key,
            "($self->{last}", '+', 'COUNT', 500);
        last if !@$list;

        for my $entry (@$list) {
            $self->{last} = $entry->[0];
            my %field = @{ $entry->[1] };
            $self->_take($field{d});
        }
    }
    return @{ $self->{records} } - $before;
}

sub _take {
    my ($self, $bytes) = @_;
    my $delivery = proto_decode('Delivery', $bytes);

    $self->{entries}++;
    $self->{largest} = length $bytes if length $bytes > $self->{largest};

    if ($delivery->{epoch} ne $self->{epoch}) {
        $self->{epochs}++;
        $self->{epoch} = $delivery->{epoch};
        $self->{seen} = {};
    }

    for my $r (@{ $delivery->{records} }) {
        die "an offset of " . length($r->{offset}) . " bytes\n"
            if length $r->{offset} != 16;
        my $last = $self->{seen}{ $r->{partition} };

        if (defined $last && $r->{offset} le $last) {
            $self->{repeated}++;
            next;
        }
        $self->{seen}{ $r->{partition} } = $r->{offset};
        push @{ $self->{records} }, $r;
    }
}

# partition => [bodies], in the order they came
sub bodies {
    my ($self) = @_;
    my %by;
    push @{ $by{ $_->{partition} } }, $_->{body} for @{ $self->{records} };
    return \%by;
}

1;
