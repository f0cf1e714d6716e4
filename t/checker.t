# The checker of what clients saw: a made-up history for each defect, and its
# neighbour that is none; then histories drawn at random, right ones, and the
# same with one defect put into them.
#
#     GOIM_SEED=7 GOIM_ROUNDS=500 prove -v t/checker.t

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Checker qw(check);
use Goim::Test;

my $room = 'live://1';

# ---- made-up histories: words ------------------------------------------------

# posts to the room, a second each, "a" at 10 to 10.5, "b" at 11, ...
sub posts {
    my ($bodies, %change) = @_;
    my $at = 9;
    return [map { $at++; { began => $at, answered => $at + 0.5,
        kind => 'room', to => $room, body => $_, code => 0,
        %{ $change{$_} || {} } } } split //, $bodies];
}

# What a client saw, in words: "a" a body, "a:E3" with a number, "+" it comes,
# "+E3" and says a position, "/" it leaves, ">live://2" or ">live://2+E3"
# changes room, "@E3" it is told a position, "@E3!1" with recovered: false and
# the oldest kept, "@E3*" recovered: true, "@-" null, "=1012" is closed, "=tcp" by
# TCP, "=end" stopped. Each takes a second, from 9 on; "~15" goes to that time.
sub saw {
    my ($words, %client) = @_;
    my ($at, @list) = (8);

    for (split / /, $words) {
        $at++;
        my $events = @list ? $list[-1]{events} : undef;
        if (/^~(\d+)$/) {
            $at = $1 - 1;
        } elsif (/^\+(?:(\w)(\d+))?$/) {
            push @list, { came => $at, code => 0, end => 'left',
                ended => 9e9, events => [{ at => $at, join => $room,
                $1 ? (said => { epoch => $1, seq => $2 }) : () }] };
        } elsif (/^>([^+]*)(?:\+(\w)(\d+))?$/) {
            push @$events, { at => $at, join => $1,
                $2 ? (said => { epoch => $2, seq => $3 }) : () };
        } elsif (/^=(\w+)$/) {
            my $how = $1;
            @{ $list[-1] }{qw(ended end tcp code)} = ($at,
                $how eq 'end' ? 'stopped' : 'closed', $how eq 'tcp',
                $how =~ /^\d/ ? $how : 0);
        } elsif (/^@-$/) {
            push @$events, { at => $at, told => { $room => undef } };
        } elsif (/^@(\w)(\d+)(?:(!)(\d+)|(\*))?$/) {
            push @$events, { at => $at, told => { $room => { epoch => $1,
                seq => $2, first => $4 || 1,
                $3 || $5 ? (recovered => $5 ? 1 : 0) : () } } };
        } elsif (/^(\w)(?::(\w)(\d+))?$/) {
            push @$events, { at => $at, body => $1,
                defined $2 ? (epoch => $2, seq => $3) : () };
        } elsif ($_ ne '/') {
            die "what is $_?";
        }
    }
    return { name => 1, key => 'k', mid => 7, connections => \@list,
        recovers => $words =~ /@/ ? 1 : 0, %client };
}

# "what, what" that is found; '' nothing
sub found {
    my ($posts, $clients, %arg) = @_;
    my %what = map { $_->{what} => 1 }
        check($posts, ref $clients eq 'ARRAY' ? $clients : [$clients], %arg);
    return join ', ', sort keys %what;
}

sub two { return [map { saw($_[$_], name => $_ + 1, key => "k$_") } 0, 1] }

# ---- a connection ------------------------------------------------------------

subtest 'missing' => sub {
    my $abc = posts('abc');
    is(found($abc, saw('+ a b c =end')), '', 'it has all');
    is(found($abc, saw('+ a c =end')), 'missing', 'not one in the middle');
    is(found($abc, saw('+ a b =end')), 'missing', 'not the last');
    is(found($abc, saw('+ ~20 =end')), 'missing', 'nothing');
    is(found($abc, saw('~11 + b c =end')), '', 'it came late');
    is(found($abc, saw('~11 + c =end')), 'missing', 'but before b');
    is(found($abc, saw('+ a b /')), '', 'it left early');
    is(found($abc, saw('+ a c /')), 'missing', 'it left, with a hole');
    is(found($abc, saw('+ a =1001')), '', 'it was closed before');
    is(found($abc, saw('+ a c =1001')), 'missing', 'it was closed, a hole');
    is(found($abc, saw('+ a c =1012')), '', 'one that was cut off may');
    is(found($abc, saw('+ a c =tcp')), '', 'over TCP as well');
    is(found($abc, saw('+ a c ~90 =1012')), 'missing', 'not long before');
    is(found(posts('abc', b => { code => -504 }), saw('+ a c =end')), '',
        '-504 need not come');
    is(found(posts('abc', b => { code => undef }), saw('+ a c =end')), '',
        'nor what had no answer');
    is(found([@{ posts('abc', b => { code => -504 }) },
        { began => 20, answered => 21, kind => 'room', to => $room, code => 0,
        body => 'b' }], saw('+ a c =end')), 'missing',
        'but if its repeat was accepted');
    my $hole = saw('+ a c =end');
    is(found($abc, $hole, gone => [[11, 12]]), '', 'it may have got lost');
    is(found($abc, $hole, gone => [[9, 11], [12, 20]]), 'missing',
        'but not then');
    is(found(posts('abc', b => { answered => 12.2 }), saw('+ a c /')), '',
        'it left before what was posted at once');
    is(found(posts('abc', b => { history => 0 }), saw('+ a c /')), '',
        'it left before what has no order');
    is(found(posts('abc', b => { history => 0 }), saw('+ a c =end')),
        'missing', 'which comes all the same');
    is(found($abc, saw('+ a b >live://2 =end')), '', 'it changed room');
    is(found($abc, saw('+ a c >live://2 =end')), 'missing', 'with a hole');
};

subtest 'missing: every kind' => sub {
    my $wrong = saw('+ a =end');
    for (['keys', ['k', 'j']], ['mids', [7, 8]], ['all', undef]) {
        my $posts = posts('ab', b => { kind => $_->[0], to => $_->[1] });
        is(found($posts, $wrong), 'missing', "$_->[0]");
        is(found($posts, saw('+ a b =end')), '', "$_->[0] came");
    }
    is(found(posts('ab', b => { kind => 'keys', to => ['j'] }), $wrong), '',
        'not for another key');
    is(found(posts('ab', b => { to => 'live://2' }), $wrong), '',
        'nor another room');
};

subtest 'repeated' => sub {
    my $unsure = posts('abc', b => { code => -504 });
    is(found(posts('abc'), saw('+ a b c b =end')), 'repeated',
        'again, later');
    is(found(posts('abc'), saw('+ a b c c =end')), 'repeated', 'at once');
    is(found($unsure, saw('+ a b c =end')), '', '-504 once');
    is(found($unsure, saw('+ a b b c =end')), 'repeated', '-504 twice');
    is(found(posts('abc'), saw('~9 + a b =1001 ~11 + b c =end')), '',
        'on another connection it may');
};

subtest 'disordered' => sub {
    is(found(posts('abc'), saw('+ a c b =end')), 'disordered', 'c, b');
    is(found(posts('abc', b => { answered => 12.2 }), saw('+ a c b =end')),
        '', 'not if they were posted at once');
    is(found(posts('abc', b => { history => 0 }), saw('+ a c b =end')), '',
        'nor past the history');
    is(found(posts('ab', b => { kind => 'keys', to => ['k'] }),
        saw('+ b a =end')), '', 'nor of another kind');
    is(found(posts('ab', a => { kind => 'keys', to => ['k'] },
        b => { kind => 'keys', to => ['k'] }), saw('+ b a =end')),
        'disordered', 'to a key');
    is(found(posts('ab', map { $_ => { kind => 'all' } } 'a', 'b'),
        saw('+ b a =end')), 'disordered', 'to all');
    is(found(posts('ab', a => { kind => 'all', op => 1 },
        b => { kind => 'all', op => 2 }), saw('+ b a =end')), '',
        'not with two operations');
};

subtest 'order differs' => sub {
    my %once = map { $_ => { began => 10, answered => 20 } } 'a' .. 'c';
    my $posts = posts('abc', %once);
    is(found($posts, two('+ a b c =end', '+ a b c =end')), '', 'the same');
    is(found($posts, two('+ a b c =end', '+ a c b =end')), 'order differs',
        'another');
    is(found($posts, [map { saw($_, name => $_) } '+ a b /', '+ b c /',
        '+ c a /']), 'order differs', 'in a ring of three');
    $once{$_}{code} = -504 for 'a', 'b';
    is(found(posts('abc', %once), two('+ a b c =end', '+ b a c =end')),
        'order differs', 'of what was not certain');
};

subtest 'refused, stray' => sub {
    is(found(posts('abc', b => { code => -500 }), saw('+ a c =end')), '',
        '-500 does not come');
    is(found(posts('abc', b => { code => -500 }), saw('+ a b c =end')),
        'refused', 'or does');
    is(found(posts('ab'), saw('+ a b x =end')), 'refused', 'of nobody');
    is(found(posts('ab', b => { kind => 'keys', to => ['j'] }),
        saw('+ a b =end')), 'stray', "another's key");
    is(found(posts('ab', b => { to => 'live://2' }), saw('+ a b =end')),
        'stray', 'another room');
    is(found(posts('ab', b => { to => 'live://2' }),
        saw('+ a >live://2 b =end')), '', 'in which it came to be');
};

# ---- clients that recover ----------------------------------------------------

my $abcd = posts('abcd');
my $full = '+ @E0 a:E1 b:E2 c:E3 d:E4 =end';

subtest 'recovering: numbers' => sub {
    is(found($abcd, saw($full)), '', 'all');
    is(found($abcd, two($full, '+ @E0 a:E1 b:E2 d:E3 =end')),
        'twice, two bodies, untold', 'two bodies');
    is(found($abcd, two($full, '+ @E0 a:E1 b:E2 c:E3 c:E4 =1001')),
        'repeated, twice, two bodies', 'an item twice');
    is(found($abcd, saw('+ @E0 a:E1 b:E2 b:E2 c:E3 d:E4 =end')),
        'repeated', 'again');
    is(found(posts('abcd', map { $_ => { answered => 20 } } 'a' .. 'd'),
        saw('+ @E0 a:E1 c:E3 b:E2 d:E4 =end')), 'disordered, untold',
        'numbers go back');
    is(found($abcd, two('+ @E0 a:E1 b:E2 @F1!1 b:F2 c:F3 d:F4 =end',
        '+ @F0 a:F1 b:F2 c:F3 d:F4 =end')), '',
        'again in another epoch, and told');
    is(found($abcd, two('+ @E0 a:E1 b:E2 @F1!1 b:F2 b:F2 c:F3 d:F4 =end',
        '+ @F0 a:F1 b:F2 c:F3 d:F4 =end')), 'repeated', 'twice there');
};

subtest 'untold' => sub {
    is(found($abcd, saw('+ @E0 a:E1 =1001 + +E1 @E1* b:E2 c:E3 d:E4 =end')),
        '', 'it comes back');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E1* b:E2 c:E3 d:E4 =end')),
        '', 'it was away for long');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E1* c:E3 d:E4 =end')),
        'untold', 'a hole');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E2* c:E3 d:E4 =end')),
        'untold', 'put elsewhere as if nothing were');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E2 c:E3 d:E4 =end')),
        'untold', 'not asked');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E1 b:E2 c:E3 d:E4 =end')),
        'untold', 'not asked, though nothing is gone');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 b:E2 c:E3 d:E4 =end')),
        'untold', 'no position when it comes back');
    is(found($abcd, saw('+ @E0 a:E1 b:E2 =1001 ~12 +E1 @E1* b:E2 c:E3 d:E4 '
        . '=end')), '', 'what it asks for again comes again');
    is(found($abcd, saw("+ \@E0 a:E1 b:E2 >$room \@E1 b:E2 c:E3 d:E4 =end")),
        '', 'or on the same connection, when it enters again');
    is(found($abcd, saw("~11 + \@E1 b:E2 c:E3 >$room+E0 \@E0* a:E1 b:E2 c:E3 "
        . 'd:E4 =end')), '', 'also from before where it was');
    is(found($abcd, saw('+ @E0 a:E1 c:E3 d:E4 =end'), gone => [[9, 30]]),
        'untold', 'what has a number does not get lost');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 +E1 @E2!3 c:E3 d:E4 =end')),
        '', 'told');
    is(found($abcd, saw('+ @E0 a:E1 =1001 ~12 + @E2 c:E3 d:E4 =end')), '',
        'it did not ask');
    is(found($abcd, saw('+ @E0 a:E1 c:E3 d:E4 =end')), 'untold', 'live');
    is(found($abcd, saw('+ @E0 a:E1 @E2!3 c:E3 d:E4 =end')), '',
        'live, and told');
    is(found($abcd, saw('+ @E0 a:E1 b:F2 c:F3 d:F4 =end')), 'untold',
        'another epoch');
    is(found($abcd, saw('+ a:E1 b:E2 c:E3 d:E4 =end')), '',
        'numbers to one that does not recover are none of its business');
    is(found($abcd, saw('+ a:E1 b:E2 c:E3 d:E4 =end', recovers => 1)),
        'untold', 'before it is told its position');
    is(found($abcd, saw('+ @E0 a:E1 b:E2 c:E3 =end')), 'untold',
        'not the last');
    is(found($abcd, two('~20 + @E3 =end', $full)), 'untold',
        'not the last, that only another one saw');
    is(found($abcd, two('~20 + @E4 =end', $full)), '', 'there is none');
    is(found($abcd, saw('+ @E0 a:E1 b:E2 c:E3 =1001')), '', 'it is gone');
    is(found($abcd, saw('+ @- a b c d =end')), '', 'no history');
    is(found($abcd, saw('+ @- a c d =end')), 'missing', 'a hole there');
    is(found(posts('abcd', b => { history => 0 }),
        saw('+ @E0 a:E1 c:E2 d:E3 =end')), '', 'past the history it may');
    is(found(posts('abc', b => { kind => 'keys', to => ['k'] }),
        saw('+ @E0 a:E1 c:E2 =end')), 'missing', 'of its key it may not');
};

