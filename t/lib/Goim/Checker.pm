# Was what is promised kept? Decided from what posters and clients saw.
#
#     my @findings = check(\@posts, \@clients, lost => [times],
#         gone => [[from, to]]);
#     # { what => 'missing', text => 'client 3, room live://1: ...' }, ...
#
# Times are seconds of one monotonic clock; bodies are unique. Nothing here
# opens a socket. All that was posted had its time to arrive before the last
# clients stopped.
#
# A post:
#     { began, answered, kind => 'room', 'keys', 'mids' or 'all',
#       to => 'live://1', [keys] or [mids], op => of a push to all, body,
#       code => 0, -500, ... or undef: no answer, history => 0: not numbered }
#   Code 0: each connection that it concerns has it once. -504 or no answer: at
#   most once. Any other code: nowhere. The same body again (a backend that
#   repeats with an id) is the same item.
#
# A client, which accepts every operation:
#     { name, key, mid, recovers => 1, connections => [...] }
# and a connection of it:
#     { came, events => [...], ended => time, tcp => 1,
#       code => of the close frame,
#       end => 'stopped' (by the test, at the very end), 'closed' (by the node),
#       'left' (by the client) }
# Its events, in their order, each with `at`:
#     { join => 'live://1' or '', said => { epoch, seq } }    it is in this room
#         now; the position it gave, if it gave one
#     { told => { 'live://1' => { epoch, seq, first, recovered } or undef } }
#     { body => ..., epoch => ..., seq => ... }    numbers: recovering, rooms
#
# lost: when what is kept may have got lost. If given, another epoch is nothing
# for a client to be told of unless one of these lies in the epoch of before.
# back: when it went back, to be done again: who is ahead of it for long is told.
# gone: what was answered in such a time need not have come, as the streams of
# nodes lost it; but what has a number.
#
# Findings:
#     missing             an accepted push did not come
#     repeated            it came again: on a connection; to a recovering
#                         client, within an epoch
#     disordered          one came before another that was answered before the
#                         first began; or numbers go back
#     order differs       two saw another order in a room, or of a key
#     refused             what was refused, or nobody posted, came
#     stray               it was for somebody else
#     twice               an item has two numbers in an epoch
#     two bodies          a number of an epoch has two items
#     untold              a recovering client missed something, or was put
#                         elsewhere, and recovered: false did not say so
#     told for nothing    recovered: false, and nothing can be gone

package Goim::Checker;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(check);

my $never = 9e99;

# What a node may miss before it notices and closes (1012), in s. TCP has no
# code, so any end by the node may mean this.
my $notice = 30;

# How long job may take to do again what Redis lost, in s.
my $behind = 60;

sub check {
    my ($posts, $clients, %arg) = @_;
    my $self = bless { findings => [], item => {}, of => {}, number => {},
        seen => {}, first => {}, runs => {}, lost => $arg{lost},
        back => $arg{back} || [],
        gone => $arg{gone} || [] }, __PACKAGE__;

    $self->_items($posts);
    $self->_numbers($clients);

    for my $client (@$clients) {
        my $n = 0;
        for my $c (@{ $client->{connections} }) {
            $self->_connection($client, $c, ++$n);
        }
        $self->_follow($client) if $client->{recovers};
    }
    $self->_orders;
    return @{ $self->{findings} };
}

sub _found {
    my ($self, $what, $text) = @_;
    push @{ $self->{findings} }, { what => $what, text => $text };
    return;
}

# ---- what was posted ---------------------------------------------------------

