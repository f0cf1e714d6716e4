# Judges a history of messages between people: what senders were told, what is
# stored, and what each device saw.
#
#     my @findings = check_talk({ ... });       # { what, text } each; none: right
#
# accepted => [{ mid, id, conv, seq, bodies }]: each answer of code 0, also to what
#             was sent again; bodies: all that were sent with that id
# refused  => [{ mid, id, conv }]: what got nothing but refusals
# messages => [{ conv, seq, n, mid, id, kind, body }], inbox => [{ mid, seq, conv,
#             cseq, key }], members => [{ conv, mid, read, read_n, ext }]: tables
# views    => [{ mid, conv, items => [...] }]: pages of history as a member gets it
# convs    => [{ mid, conv, n, read_n, read }]: conversations as members get them
# polls    => the same by time, of those who never left
# devices  => [{ name, mid, events }], each { told => { epoch, seq, recovered } } or
#             { seq, item }
# restored => [[from, to]]: when the database was copied, and was that copy again: a
#             new epoch. gone => [[from, to]]: what was accepted, or seen then may be
#             gone; by the `at` of each
#
# The words: lost, repeated, hole, two answers, refused, order differs, reordered,
# not stored, stray, back, untold, told for nothing, cursor back, unread, setting.

package Goim::TalkCheck;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(check_talk);

my $json = JSON::PP->new->canonical->allow_nonref;

sub check_talk {
    my ($history) = @_;
    my $self = bless { %$history, findings => [], at => {}, said => {} },
        __PACKAGE__;

    $self->_stored;
    $self->_answers;
    $self->_pointers;
    $self->_view($_) for @{ $self->{views} || [] };
    $self->_device($_) for @{ $self->{devices} || [] };
    $self->_orders;
    $self->_unread;
    return @{ $self->{findings} };
}

sub _gone {
    my ($self, $at) = @_;
    return scalar grep { defined $at && $at >= $_->[0] && $at <= $_->[1] }
        @{ $self->{gone} || [] };
}

sub _found {
    my ($self, $what, $text) = @_;
    push @{ $self->{findings} }, { what => $what, text => $text };
    return;
}

# what an item is, but for its place
sub _item { return $json->encode([map { "$_" } @{ $_[0] }{qw(mid id kind body)}]) }

# ---- what is stored ----------------------------------------------------------

# at: { conv => [items by seq] }
sub _stored {
    my ($self) = @_;
    my %once;

    for my $m (sort { $a->{seq} <=> $b->{seq} } @{ $self->{messages} }) {
        $self->_found(repeated => "$m->{conv}: $m->{id} of $m->{mid} is stored "
            . "as $once{$m->{conv}}{$m->{mid}}{$m->{id}} and as $m->{seq}")
            if $once{ $m->{conv} }{ $m->{mid} }{ $m->{id} };
        $once{ $m->{conv} }{ $m->{mid} }{ $m->{id} } = $m->{seq};

        my $at = $self->{at}{ $m->{conv} } ||= [undef];
        my $n = ($at->[-1] ? $at->[-1]{n} : 0) + ($m->{kind} eq 'msg');
        $self->_found(hole => "$m->{conv} $m->{seq} (n $m->{n}), of "
            . (@$at - 1) . ' before it, and ' . ($n - ($m->{kind} eq 'msg'))
            . ' messages') if $m->{seq} != @$at || $m->{n} != $n;
        push @$at, $m;
    }
    $self->{once} = \%once;
}

sub _answers {
    my ($self) = @_;
    my %seq;

    for my $a (@{ $self->{accepted} || [] }) {
        my $who = "$a->{conv}: $a->{id} of $a->{mid}";
        next if $self->_gone($a->{at});
        my $first = $seq{$who} ||= $a->{seq};
        $self->_found('two answers', "$who: $first and $a->{seq}")
            if $first != $a->{seq};

        my $m = $self->_at($a->{conv}, $a->{seq});
        if (!$m || $m->{mid} != $a->{mid} || $m->{id} ne $a->{id}
            || !grep { $_ eq $m->{body} } @{ $a->{bodies} })
        {
            $self->_found(lost => "$who, which was said to be $a->{seq}");
        }
    }
    for my $r (@{ $self->{refused} || [] }) {
        my $seq = $self->{once}{ $r->{conv} }{ $r->{mid} }{ $r->{id} } or next;
        $self->_found(refused => "$r->{conv} $seq: $r->{id} of $r->{mid}");
    }
}

sub _at {
    my ($self, $conv, $seq) = @_;
    my $at = $self->{at}{$conv};
    return $at && $seq > 0 ? $at->[$seq] : undef;
}

# ---- inboxes -----------------------------------------------------------------