subtest 'told for nothing' => sub {
    my $back = '+ @E0 a:E1 =1001 ~12 +E1';
    is(found($abcd, saw("$back \@E2!2 c:E3 d:E4 =end")),
        'told for nothing', 'all is kept');
    is(found($abcd, saw("$back \@E2!3 c:E3 d:E4 =end")), '', 'it is not');
    is(found($abcd, saw('+ @E0!1 a:E1 b:E2 c:E3 d:E4 =end')),
        'told for nothing', 'it was nowhere');
    is(found($abcd, saw('+ @E0 a:E1 b:E2 =1001 ~12 +E2 @E1!1 =1001')), '',
        'it was beyond the head');
    my $other = saw("$back \@F2!1 c:F3 d:F4 =end");
    is(found($abcd, $other), '', 'another epoch');
    is(found($abcd, $other, lost => [11]), '', 'something was lost');
    is(found($abcd, $other, lost => []), 'told for nothing', 'nothing was');
    is(found($abcd, $other, lost => [2, 30]), 'told for nothing',
        'before, or after');
};

# ---- drawn at random ---------------------------------------------------------

my $seed = $ENV{GOIM_SEED} || int(rand 1_000_000);
srand $seed;
diag("SEED=$seed");

sub pick { return $_[rand @_] }