# item: by body; of: the accepted items of a room, key, mid, or of all, as they
# began
sub _items {
    my ($self, $posts) = @_;
    my %rank = (refused => 0, unsure => 1, ok => 2);

    for my $post (sort { $a->{began} <=> $b->{began} } @$posts) {
        my $item = $self->{item}{ $post->{body} } ||= { %$post,
            answered => $never, state => 'refused' };
        my $code = $post->{code};
        my $state = !defined $code || $code == -504 ? 'unsure'
            : $code == 0 ? 'ok' : 'refused';

        $item->{state} = $state if $rank{$state} > $rank{ $item->{state} };
        $item->{answered} = $post->{answered}
            if $state eq 'ok' && $post->{answered} < $item->{answered};
        $item->{free} = 1 if defined $post->{history} && !$post->{history};
    }

    for my $item (sort { $a->{began} <=> $b->{began} }
                  values %{ $self->{item} }) {
        my ($kind, $to) = @$item{qw(kind to)};
        $item->{for} = { map { $_ => 1 } $kind eq 'room' ? "room $to"
            : $kind eq 'keys' ? map { "key $_" } @$to
            : $kind eq 'mids' ? map { "mid $_" } @$to : 'all' };
        next if $item->{state} ne 'ok';
        push @{ $self->{of}{$_} }, $item for keys %{ $item->{for} };
    }
}

# the accepted items of a name that have to be there: those that began at
# $from or later, and were answered before $until began
sub _owed {
    my ($self, $name, $from, $until) = @_;
    my $list = $self->{of}{$name} || [];
    my ($low, $high) = (0, scalar @$list);
    my @owed;

    while ($low < $high) {
        my $mid = int(($low + $high) / 2);
        $list->[$mid]{began} < $from ? ($low = $mid + 1) : ($high = $mid);
    }
    for (; $low < @$list && $list->[$low]{began} < $until; $low++) {
        push @owed, $list->[$low] if $list->[$low]{answered} <= $until;
    }
    return @owed;
}

sub _bodies {
    my (@items) = @_;
    my @bodies = map { "\"$_->{body}\"" } @items;
    return @bodies > 6 ? @bodies . " items, $bodies[0] to $bodies[-1]"
        : join ', ', @bodies;
}

# ---- one number, one item ----------------------------------------------------

sub _numbers {
    my ($self, $clients) = @_;
    my (%body, %seq);

    for my $client (@$clients) {
        for my $e (map { @{ $_->{events} } } @{ $client->{connections} }) {
            for my $told (grep { $_ } values %{ $e->{told} || {} }) {
                $self->_epoch($told->{epoch}, $e->{at});
            }
            next if !defined $e->{epoch};
            $self->_epoch($e->{epoch}, $e->{at});

            my $item = $self->{item}{ $e->{body} };
            my $place = ($item ? $item->{to} : '') . " $e->{epoch}";
            my $other = $body{$place}{ $e->{seq} } ||= $e->{body};
            $self->_found('two bodies', "$place $e->{seq} is \"$other\", and "
                . "\"$e->{body}\" to client $client->{name}")
                if $other ne $e->{body};
            my $before = $seq{$place}{ $e->{body} } ||= $e->{seq};
            $self->_found(twice => "\"$e->{body}\" is $place $before, and "
                . "$e->{seq} to client $client->{name}")
                if $before != $e->{seq};
            $self->{number}{$place} = $e->{seq}
                if $e->{seq} > ($self->{number}{$place} || 0);
        }
    }
}

# when an epoch was seen first
sub _epoch {
    my ($self, $epoch, $at) = @_;
    my $first = $self->{first};
    $first->{$epoch} = $at
        if !exists $first->{$epoch} || $at < $first->{$epoch};
}

# ---- a connection ------------------------------------------------------------

