# A goim client, over WebSocket or TCP.
#
#     my $c = Goim::Client->new(port => $nginx->{port}, mid => 1, key => 'k',
#         room => 'live://1', accepts => [1000]);
#     my $push = $c->push;            # { op, body, ver, seq }
#
# What the auth parameters leave out is left out of the auth packet.

package Goim::Client;

use strict;
use warnings;

use IO::Select ();
use JSON::PP ();
use Time::HiRes ();

use Goim::Packet qw(pack_packet split_packets);
use Goim::TCP ();
use Goim::Test qw(slow);
use Goim::WS ();

my $json = JSON::PP->new->canonical;

# transport => 'ws' (default), 'wss', 'tcp', 'tcps'; what Goim::WS and
# Goim::Socket take; mid, key, room, platform, accepts, recover, errors for auth;
# token => its whole body instead; auth => 0: do not authenticate
sub new {
    my ($class, %arg) = @_;
    my $kind = delete $arg{transport} || 'ws';
    my $self = bless { seq => 0, pushes => [], replies => [], batches => 0,
        positions => [], byes => [] }, $class;

    $arg{ssl} ||= 1 if $kind =~ /s$/ && $kind ne 'ws';
    $self->{tcp} = $kind =~ /^tcp/ ? 1 : 0;
    $self->{t} = $self->{tcp} ? Goim::TCP->new(%arg) : Goim::WS->new(%arg);
    $self->{auth} = { %arg };
    $self->auth if !exists $arg{auth} || $arg{auth};
    return $self;
}

sub transport { return $_[0]{t} }
sub fileno    { return $_[0]{t}->fileno }

sub token {
    my (%arg) = @_;
    return $arg{token} if defined $arg{token};
    my %body;
    $body{mid} = $arg{mid} + 0 if defined $arg{mid};
    $body{key} = "$arg{key}" if defined $arg{key};
    $body{room_id} = "$arg{room}" if defined $arg{room};
    $body{platform} = $arg{platform} if defined $arg{platform};
    $body{recover} = $arg{recover} if exists $arg{recover};
    $body{errors} = $arg{errors} + 0 if exists $arg{errors};
    $body{accepts} = [map { $_ + 0 } @{ $arg{accepts} }] if $arg{accepts};
    return $json->encode(\%body);
}

# ---- packets -----------------------------------------------------------------

# a packet; returns its sequence
sub send {
    my ($self, $op, $body, %arg) = @_;
    my $seq = defined $arg{seq} ? $arg{seq} : ++$self->{seq};
    $self->{t}->send(pack_packet($op, $body, %arg, seq => $seq));
    return $seq;
}

# What has come, in its order: [queue, what]. A packet that came inside an
# operation 9, or with sequence 0 at all (TCP), is a push. Operation 23 of one that
# recovers is neither push nor reply, nor is 6 of such a one and of one with errors.
sub arrived {
    my ($self) = @_;
    my @list;
    $self->{t}->pump;

    while (my $m = shift @{ $self->{t}{messages} }) {
        my @packets = split_packets($m->{data});
        die "a frame of " . @packets . " packets\n"
            if !$self->{tcp} && @packets != 1;
        die "not a binary message\n" if !$self->{tcp} && $m->{opcode} != 2;
        my $p = $packets[0];
        my $recovers = exists $self->{auth}{recover};

        if ($recovers && $p->{op} == 23 && $p->{seq} == 0) {
            CORE::push @list, [positions => $json->decode($p->{body})];
        } elsif (($recovers || $self->{auth}{errors}) && $p->{op} == 6
            && $p->{seq} == 0)
        {
            CORE::push @list, [byes => $json->decode($p->{body})];
        } elsif ($p->{op} == 9 && (!$self->{tcp} || $recovers)) {
            $self->{batches}++;
            CORE::push @list, map { [pushes => $_] } split_packets($p->{body});
        } elsif ($self->{tcp} && $p->{seq} == 0) {
            CORE::push @list, [pushes => $p];
        } else {
            CORE::push @list, [replies => $p];
        }
    }
    return @list;
}