# A right history: [posts], [clients], [times of loss]. Rooms 1 to 3, of which 3
# has no history; every other client recovers. What is accepted comes at once.
sub history {
    my $w = { at => 1, n => 0, posts => [], lost => [], clients => [],
        room => { map { ("live://$_" => { epoch => "e$_", items => [] }) }
            1 .. 2 }, epochs => 0 };

    for (1 .. 8) {
        push @{ $w->{clients} }, { name => $_, key => "k$_", mid => $_ % 3,
            recovers => $_ % 2, connections => [], at => {} };
    }
    come($w, $_) for @{ $w->{clients} };
    for (1 .. 150) {
        $w->{at} += 0.1 + rand;
        my $what = rand;
        my $client = pick(@{ $w->{clients} });
        if ($what < 0.75) { post($w) }
        elsif ($what < 0.80) { lose($w) }
        elsif (!$client->{on}) { come($w, $client) }
        elsif ($what < 0.90) { go($w, $client) }
        else { enter($w, $client, 'live://' . pick(1 .. 3)) }
    }
    $w->{at}++;
    for (grep { !$_->{on} } @{ $w->{clients} }) { come($w, $_) }
    $w->{at}++;
    for (map { $_->{on} } @{ $w->{clients} }) {
        @$_{qw(end ended)} = ('stopped', $w->{at});
    }
    return @$w{qw(posts clients lost)};
}