# who has each item to have in the inbox: the members before it and behind it
sub _owed {
    my ($self) = @_;
    my %owed;       # mid => { "conv seq" }

    for my $conv (keys %{ $self->{at} }) {
        my %in = $conv =~ /^p(\d+)\.(\d+)$/ ? ($1 => 1, $2 => 1) : ();
        for my $m (grep { $_ } @{ $self->{at}{$conv} }) {
            my @mids = $m->{kind} =~ /^(?:create|add|remove)$/
                ? @{ $json->decode($m->{body})->{mids} || [] } : ();
            $in{$_} = 1 for $m->{kind} eq 'remove' ? () : @mids;
            $in{ $m->{mid} } = 1 if $m->{kind} =~ /^(?:create|join)$/;
            $owed{$_}{"$conv $m->{seq}"} = 1 for keys %in;
            delete @in{@mids} if $m->{kind} eq 'remove';
        }
    }
    return \%owed;
}

# in: { mid => { seq => entry } }
sub _pointers {
    my ($self) = @_;
    my (%had, %last);
    my $owed = $self->_owed;

    for my $e (sort { $a->{seq} <=> $b->{seq} } @{ $self->{inbox} }) {
        my $who = "inbox of $e->{mid}, $e->{seq}";
        my $key = $e->{key} ? "$e->{key} $e->{conv}" : "$e->{conv} $e->{cseq}";
        $self->_found(repeated => "$who: $key, as $had{$e->{mid}}{$key}")
            if $had{ $e->{mid} }{$key};
        $had{ $e->{mid} }{$key} = $e->{seq};
        $self->{in}{ $e->{mid} }{ $e->{seq} } = $e;
        next if $e->{key};

        my $last = \$last{ $e->{mid} }{ $e->{conv} };
        $self->_found(reordered => "$who: $key, after $$last")
            if $$last && $$last > $e->{cseq};
        $$last = $e->{cseq};
        $self->_found(stray => "$who: $key")
            if !delete $owed->{ $e->{mid} }{$key};
    }
    for my $mid (sort keys %$owed) {
        my @lacks = sort keys %{ $owed->{$mid} };
        $self->_found(lost => "inbox of $mid: @lacks") if @lacks;
    }
}

# ---- what was seen -----------------------------------------------------------

# an item that somebody has seen
sub _saw {
    my ($self, $who, $item) = @_;
    my ($conv, $seq) = @$item{qw(conv seq)};
    my $is = _item($item);
    my $m = $self->_at($conv, $seq);

    $self->{said}{"$conv $seq"}{$is} ||= $who;
    $self->_found('not stored', "$who: $conv $seq, $is")
        if !$m || _item($m) ne $is || $m->{n} != $item->{n};
}

sub _orders {
    my ($self) = @_;
    for my $place (sort keys %{ $self->{said} }) {
        my $said = $self->{said}{$place};
        my @is = sort keys %$said;
        $self->_found('order differs', "$place: " . join '; ',
            map { "$_ to $said->{$_}" } @is) if @is > 1;
    }
}

sub _view {
    my ($self, $view) = @_;
    my $who = "history of $view->{conv} for $view->{mid}";
    my $last = 0;

    for my $item (@{ $view->{items} }) {
        my $seq = $item->{seq};
        $self->_found($seq == $last ? 'repeated' : $seq < $last ? 'reordered'
            : 'lost', "$who: $seq after $last") if $seq != $last + 1;
        $self->_saw($who, { %$item, conv => $view->{conv} });
        $last = $seq;
    }
    my $head = $#{ $self->{at}{ $view->{conv} } || [undef] };
    $self->_found(lost => "$who: ends with $last of $head") if $last < $head;
}

# when its last epoch begins: the index of the event
sub _last_epoch {
    my ($d) = @_;
    my ($epoch, $last) = ('', 0);
    for my $i (0 .. $#{ $d->{events} }) {
        my $told = $d->{events}[$i]{told} or next;
        $last = $i if $told->{epoch} ne $epoch;
        $epoch = $told->{epoch};
    }
    return $last;
}

