# Clients that talk to each other while things break: processes that send, by HTTP
# and by sockets in turn, and again until it is answered; devices that listen; and
# the history of it all, for Goim::TalkCheck.
#
#     my $talk = Goim::Talk->new($cluster, $db, seed => 7);
#     $talk->start(3);
#     $talk->listen(2);               # seconds, with faults between
#     $talk->stop;
#     my @findings = check_talk($talk->history);

package Goim::Talk;

use strict;
use warnings;

use IO::Select ();
use JSON::PP ();
use List::Util ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Goim::API ();
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical->allow_nonref;
my $inbox = 'im://inbox';
our @users = 1 .. 6;        # the last two come to groups and leave them
our $group = 'g1.all';

sub new {
    my ($class, $c, $db, %arg) = @_;
    my $self = bless { c => $c, db => $db, seed => $arg{seed}, devices => [],
        dir => folder('talk'), pids => [] }, $class;

    my $made = $c->api->post('/goim/im/group/create', [mid => 1, id => 'all',
        join => 'open', map { (mids => $_) } @users[1 .. $#users]], '');
    die "no group: $made->{text}\n" if $made->{code};
    for my $mid (@users) {
        $self->device($mid) for 1, 2;
    }
    $self->listen(0.5);
    return $self;
}

# ---- who sends: processes of their own ---------------------------------------

sub start {
    my ($self, $n) = @_;
    for (1 .. $n) {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            my $rc = eval { $self->_poster($_); 0 } // 3;
            print STDERR "# sender: $@" if $@;
            POSIX::_exit($rc);
        }
        push @{ $self->{pids} }, $pid;
    }
    wait_for { !grep { !-e "$self->{dir}/$_" } 1 .. $n } 10, 'senders';
}

# the exit codes of all of them: 0, when all was accepted in the end
sub stop {
    my ($self) = @_;
    spew("$self->{dir}/end", '');
    my @codes = map {
        my $pid = $_;
        my $end = time + 120 * slow();
        while (Goim::Proc::running($pid) && time < $end) {
            $self->listen(0.2);
        }
        Goim::Proc->new(pid => $pid)->exit_status // 255;
    } @{ $self->{pids} };
    return map { $_ >> 8 } @codes;
}

sub _poster {
    my ($self, $n) = @_;
    my $s = { %$self, n => $n, turn => $n, sockets => {}, poll => 1 + $n % 4 };
    bless $s, ref $self;
    srand $self->{seed} * 16 + $n;
    local $SIG{ALRM} = 'DEFAULT';
    alarm 0;
    $_->{client} = undef for @{ $s->{devices} };
    $s->{apis} = [map { Goim::API->new($_->{http_port}, timeout => 1.5) }
        @{ $self->{c}{logics} }];
    open $s->{out}, '>', "$self->{dir}/$n" or die "$n: $!\n";
    $s->{out}->autoflush;

    for (my $i = 1; !-e "$self->{dir}/end"; $i++) {
        my $what = rand;
        $what < 0.70 ? $s->_send("$n.$i")
            : $what < 0.85 ? $s->_read
            : $what < 0.90 ? $s->_set($i)
            : $what < 0.95 ? $s->_member("$n.$i") : $s->_poll;
        sleep 0.01;
    }
}

sub _log {
    my ($s, %line) = @_;
    print { $s->{out} } $json->encode({ %line, at => time }), "\n";
}

sub _pick { return $_[int rand @_] }

# A command by the next door: HTTP, or a socket; undef when it is not known what
# became of it.
sub _by_door {
    my ($s, $do, $mid, $arg, $body) = @_;
    my $turn = $s->{turn}++;
    my $said = eval {
        return _pick(@{ $s->{apis} })->post("/goim/im/$do", [mid => $mid, map {
            my ($k, $v) = ($_, $arg->{$_});
            map { ($k => ref $_ ? $json->encode($_) : $_) }
                ref $v eq 'ARRAY' ? @$v : $v } sort keys %$arg], $body)
            if $turn % 2;

        my $socket = $s->{sockets}{$mid} ||= $s->_socket($mid);
        my $p = $do eq 'send'
            ? $socket->call(4, say($json->encode($arg), $body), timeout => 1.5)
            : $socket->call(18, $json->encode({ do => $do, %$arg }),
                timeout => 1.5);
        my $answer = $json->decode($p->{body});
        return { %$answer, data => $answer->{data} || $answer };
    };
    if (!$said || !defined $said->{code}) {
        my $old = $turn % 2 ? undef : delete $s->{sockets}{$mid};
        $old->drop if $old;
        $s->{why} = $said ? "HTTP $said->{http}" : $@;
        return undef;
    }
    return $said;
}

sub _socket {
    my ($s, $mid) = @_;
    my $token = token(mid => $mid, key => "from-$s->{n}-$mid", im => {},
        accepts => []);
    return $s->{c}->client(node => rand @{ $s->{c}{nodes} },
        transport => _pick('ws', 'tcp'), timeout => 1.5,
        token => $json->encode({ token => $token }));
}

# again and again, by one door and the other, until it is answered: the answer,
# and whether an earlier one is in doubt
sub _until {
    my ($s, $do, $mid, $arg, @bodies) = @_;
    my $unsure = 0;
    my $end = time + 90 * slow();

    for (my $i = 0; time < $end; $i++) {
        my $said = $s->_by_door($do, $mid, $arg, $bodies[$i % @bodies]);
        return ($said, $unsure) if $said && $said->{code}
            =~ /^(?:0|-40[0349])$/;
        $unsure = 1;
        $s->{why} = "$said->{code} $said->{message}" if $said;
        sleep 0.05 + rand 0.1;
    }
    die "$do by $mid: " . $json->encode($arg) . ": not answered: $s->{why}\n";
}

sub _send {
    my ($s, $id) = @_;
    my $from = _pick(@users);
    my $to = rand() < 0.4 ? $group : _pick(grep { $_ != $from } @users);
    my $conv = $to eq $group ? $group
        : sprintf 'p%d.%d', sort { $a <=> $b } $from, $to;
    my %arg = (to => "$to", id => $id);
    my @bodies = ("from $from, $id", "from $from, $id, again");
    my ($said, $unsure) = $s->_until(send => $from, \%arg, @bodies);

    if ($said->{code} != 0) {
        $s->_log(what => 'refused', conv => $conv, mid => $from, id => $id)
            if !$unsure;
        die "$id: " . $json->encode($said) . "\n" if $to ne $group;
        return;
    }
    $s->{heads}{$conv} = $said->{data}{seq};

    # also what was accepted: by the other door, with another text
    for (0 .. (rand() < 0.3)) {
        $s->_log(what => 'accepted', mid => $from, id => $id,
            conv => $said->{data}{conv}, seq => $said->{data}{seq},
            bodies => \@bodies) if $said && $said->{code} == 0;
        last if $_;
        $said = $s->_by_door(send => $from, \%arg, $bodies[1]);
    }
}

# of one of those who are in it for good: from another device each time
sub _read {
    my ($s) = @_;
    my $conv = _pick(sort keys %{ $s->{heads} || {} }) or return;
    my @mids = $conv =~ /^p(\d+)\.(\d+)$/ ? ($1, $2) : @users;
    my $mid = _pick(@mids);
    $s->_until(read => $mid, { conv => $conv, read => 1 + int rand
        $s->{heads}{$conv} }, '');
}

sub _set {
    my ($s, $i) = @_;
    my $conv = _pick(sort keys %{ $s->{heads} || {} }) or return;
    my @mids = $conv =~ /^p(\d+)\.(\d+)$/ ? ($1, $2) : @users[0 .. 3];
    $s->_until(conv => _pick(@mids), { conv => $conv, ext => { by => $s->{n},
        n => $i } }, '');
}

# one of the last two comes, or leaves, by itself or by the owner
sub _member {
    my ($s, $id) = @_;
    my $mid = _pick(@users[-2, -1]);
    my $what = _pick(qw(add remove join leave));
    $what eq 'leave' ? $s->_until('group/remove', $mid, { conv => $group,
            mids => [$mid] }, '')
        : $what eq 'join' ? $s->_until('group/join', $mid, { conv => $group }, '')
        : $s->_until("group/$what", 1, { conv => $group, mids => [$mid] }, '');
}

sub _poll {
    my ($s) = @_;
    my $data = eval { $s->{apis}[0]->get('/goim/im/convs',
        mid => $s->{poll})->{data} } or return;
    for my $c (@$data) {
        $s->_log(what => 'poll', by => $s->{n}, mid => $s->{poll},
            map { ($_ => $c->{$_}) } qw(conv n read_n read));
    }
}

# ---- devices -----------------------------------------------------------------

# one more, which begins at the head
sub device {
    my ($self, $mid) = @_;
    my $n = @{ $self->{devices} };
    push @{ $self->{devices} }, { mid => $mid, name => "$mid-$n", turn => $n,
        transport => $n % 2 ? 'tcp' : 'ws', at => {}, events => [] };
}

# connects, perhaps where it was; its answer is heard like the rest
sub _begin {
    my ($self, $d) = @_;
    my $recover = { $inbox => $d->{at} };
    my $token = token(mid => $d->{mid}, key => $d->{name}, im => {});
    $d->{client} = eval { $self->{c}->client(auth => 0,
        node => $d->{turn}++ % @{ $self->{c}{nodes} }, recover => $recover,
        transport => $d->{transport}, timeout => 2) } or return;
    eval { $d->{client}->send(7, $json->encode({ token => $token,
        recover => $recover })) };
}

sub _hear {
    my ($d) = @_;
    for my $e (eval { $d->{client}->arrived }) {
        my ($what, $p) = @$e;
        if ($what eq 'positions' && $p->{$inbox}) {
            my $told = $p->{$inbox};
            $d->{at} = { epoch => $told->{epoch}, seq => $told->{seq} };
            push @{ $d->{events} }, { told => $told, at => time };
        } elsif ($what eq 'pushes' && $p->{op} == 20) {
            my ($line, $body) = split /\n/, $p->{body}, 2;
            $d->{at}{seq} = $p->{seq};
            push @{ $d->{events} }, { seq => $p->{seq}, at => time,
                item => { %{ $json->decode($line) }, body => $body } };
        }
    }
}

sub listen {
    my ($self, $seconds) = @_;
    my $until = time + $seconds;
    do {
        for my $d (@{ $self->{devices} }) {
            $self->_begin($d)
                if !$d->{client} || $d->{client}->transport->socket->eof;
            _hear($d) if $d->{client};
        }
        my $s = IO::Select->new(map { $_->{client}->transport->socket->{sock}
            || () } grep { $_->{client} } @{ $self->{devices} });
        $s->can_read(0.05);
    } while (time < $until);
}

# until so many more are accepted
sub flow {
    my ($self, $n) = @_;
    my $lines = sub {
        my $sum = 0;
        $sum += () = slurp("$self->{dir}/$_") =~ /"accepted"/g
            for 1 .. @{ $self->{pids} };
        return $sum;
    };
    my $more = $lines->() + $n;
    my $end = time + 40 * slow();
    $self->listen(0.1) while $lines->() < $more && time < $end;
    return $lines->() >= $more;
}

# some go, and come back at once or a little later
sub drop {
    my ($self, $n) = @_;
    for (1 .. $n) {
        my $d = _pick(@{ $self->{devices} });
        $d->{client}->drop if $d->{client};
        $d->{client} = undef;
    }
}

# all devices are at the heads of their inboxes
sub _there {
    my ($self) = @_;
    my %head = map { split /\|/ } split /\n/,
        $self->{db}->sql('SELECT mid, seq FROM account');
    return !grep { ($_->{at}{seq} // -1) < ($head{ $_->{mid} } // 0) }
        @{ $self->{devices} };
}

# ---- what it was -------------------------------------------------------------

sub _rows {
    my ($self, $names, $from) = @_;
    my @names = map { /(\w+)$/ } @$names;
    return [map { my %row; @row{@names} = split /\|/, $_, -1; \%row } split
        /\n/, $self->{db}->sql('SELECT ' . join(', ', @$names)
        . " FROM $from")];
}

sub _pages {
    my ($self, %arg) = @_;
    my ($after, @items) = (0);
    while (1) {
        my $said = $self->{c}->api->get('/goim/im/history', %arg,
            after => $after);
        die "history: $said->{text}\n" if $said->{code} != 0;
        my @page = @{ $said->{data}{items} } or return \@items;
        push @items, @page;
        $after = $page[-1]{seq};
    }
}

# once all is quiet; dies when a device never gets there
sub history {
    my ($self) = @_;
    my $end = time + 60 * slow();
    $self->listen(1) until $self->_there || time > $end;
    $self->listen(0.5);
    $_->{client} && $_->{client}->drop for @{ $self->{devices} };

    my $body = ref $self->{db} eq 'Goim::IM' ? 'hex(body)'
        : "encode(body, 'hex')";
    my $messages = $self->_rows([qw(conv seq n mid cid kind), "$body AS body"],
        'message');
    $_->{id} = delete $_->{cid}, $_->{body} = pack 'H*', $_->{body}
        for @$messages;
    my $members = $self->_rows([qw(conv mid read read_n), 'own AS ext'],
        'member');
    $_->{ext} = $json->encode($json->decode($_->{ext} || 'null'))
        for @$members;

    my @lines = map { map { $json->decode($_) } split /\n/,
        slurp("$self->{dir}/$_") } 1 .. @{ $self->{pids} };
    my %convs = map { my $mid = $_; ($mid => $self->{c}->api->get(
        '/goim/im/convs', mid => $mid)->{data}) } @users;
    return {
        messages => $messages, members => $members,
        inbox => $self->_rows([qw(mid seq conv cseq), "COALESCE(key, '') AS key"],
            'inbox'),
        (map { my $what = $_; ($what => [grep { $_->{what} eq $what } @lines]) }
            qw(accepted refused)),
        polls => [grep { $_->{what} eq 'poll' } @lines],
        convs => [map { my $mid = $_; map { { %$_, mid => $mid } }
            @{ $convs{$mid} } } @users],
        views => [map { { mid => $_->{mid}, conv => $_->{conv},
            items => $self->_pages(mid => $_->{mid}, conv => $_->{conv}) } }
            @$members],
        devices => $self->{devices},
    };
}

1;