sub saw_event {
    my ($w, $client, %event) = @_;
    push @{ $client->{on}{events} }, { at => $w->{at}, %event };
}

sub come {
    my ($w, $client) = @_;
    $client->{on} = { came => $w->{at}, code => 0, end => '', events => [],
        tcp => $client->{name} % 3 == 0 };
    push @{ $client->{connections} }, $client->{on};
    enter($w, $client, $client->{in} || 'live://' . pick(1 .. 3));
}

sub go {
    my ($w, $client) = @_;
    my $on = delete $client->{on};
    @$on{qw(ended end code)} = ($w->{at}, @{ pick(['left', 0],
        ['closed', 1001], ['closed', 1012]) });
    # cut off: the last ones did not come by; positions know nothing of them
    return if $client->{recovers} || $on->{code} != 1012;
    pop @{ $on->{events} } while @{ $on->{events} } > 1 && rand() < 0.5
        && defined $on->{events}[-1]{body};
}

# into a room: where it was, what it missed, or that it can't have it
sub enter {
    my ($w, $client, $name) = @_;
    my $had = $client->{at}{$name};
    my $room = $w->{room}{$name};
    my $said = $had && rand() < 0.8 ? { %$had } : undef;

    $client->{in} = $name;
    saw_event($w, $client, join => $name, $client->{recovers} && $said
        ? (said => $said) : ());
    return if !$client->{recovers};
    return saw_event($w, $client, told => { $name => undef }) if !$room;

    my $head = @{ $room->{items} };
    my $first = $head > 4 ? $head - 3 : 1;
    my $at = $client->{at}{$name} = { epoch => $room->{epoch}, seq => $head };
    my %told = (%$at, first => $first);
    if ($said) {
        $told{recovered} = $said->{epoch} eq $room->{epoch}
            && $said->{seq} + 1 >= $first ? 1 : 0;
        $told{seq} = $said->{seq} if $told{recovered};
    }
    saw_event($w, $client, told => { $name => \%told });
    for ($told{seq} + 1 .. $head) {
        saw_event($w, $client, body => $room->{items}[$_ - 1],
            epoch => $room->{epoch}, seq => $_);
    }
}