# All from where it began: each number behind the one before, or behind where it
# was told that it is.
sub _device {
    my ($self, $d) = @_;
    my (%has, %item, %last, %read, %own, $from, %epochs);
    my $at = { epoch => '', seq => undef };
    my $newest = _last_epoch($d);

    for my $i (0 .. $#{ $d->{events} }) {
        my $e = $d->{events}[$i];
        if (my $told = $e->{told}) {
            my $text = "$d->{name}: told $told->{seq}, has "
                . ($at->{seq} // 'nothing');
            if (!defined $at->{seq}) {
                $from = $told->{seq};
            } elsif (!$epochs{ $told->{epoch} }
                && keys %epochs <= @{ $self->{restored} || [] })
            {
                $from = $told->{seq};
                (%has, %item, %last, %read, %own) = ();
            } elsif (exists $told->{recovered} && !$told->{recovered}
                || $told->{epoch} ne $at->{epoch})
            {
                $self->_found('told for nothing', $text);
            } elsif ($told->{seq} < $at->{seq}) {
                $self->_found(back => $text);
            }
            $at = { %$told };
            $epochs{ $told->{epoch} } = 1;
            next;
        }

        my ($seq, $item) = @$e{qw(seq item)};
        my $text = "$d->{name}: $seq after " . ($at->{seq} // 'nothing');
        if (!defined $at->{seq}) {
            $self->_found(untold => $text);
            $from = $seq - 1;
        } elsif ($has{$seq}) {
            $self->_found(repeated => $text);
        } elsif ($seq <= $at->{seq}) {
            $self->_found(back => $text);
        } elsif ($seq > $at->{seq} + 1) {
            $self->_found(untold => $text);
        }
        $at->{seq} = $seq;
        $has{$seq} = $item;

        my $conv = $item->{conv};
        if ($item->{kind} eq 'read' && !$item->{seq}) {
            $self->_found('cursor back', "$d->{name}, $conv: $item->{read} "
                . "after $read{$conv}") if $item->{read} < ($read{$conv} || 0);
            $read{$conv} = $item->{read};
        } elsif ($item->{kind} eq 'conv' && !$item->{seq}) {
            $own{$conv} = $item;
        } else {
            my $before = $last{$conv} || 0;
            $self->_found($item{"$conv $item->{seq}"}++ ? 'repeated'
                : 'reordered', "$d->{name}, $conv: $item->{seq} after $before")
                if $item->{seq} <= $before;
            $item{"$conv $item->{seq}"} = 1;
            $last{$conv} = $item->{seq};
            $self->_saw($d->{name}, $item)
                if $i >= $newest || !$self->_gone($e->{at});
            next if $i < $newest;

            my $in = $self->{in}{ $d->{mid} }{$seq};
            $self->_found('not stored', "$d->{name}: $seq is not $conv "
                . $item->{seq}) if !$in || $in->{conv} ne $conv || $in->{key}
                || $in->{cseq} != $item->{seq};
        }
    }

    my @lacks = grep { $_ > ($from // 0) && !$has{$_} }
        sort { $a <=> $b } keys %{ $self->{in}{ $d->{mid} } || {} };
    $self->_found(lost => "$d->{name}: @lacks") if @lacks;
    $self->_settings($d, \%own, \%read);
}

# the newest that it was told is what is
sub _settings {
    my ($self, $d, $own, $read) = @_;
    for my $m (grep { $_->{mid} == $d->{mid} } @{ $self->{members} }) {
        my $conv = $m->{conv};
        $self->_found(setting => "$d->{name}, $conv: has "
            . $json->encode($own->{$conv}{ext}) . ", not $m->{ext}")
            if $own->{$conv} && $m->{ext} ne $json->encode($own->{$conv}{ext});
        $self->_found('cursor back', "$d->{name}, $conv: $read->{$conv}, and "
            . "$m->{read} in the end") if ($read->{$conv} || 0) > $m->{read};
    }
}

# a copy was restored
sub _between {
    my ($self, $one, $two) = @_;
    return scalar grep { $one <= $_->[1] && $two >= $_->[0] }
        @{ $self->{restored} || [] };
}

# ---- cursors -----------------------------------------------------------------

sub _unread {
    my ($self) = @_;
    my %read;

    for my $m (@{ $self->{members} }) {
        my @items = grep { $_ } @{ $self->{at}{ $m->{conv} } || [] };
        my $n = grep { $_->{kind} eq 'msg' && $_->{seq} <= $m->{read} } @items;
        $self->_found(unread => "$m->{conv} of $m->{mid}: up to $m->{read} "
            . "there are $n, not $m->{read_n}") if $n != $m->{read_n};
        $read{"$m->{conv} $m->{mid}"} = $m->{read};
    }
    for my $c (@{ $self->{convs} || [] }) {
        my @items = grep { $_ } @{ $self->{at}{ $c->{conv} } || [] };
        my $n = grep { $_->{kind} eq 'msg' && $_->{seq} > $c->{read} } @items;
        $self->_found(unread => "$c->{conv} of $c->{mid}: $n, not "
            . ($c->{n} - $c->{read_n})) if $n != $c->{n} - $c->{read_n};
    }

    my %had;
    for my $p (@{ $self->{polls} || [] }) {
        my $who = "$p->{conv} $p->{mid}";
        my $had = \$had{ $p->{by} // '' }{$who};
        $$had = undef if $$had && $self->_between($$had->{at}, $p->{at});
        $self->_found('cursor back', "$who: $p->{read} after $$had->{read}")
            if $$had && $p->{read} < $$had->{read};
        $$had = $p;
        $self->_found('cursor back', "$who: $p->{read}, and $read{$who} in "
            . 'the end') if exists $read{$who} && $p->{read} > $read{$who}
            && !$self->_gone($p->{at});
    }
}

1;