sub _connection {
    my ($self, $client, $c, $n) = @_;
    my $who = "client $client->{name}, connection $n";
    my $numbered = _numbered($client, $c);
    my (%seen, %last, %max, %run, %in, %turn);

    for my $e (@{ $c->{events} }) {
        $in{"room $e->{join}"} = 1 if defined $e->{join};
        $turn{"room $_"}++ for keys %{ $e->{told} || {} };
        next if !defined $e->{body};

        my $item = $self->{item}{ $e->{body} };
        if (!$item || $item->{state} eq 'refused') {
            $self->_found(refused => "$who: \"$e->{body}\", "
                . ($item ? "answered $item->{code}" : 'of nobody'));
            next;
        }

        my @for = grep { $item->{for}{$_} } "key $client->{key}",
            "mid $client->{mid}", 'all', keys %in;
        $self->_found(stray => "$who: \"$e->{body}\"") if !@for;

        my $epoch = defined $e->{epoch} ? $e->{epoch} : '';
        if ($seen{ $e->{body} }{$epoch}++) {

            # who follows numbers may ask for some again: see _took()
            $self->_found(repeated => "$who: \"$e->{body}\"")
                if $epoch eq '' || !$client->{recovers};
            next;
        }
        next if $item->{free};

        for (@for) {
            $last{$_} = $item->{began} if $item->{began} > ($last{$_} || 0);
        }
        my $order = _order($client, $item);

        # from where it was told last
        my $place = $epoch eq '' ? $order
            : "$order $epoch " . ($turn{$order} || 0);
        my $run = $run{$place} ||= [];
        my $max = $max{$place} ||= $item;
        $self->_found(disordered => "$who, $order: \"$e->{body}\" after "
            . "\"$max->{body}\"") if $item->{answered} <= $max->{began};
        $max{$place} = $item if $item->{began} > $max->{began};
        push @{ $self->{runs}{$order} }, [$who, $run] if !@$run;
        push @$run, $e->{body};
    }

    $self->_missing($who, $c, "key $client->{key}", $c->{came}, 1, \%seen,
        \%last);
    $self->_missing($who, $c, "mid $client->{mid}", $c->{came}, 1, \%seen,
        \%last);
    $self->_missing($who, $c, 'all', $c->{came}, 1, \%seen, \%last);
    for my $stay (_stays($c)) {
        my ($room, $from, $stays) = @$stay;
        $self->_missing($who, $c, "room $room", $from, $stays, \%seen, \%last)
            if !$numbered->{$room};
    }
}

# the rooms of which a connection was told a position
sub _numbered {
    my ($client, $c) = @_;
    return {} if !$client->{recovers};
    return { map { my $told = $_->{told};
        map { $_ => 1 } grep { $told->{$_} } keys %{ $told || {} } }
        @{ $c->{events} } };
}

# [room, from when, to its end?]; of a room that it was in twice, the last time
sub _stays {
    my ($c) = @_;
    my (%stay, $now);

    for my $e (grep { defined $_->{join} } @{ $c->{events} }) {
        $stay{$now}[2] = 0 if defined $now;
        $now = $e->{join};
        $stay{$now} = [$now, $e->{at}, 1];
    }
    delete $stay{''};
    return values %stay;
}

# what has an order with what else: pushes to a key, to a room, to all with one
# operation
sub _order {
    my ($client, $item) = @_;
    return "room $item->{to}" if $item->{kind} eq 'room';
    return "key $client->{key}" if $item->{kind} ne 'all';
    return 'all ' . ($item->{op} || 0);
}

# It has all from when it came: to the end, if it is there; else up to the last
# that it got. One that was told to come again may lack what came shortly
# before.
sub _missing {
    my ($self, $who, $c, $name, $from, $stays, $seen, $last) = @_;
    my $all = $stays && $c->{end} eq 'stopped';
    my $until = $all ? $never : $last->{$name} || 0;
    my $cut = $c->{end} eq 'closed' && ($c->{tcp} || $c->{code} == 1012);
    my @missing = grep { !$seen->{ $_->{body} } && ($all || !$_->{free})
        && !($cut && $_->{answered} > $c->{ended} - $notice)
        && !$self->_may_be_gone($_) } $self->_owed($name, $from, $until);

    $self->_found(missing => "$who ($c->{end} $c->{code}), $name: "
        . _bodies(@missing)) if @missing;
}