sub post {
    my ($w) = @_;
    my $kind = pick(qw(room room room keys mids all));
    my $to = $kind eq 'room' ? 'live://' . pick(1 .. 3)
        : $kind eq 'keys' ? [map { "k$_" } grep { rand() < 0.5 } 1 .. 8]
        : $kind eq 'mids' ? [int rand 3] : undef;
    my $body = 'b' . ++$w->{n};
    my $code = pick((0) x 8, -504, undef, -500);
    push @{ $w->{posts} }, { kind => $kind, to => $to, body => $body, op => 1,
        code => $code, began => $w->{at}, answered => $w->{at} + 0.01 };
    return if $code ? $code == -500 || rand() < 0.5
        : !defined $code && rand() < 0.5;
    $w->{at} += 0.005;

    my $room = $kind eq 'room' ? $w->{room}{$to} : undef;
    push @{ $room->{items} }, $body if $room;
    for my $client (grep { $_->{on} } @{ $w->{clients} }) {
        next if $kind eq 'room' ? $client->{in} ne $to
            : $kind eq 'keys' ? !grep { $_ eq $client->{key} } @$to
            : $kind eq 'mids' ? $to->[0] != $client->{mid} : 0;
        my $number = $room && $client->{recovers}
            ? $client->{at}{$to}{seq} = @{ $room->{items} } : undef;
        saw_event($w, $client, body => $body,
            $number ? (epoch => $room->{epoch}, seq => $number) : ());
    }
}

