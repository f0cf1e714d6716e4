# The checker of messages between people: a right history, and for each rule the
# same history with one thing wrong in it, which it has to name.

# ASAN: no

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::TalkCheck qw(check_talk);
use Goim::Test;

# Two users and a group that 3 leaves and joins again; each item is in the inboxes
# of its members, behind a cursor that was replaced (2) and one that was not.
sub history {
    my (@items, @inbox, %seq, %n, %of, %in);
    my @talk = (['p1.2', 1, 'a', 'msg', 'A'], ['g1.t', 1, 'c', 'create',
        '{"mids":[2,3]}'], ['p1.2', 2, 'b', 'msg', 'B'], ['g1.t', 2, 'd', 'msg',
        'D'], ['g1.t', 3, 'l', 'remove', '{"mids":[3]}'], ['g1.t', 1, 'e', 'msg',
        'E'], ['g1.t', 3, 'j', 'join', '{}'], ['p1.2', 1, 'f', 'msg', 'F']);

    for (@talk) {
        my %m;
        @m{qw(conv mid id kind body)} = @$_;
        $m{seq} = ++$n{ $m{conv} };
        $m{n} = $of{ $m{conv} } += $m{kind} eq 'msg';
        push @items, \%m;
        $in{ $m{conv} } ||= { 1 => 1, 2 => 1,
            $m{conv} eq 'g1.t' ? (3 => 1) : () };
        $in{ $m{conv} }{3} = 1 if $m{kind} eq 'join';
        push @inbox, { mid => $_, seq => ++$seq{$_}, conv => $m{conv},
            cseq => $m{seq}, key => '' } for sort keys %{ $in{ $m{conv} } };
        delete $in{ $m{conv} }{3} if $m{kind} eq 'remove';
        $seq{2}++ if $m{id} eq 'a';
        push @inbox, { mid => 2, seq => ++$seq{2}, conv => 'p1.2', cseq => 0,
            key => 'read' } if $m{id} eq 'e';
        push @inbox, { mid => 2, seq => ++$seq{2}, conv => 'p1.2', cseq => 0,
            key => 'conv' } if $m{id} eq 'j';
    }

    my %at = map { ("$_->{conv} $_->{seq}" => $_) } @items;
    my %state = (read => { conv => 'p1.2', kind => 'read', read => 2,
        read_n => 2 }, conv => { conv => 'p1.2', kind => 'conv', ext => 7 });
    my @devices = map { my ($name, $mid, $from) = @$_;
        { name => $name, mid => $mid, events => [{ told => { epoch => 'x',
            seq => $from } }, map { my $e = $_; {
            seq => $e->{seq}, item => $e->{key} ? { %{ $state{ $e->{key} } } }
            : { %{ $at{"$e->{conv} $e->{cseq}"} } } } }
            grep { $_->{mid} == $mid && $_->{seq} > $from } @inbox] }
        } ['1-a', 1, 0], ['1-b', 1, 0], ['2-a', 2, 0], ['2-new', 2, 4],
            ['3-a', 3, 0];
    splice @{ $devices[2]{events} }, 2, 0, { told => { epoch => 'x',
        seq => 2 } };

    my @members = map { { conv => $_->[0], mid => $_->[1], read => $_->[2],
        read_n => $_->[3], ext => $_->[4] } } ['p1.2', 1, 3, 3, 'null'],
        ['p1.2', 2, 2, 2, '7'], ['g1.t', 1, 4, 2, 'null'],
        ['g1.t', 2, 2, 1, 'null'], ['g1.t', 3, 0, 0, 'null'];
    return {
        accepted => [map { { %$_, bodies => [$_->{body}, 'again'] } }
            grep { $_->{kind} eq 'msg' } @items],
        refused => [{ conv => 'g1.t', mid => 3, id => 'r' }],
        messages => \@items, inbox => \@inbox, members => \@members,
        views => [map { my $m = $_; { mid => $m->{mid}, conv => $m->{conv},
            items => [map { { %$_ } } grep { $_->{conv} eq $m->{conv} }
            @items] } } @members],
        convs => [map { { %$_, n => $of{ $_->{conv} } } } @members],
        polls => [map { { mid => 2, conv => 'p1.2', read => $_ } } 0, 1, 2],
        devices => \@devices,
    };
}

sub found {
    my ($h) = @_;
    my %what = map { $_->{what} => $_->{text} } check_talk($h);
    return join ', ', sort keys %what;
}

# events of a device's items; the device
sub device { return (grep { $_->{name} eq $_[1] } @{ $_[0]{devices} })[0] }