sub _may_be_gone {
    my ($self, $item) = @_;
    return scalar grep { $item->{answered} > $_->[0]
        && $item->{answered} < $_->[1] } @{ $self->{gone} };
}

# ---- a client that recovers --------------------------------------------------

# What it follows, over all its connections: by room { epoch, last, since: when
# it was told its position, got => { body }, max: the latest beginning of what
# it got, pending: it has joined, and was not told yet }
sub _follow {
    my ($self, $client) = @_;
    my ($room, $end, %state) = ('');

    for my $c (@{ $client->{connections} }) {
        for my $e (@{ $c->{events} }) {
            if (defined $e->{join}) {
                $room = $e->{join};
                $state{$room}{pending} = $e->{said} || {} if $room ne '';
            }
            $self->_told($client, \%state, $_, $e->{told}{$_}, $e->{at})
                for keys %{ $e->{told} || {} };
            $self->_took($client, \%state, $e) if defined $e->{body};
        }
        $end = $c->{end};
    }

    for (keys %state) {
        my $s = $state{$_};
        $self->_settle($client, $_, $s,
            $_ eq $room && $end eq 'stopped' && !$s->{pending});
    }
}

sub _told {
    my ($self, $client, $state, $room, $told, $at) = @_;
    my $s = $state->{$room} ||= {};
    my $had = delete $s->{pending} || { epoch => $s->{epoch},
        seq => $s->{last} };
    my $who = "client $client->{name}, room $room";

    if (!$told) {
        $self->_settle($client, $room, $s, 0);
        delete $state->{$room};
        return;
    }

    my $yes = $told->{recovered};
    my $asked = defined $had->{epoch};
    my $same = $asked && $had->{epoch} eq $told->{epoch}
        && $had->{seq} == $told->{seq};
    my $text = sprintf '%s: %s %s, after %s', $who, @$told{qw(epoch seq)},
        $asked ? "$had->{epoch} $had->{seq}" : 'nothing';

    if (defined $yes && !$yes) {
        $self->_found('told for nothing', $text)
            if !$asked || !$self->_gone($had, $told, $at);
    } elsif ($asked && (!$same || !defined $yes)) {
        $self->_found(untold => $text);
    }

    if (!$asked || $yes && $same) {
        # what it asks for again may come again
        my $seen = $self->{seen}{ $client->{name} }{$room}{ $told->{epoch} }
            || {};
        delete @$seen{ grep { $seen->{$_} > $told->{seq} } keys %$seen };
    }
    if ($yes && $same && $s->{got}) {
        $s->{last} = $told->{seq};
        return;
    }
    $self->_settle($client, $room, $s, 0);
    $state->{$room} = { epoch => $told->{epoch}, last => $told->{seq},
        since => $at, got => {}, max => 0 };
}

# can something be gone between a position and the next?
sub _gone {
    my ($self, $had, $told, $at) = @_;
    if ($had->{epoch} eq $told->{epoch}) {
        return $had->{seq} > $told->{seq}
            || grep({ $_ < $at && $_ > $at - $behind } @{ $self->{back} })
            || !defined $told->{first} || $told->{first} > $had->{seq} + 1;
    }
    return 1 if !$self->{lost};
    my $from = $self->{first}{ $had->{epoch} };
    return scalar grep { $_ <= $at && (!defined $from || $_ >= $from) }
        @{ $self->{lost} };
}