# the same into their queues
sub pump {
    my ($self) = @_;
    CORE::push @{ $self->{ $_->[0] } }, $_->[1] for $self->arrived;
    return @{ $self->{pushes} } + @{ $self->{replies} };
}

sub _next {
    my ($self, $queue, $timeout) = @_;
    my $s = $self->{t}->socket;
    my $end = Time::HiRes::time()
        + (defined $timeout ? $timeout : 10) * slow();

    while (1) {
        $self->pump;
        return shift @{ $self->{$queue} } if @{ $self->{$queue} };
        return undef if $s->eof || !$s->wait_read($end);
    }
}

# the next push, the next reply: { op, ver, seq, body }, undef when none came
sub push  { return $_[0]->_next('pushes', $_[1]) }
sub reply { return $_[0]->_next('replies', $_[1]) }

# the same of what the node says by itself: the map of operation 23, of 6
sub position { return $_[0]->_next('positions', $_[1]) }
sub bye      { return $_[0]->_next('byes', $_[1]) }

# pushes until there are $n, or the time is up: a list
sub pushes {
    my ($self, $n, $timeout) = @_;
    my $end = Time::HiRes::time() + ($timeout || 10);
    my @list;

    while (@list < $n) {
        my $left = $end - Time::HiRes::time();
        my $p = $self->push($left > 0 ? $left : 0) or last;
        CORE::push @list, $p;
    }
    return @list;
}

# send and wait for the reply; dies without one
sub call {
    my ($self, $op, $body, %arg) = @_;
    my $seq = $self->send($op, $body, %arg);
    my $p = $self->reply($arg{timeout});
    die "no reply to operation $op"
        . (defined $self->{t}{code} ? ", closed with $self->{t}{code}" : '')
        . ($self->{t}->socket->eof ? ', connection ended' : '') . "\n" if !$p;
    die "reply of sequence $p->{seq} to $seq\n" if $p->{seq} != $seq;
    return $p;
}

# ---- what clients do ---------------------------------------------------------

sub auth {
    my ($self, %arg) = @_;
    my $p = $self->call(7, token(%{ $self->{auth} }, %arg));
    die "operation $p->{op} in reply to auth\n" if $p->{op} != 8;
    return $p;
}

# the number online in the room
sub heartbeat {
    my ($self) = @_;
    my $p = $self->call(2, '');
    die "operation $p->{op} in reply to a heartbeat\n" if $p->{op} != 3;
    return unpack 'N', $p->{body};
}

sub change_room { return $_[0]->call(12, $_[1]) }
sub sub         { return $_[0]->call(14, join ',', @{ $_[1] }) }
sub unsub       { return $_[0]->call(16, join ',', @{ $_[1] }) }

sub closed { return $_[0]{t}->closed($_[1]) }
sub close  { return $_[0]{t}->close }
sub drop   { my ($self, @arg) = @_; return $self->{t}->drop(@arg) }

# ---- many at once ------------------------------------------------------------

# $n clients: $make->($i) gives the parameters of each
sub many {
    my ($class, $n, $make) = @_;
    return map { $class->new($make->($_)) } 0 .. $n - 1;
}

# Read from all until $done->() is true or the time is up; what it said.
sub pump_all {
    my ($class, $clients, $timeout, $done) = @_;
    my $end = Time::HiRes::time() + $timeout * slow();
    my $select = IO::Select->new(map { [$_->{t}->socket->{sock}, $_] }
        grep { $_->{t}->socket->{sock} } @$clients);

    $_->pump for @$clients;

    while (1) {
        my $rc = $done->();
        return $rc if $rc;
        my $left = $end - Time::HiRes::time();
        return $rc if $left <= 0;

        for my $ready ($select->can_read($left < 0.2 ? $left : 0.2)) {
            my $c = $ready->[1];
            $c->pump;
            $select->remove($ready) if $c->{t}->socket->eof;
        }
    }
}

1;