sub event {
    my ($h, $name, $id) = @_;
    my $events = device($h, $name)->{events};
    my ($i) = grep { $events->[$_]{item} && ($events->[$_]{item}{id}
        || $events->[$_]{item}{kind}) eq $id } 0 .. $#$events;
    return ($events, $i);
}

# a message of which nobody else has anything
sub more {
    my ($h, %m) = @_;
    push @{ $h->{messages} }, { conv => 'p1.2', seq => 4, n => 4, mid => 1,
        id => 'z', kind => 'msg', body => 'Z', %m };
}

is(found(history()), '', 'a right history');

my @wrong = (
    # what is stored, and what was said of it
    ['lost', 'accepted, and not stored', sub { push @{ $_->{accepted} },
        { conv => 'p1.2', seq => 4, mid => 1, id => 'q', bodies => ['Q'] } }],
    ['lost', 'accepted, and something else is there',
        sub { $_->{accepted}[0]{bodies} = ['other'] }],
    ['two answers', 'a repeat has another number', sub { push
        @{ $_->{accepted} }, { %{ $_->{accepted}[0] }, seq => 2 } }],
    ['repeated', 'stored twice', sub { more($_, id => 'a', body => 'A') }],
    ['hole', 'a number is missing', sub { more($_, seq => 5) }],
    ['hole', 'a message counts twice', sub { more($_, n => 5) }],
    ['refused', 'refused, and stored', sub { more($_, conv => 'g1.t', seq => 6,
        n => 3, mid => 3, id => 'r') }],

    # inboxes
    ['lost', 'not in an inbox', sub { @{ $_->{inbox} } = grep {
        $_->{mid} != 1 || $_->{seq} != 3 } @{ $_->{inbox} } }],
    ['repeated', 'in an inbox twice', sub { push @{ $_->{inbox} },
        { mid => 1, seq => 99, conv => 'p1.2', cseq => 1, key => '' } }],
    ['repeated', 'a cursor in an inbox twice', sub { push @{ $_->{inbox} },
        { mid => 2, seq => 99, conv => 'p1.2', cseq => 0, key => 'read' } }],
    ['reordered', 'an inbox out of order', sub { my ($a, $b) = grep {
        $_->{mid} == 1 && $_->{conv} eq 'p1.2' } @{ $_->{inbox} };
        @$a{'seq'} = delete @$b{'seq'}; $b->{seq} = 0 }],
    ['stray', 'in the inbox of one who had left', sub { push @{ $_->{inbox} },
        { mid => 3, seq => 99, conv => 'g1.t', cseq => 4, key => '' } }],

    # pages
    ['lost', 'a page lacks one', sub { splice @{ $_->{views}[0]{items} }, 1,
        1 }],
    ['lost', 'a page ends early', sub { pop @{ $_->{views}[0]{items} } }],
    ['repeated', 'a page has one twice', sub { my $v = $_->{views}[0]{items};
        splice @$v, 1, 0, $v->[0] }],
    ['reordered', 'a page out of order', sub { my $v = $_->{views}[0]{items};
        @$v = reverse @$v }],
    ['not stored', 'a page has what is not stored',
        sub { $_->{views}[0]{items}[1]{body} = 'other' }],
    ['order differs', 'two pages differ', sub { my $v = $_->{views}[0]{items};
        @{ $v->[0] }{qw(mid id body)} = @{ $v->[1] }{qw(mid id body)} }],

    # devices
    ['lost', 'a device lacks one', sub { my ($e, $i) = event($_, '1-a', 'b');
        splice @$e, $i, 1, { told => { epoch => 'x', seq => 3 } } }],
    ['lost', 'a device lacks the last', sub { pop @{ device($_, '1-a')
        ->{events} } }],
    ['lost', 'a device lacks a cursor', sub { my ($e, $i) = event($_, '2-new',
        'read'); splice @$e, $i, 1, { told => { epoch => 'x',
        seq => $e->[$i]{seq} } } }],
    ['untold', 'a gap that it is not told of', sub { my ($e, $i) = event($_,
        '1-a', 'b'); splice @$e, $i, 1 }],
    ['untold', 'items before it knows where it is',
        sub { shift @{ device($_, '1-a')->{events} } }],
    ['repeated', 'one again', sub { my ($e, $i) = event($_, '1-a', 'b');
        splice @$e, $i + 1, 0, $e->[$i] }],
    ['repeated', 'one again with another number', sub { push
        @{ device($_, '1-a')->{events} }, { seq => 9, item => { %{
        (event($_, '1-a', 'a'))[0][1]{item} } } } }],
    ['back', 'two change places', sub { my ($e, $i) = event($_, '1-a', 'b');
        @$e[$i, $i + 1] = @$e[$i + 1, $i] }],
    ['reordered', 'a conversation out of order', sub {
        my ($e, $i) = event($_, '1-a', 'a');
        my (undef, $k) = event($_, '1-a', 'b');
        ($e->[$i]{item}, $e->[$k]{item}) = ($e->[$k]{item}, $e->[$i]{item}) }],
    ['order differs', 'two devices see two orders', sub {
        my ($e, $i) = event($_, '1-b', 'a');
        my (undef, $k) = event($_, '1-b', 'b');
        my @was = map { { %{ $e->[$_]{item} } } } $i, $k;
        @{ $e->[$i]{item} }{qw(mid id body)} = @{ $was[1] }{qw(mid id body)};
        @{ $e->[$k]{item} }{qw(mid id body)} = @{ $was[0] }{qw(mid id body)} }],
    ['not stored', 'seen, and not stored', sub { push @{ device($_, '1-a')
        ->{events} }, { seq => 9, item => { conv => 'p1.2', seq => 4, n => 4,
        mid => 2, id => 'z', kind => 'msg', body => 'Z' } } }],
    ['not stored', 'seen with another text', sub {
        (event($_, '1-a', 'b'))[0][3]{item}{body} = 'other' }],
    ['back', 'told a position before its own', sub { push
        @{ device($_, '1-a')->{events} }, { told => { epoch => 'x',
        seq => 2 } } }],
    ['told for nothing', 'told of a loss', sub { push @{ device($_, '1-a')
        ->{events} }, { told => { epoch => 'x', seq => 8,
        recovered => JSON::PP::false } } }],
    ['told for nothing', 'another epoch', sub { push @{ device($_, '1-a')
        ->{events} }, { told => { epoch => 'y', seq => 8 } } }],
    ['setting', 'the last setting is another', sub {
        $_->{members}[1]{ext} = '8' }],

    # cursors
    ['cursor back', 'a device sees one go back', sub {
        my ($e, $i) = event($_, '2-a', 'read'); splice @$e, $i + 1, 0,
        { told => { epoch => 'x', seq => $e->[$i]{seq} } }, { seq =>
        $e->[$i]{seq} + 1, item => { conv => 'p1.2', kind => 'read', read => 1,
        read_n => 1 } } }],
    ['cursor back', 'it is smaller in the end', sub {
        @{ $_->{members}[1] }{qw(read read_n)} = (1, 1) }],
    ['cursor back', 'somebody who asks sees one go back', sub {
        @{ $_->{polls} } = reverse @{ $_->{polls} } }],
    ['unread', 'a wrong number of what was read', sub {
        $_->{members}[2]{read_n} = 3 }],
    ['unread', 'a wrong number of what is unread', sub {
        $_->{convs}[1]{n} = 4 }],
);