# A room begins anew; its newest item comes again there, now and then.
sub lose {
    my ($w) = @_;
    my $name = 'live://' . pick(1 .. 2);
    my $room = $w->{room}{$name};
    my $again = rand() < 0.5 ? $room->{items}[-1] : undef;
    push @{ $w->{lost} }, $w->{at};
    @$room{qw(epoch items)} = ('f' . ++$w->{epochs},
        [defined $again ? $again : ()]);

    for my $client (grep { $_->{on} && $_->{recovers} && $_->{in} eq $name }
                    @{ $w->{clients} }) {
        saw_event($w, $client, told => { $name => { epoch => $room->{epoch},
            seq => 0, first => 1, recovered => 0 } });
        saw_event($w, $client, body => $again, epoch => $room->{epoch},
            seq => 1) if defined $again;
        $client->{at}{$name} = { epoch => $room->{epoch},
            seq => scalar @{ $room->{items} } };
    }
}

# ---- one defect put into it --------------------------------------------------

# [the event, its place, its connection, its client, its post] of all that
# clients saw and $choose likes
sub seen {
    my ($posts, $clients, $choose) = @_;
    my %post = map { $_->{body} => $_ } @$posts;
    my @seen;

    for my $client (@$clients) {
        for my $c (@{ $client->{connections} }) {
            for my $i (0 .. $#{ $c->{events} }) {
                my $e = $c->{events}[$i];
                my @this = ($e, $i, $c, $client,
                    defined $e->{body} ? $post{ $e->{body} } : undef);
                push @seen, \@this if $choose->(@this);
            }
        }
    }
    return @seen;
}

sub accepted { return defined $_[0]{code} && $_[0]{code} eq '0' }