sub _took {
    my ($self, $client, $state, $e) = @_;
    my $item = $self->{item}{ $e->{body} } or return;
    return if $item->{kind} ne 'room';
    my $room = $item->{to};
    my $s = $state->{$room} ||= {};
    my $who = "client $client->{name}, room $room";

    if (!defined $e->{epoch}) {
        $s->{got}{ $e->{body} } = 1 if $s->{got};
        return;
    }
    my $text = "$who: $e->{epoch} $e->{seq}, \"$e->{body}\"";
    my $seen = $self->{seen}{ $client->{name} }{$room}{ $e->{epoch} } ||= {};
    if ($s->{pending} || !defined $s->{epoch}) {
        $self->_found(untold => "$text, before it was told its position");
    } elsif ($s->{epoch} ne $e->{epoch}) {
        $self->_found(untold => "$text, in epoch $s->{epoch}");
    } elsif ($seen->{ $e->{body} }) {
        $self->_found(repeated => $text);
        return;
    } elsif ($e->{seq} <= $s->{last}) {
        $self->_found(disordered => "$text, after $s->{last}");
        return;
    } elsif ($e->{seq} > $s->{last} + 1) {
        $self->_found(untold => "$text, after $s->{last}");
    }

    @$s{qw(epoch last)} = @$e{qw(epoch seq)};
    $seen->{ $e->{body} } = $e->{seq};
    $s->{got}{ $e->{body} } = 1;
    $s->{max} = $item->{began} if $item->{began} > ($s->{max} || 0);
}

# What it followed has no hole: numbers say so up to the last. At the very end
# it has all there is, and all that was posted since it was told.
sub _settle {
    my ($self, $client, $room, $s, $all) = @_;
    return if !$s->{got} || !defined $s->{since};
    my $who = "client $client->{name}, room $room";
    my $head = $self->{number}{"$room $s->{epoch}"} || 0;
    my @missing = grep { !$s->{got}{ $_->{body} } && !$_->{free} }
        $self->_owed("room $room", $s->{since}, $all ? $never : $s->{max});

    if (@missing) {
        $self->_found(untold => "$who: " . _bodies(@missing));
    } elsif ($all && $head > $s->{last}) {
        $self->_found(untold => "$who: $s->{epoch} goes on after $s->{last}, "
            . "to $head");
    }
}

# ---- one order for all -------------------------------------------------------

# What each one saw next to each other are the steps of one order, if there is
# one: taking off what nothing precedes leaves nothing.
sub _orders {
    my ($self) = @_;

    for my $order (sort keys %{ $self->{runs} }) {
        my $runs = $self->{runs}{$order};
        my (%next, %before);

        for my $run (map { $_->[1] } @$runs) {
            $before{$_} ||= 0 for @$run;
            for my $i (1 .. $#$run) {
                my ($one, $two) = @$run[$i - 1, $i];
                $before{$two}++ if $one ne $two && !$next{$one}{$two}++;
            }
        }
        my @free = grep { !$before{$_} } keys %before;
        while (defined(my $body = pop @free)) {
            delete $before{$body};
            for (keys %{ $next{$body} || {} }) {
                push @free, $_ if --$before{$_} == 0;
            }
        }
        $self->_found('order differs', "$order: "
            . _differs(\%before, @$runs)) if %before;
    }
}

# two that differ, in words
sub _differs {
    my ($left, @runs) = @_;
    my %at;     # body => where it is first in each run

    for my $r (0 .. $#runs) {
        my @run = grep { exists $left->{$_} } @{ $runs[$r][1] };
        exists $at{ $run[$_] }{$r} or $at{ $run[$_] }{$r} = $_ for 0 .. $#run;
    }
    for my $r (0 .. $#runs) {
        my @run = grep { exists $left->{$_} } @{ $runs[$r][1] };
        for my $i (1 .. $#run) {
            my ($one, $two) = @run[$i - 1, $i];
            for my $other (sort { $a <=> $b } keys %{ $at{$one} }) {
                next if !defined $at{$two}{$other}
                    || $at{$one}{$other} <= $at{$two}{$other};
                return "\"$one\", \"$two\": $runs[$r][0]; the other way: "
                    . $runs[$other][0];
            }
        }
    }
    return 'no one order of ' . _bodies(map { { body => $_ } }
        sort keys %$left);
}

1;