for my $row (@wrong) {
    my ($what, $name, $change) = @$row;
    my $h = history();
    $change->() for $h;
    like(found($h), qr/\b$what\b/, "$name: $what");
}

# ---- a database that went back -----------------------------------------------

# "z" is accepted and seen, and then gone; the device begins anew
sub restored {
    my ($at, %more) = @_;
    my $h = history();
    my $events = device($h, '1-a')->{events};
    push @{ $h->{accepted} }, { conv => 'p1.2', seq => 4, mid => 2, id => 'z',
        bodies => ['Z'], at => $at };
    unshift @$events, { told => { epoch => 'old', seq => 6 } }, { seq => 7,
        at => $at, item => { conv => 'p1.2', seq => 4, n => 4, mid => 2,
        id => 'z', kind => 'msg', body => 'Z' } };
    return { %$h, restored => [[10, 12]], gone => [[10, 12]], %more };
}

is(found(restored(11)), '', 'lost by a copy that was restored: nothing is wrong');
is(found(restored(11, gone => [])), 'lost, not stored',
    'where the bus has it all, it is');
is(found(restored(9)), 'lost, not stored', 'so it is from before the copy');
like(found(restored(11, restored => [])), qr/told for nothing/,
    'and a new epoch without one');

my %named = map { $_->[0] => 1 } @wrong;
my ($words) = slurp('t/lib/Goim/TalkCheck.pm') =~ /# The words: (.*?)\.\n/s;
is(join(', ', sort keys %named), join(', ', sort split /,\s+(?:# )?|,\n# /,
    $words =~ s/\n# / /gr), 'each word is here');

done_testing;