# Each changes a history, and says whether it found a place for it.
my %defect = (
    missing => sub {
        my $one = pick(seen(@_, sub { my ($e, $i, $c, $client, $post) = @_;
            $post && accepted($post) && !defined $e->{epoch}
            && $c->{end} eq 'stopped'
            && ($post->{kind} ne 'room' || !grep { defined $_->{join} }
                @{ $c->{events} }[$i .. $#{ $c->{events} }]) })) or return 0;
        splice @{ $one->[2]{events} }, $one->[1], 1;
        return 1;
    },
    repeated => sub {
        my $one = pick(seen(@_, sub { $_[4] })) or return 0;
        splice @{ $one->[2]{events} }, $one->[1], 0, { %{ $one->[0] } };
        return 1;
    },
    disordered => sub {
        my ($posts) = @_;
        my $one = pick(seen(@_, sub { my ($e, $i, $c, $client, $post) = @_;
            my $next = $c->{events}[$i + 1];
            $post && accepted($post) && !defined $e->{epoch} && $next
            && defined $next->{body} && !defined $next->{epoch}
            && grep { $_->{body} eq $next->{body} && $_->{kind} eq $post->{kind}
                && ($_->{kind} ne 'room' || $_->{to} eq $post->{to}) }
                @$posts })) or return 0;
        my ($events, $i) = ($one->[2]{events}, $one->[1]);
        @$events[$i, $i + 1] = @$events[$i + 1, $i];
        return 1;
    },
    'order differs' => sub {
        my ($posts, $clients) = @_;
        my %both;   # two, one after the other => where
        for (seen($posts, $clients, sub { $_[4] && $_[4]{kind} eq 'all' })) {
            my $next = $_->[2]{events}[$_->[1] + 1];
            push @{ $both{"$_->[0]{body} $next->{body}"} }, $_
                if $next && defined $next->{body};
        }
        my %all = map { $_->{body} => $_ } grep { $_->{kind} eq 'all' } @$posts;
        my $pair = pick(grep { my (undef, $two) = split / /;
            @{ $both{$_} } > 1 && $all{$two} } sort keys %both) or return 0;
        my $one = $all{ (split / /, $pair)[0] };
        @$one{qw(code answered)} = (-504, $one->{began} + 15);
        my (undef, $i, $c) = @{ pick(@{ $both{$pair} }) };
        @{ $c->{events} }[$i, $i + 1] = @{ $c->{events} }[$i + 1, $i];
        return 1;
    },
    refused => sub {
        my $one = pick(seen(@_, sub { $_[4] })) or return 0;
        $one->[4]{code} = -500;
        return 1;
    },
    stray => sub {
        my $one = pick(seen(@_, sub { $_[4] && $_[4]{kind} eq 'keys' }))
            or return 0;
        $one->[4]{to} = ['another'];
        return 1;
    },
    twice => sub {
        my %count;
        my @numbered = seen(@_, sub { defined $_[0]{epoch} });
        $count{"$_->[0]{body} $_->[0]{epoch}"}++ for @numbered;
        my $one = pick(grep { $count{"$_->[0]{body} $_->[0]{epoch}"} > 1 }
            @numbered) or return 0;
        $one->[0]{seq} += 50;
        return 1;
    },
    'two bodies' => sub {
        my %count;
        my @numbered = seen(@_, sub { defined $_[0]{epoch} });
        $count{"$_->[0]{body} $_->[0]{epoch}"}++ for @numbered;
        my $one = pick(grep { $count{"$_->[0]{body} $_->[0]{epoch}"} > 1 }
            @numbered) or return 0;
        my $other = pick(grep { $_->[4]{to} eq $one->[4]{to}
            && $_->[4] != $one->[4] } @numbered) or return 0;
        $one->[0]{body} = $other->[0]{body};
        return 1;
    },
    # with one behind it; or accepted and live, and it is there at the end
    untold => sub {
        my $one = pick(seen(@_, sub {
            my ($e, $i, $c, $client, $post) = @_;
            return 0 if !defined $e->{epoch};
            for (@{ $c->{events} }[$i + 1 .. $#{ $c->{events} }]) {
                return 0 if defined $_->{join} || $_->{told};
                return 1 if defined $_->{epoch};
            }
            return $c->{end} eq 'stopped' && accepted($post)
                && $e->{at} - $post->{began} < 0.05;
        })) or return 0;
        splice @{ $one->[2]{events} }, $one->[1], 1;
        return 1;
    },
    'told for nothing' => sub {
        my @told = map { $_->[0] } seen(@_, sub { my ($e) = @_;
            grep { $_ && $_->{recovered} } values %{ $e->{told} || {} } });
        my $one = pick(@told) or return 0;
        $_->{recovered} = 0 for values %{ $one->{told} };
        return 1;
    },
);

my $rounds = $ENV{GOIM_ROUNDS} || 300;
my (%caught, @wrong);

for my $round (1 .. $rounds) {
    my ($posts, $clients, $lost) = history();
    my @none = check($posts, $clients, lost => $lost);
    push @wrong, "round $round, accused: $none[0]{what}: $none[0]{text}"
        if @none;

    my $what = (sort keys %defect)[$round % keys %defect];
    next if !$defect{$what}->($posts, $clients);
    my %found = map { $_->{what} => 1 }
        check($posts, $clients, lost => $lost);
    $found{$what} ? $caught{$what}++ : push @wrong, "round $round, $what: "
        . (join(', ', sort keys %found) || 'nothing') . ' found';
}
is(scalar @wrong, 0, "$rounds histories: none accused, each defect caught")
    or diag(join "\n", splice @wrong, 0, 12);
is(join(', ', sort keys %caught), join(', ', sort keys %defect),
    'each kind of defect was there');

done_testing;
