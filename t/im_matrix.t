# Groups: who may do what, each command by each role, by HTTP with a key and by a
# socket, with code and reason; and docs/im.md says the same. What is refused
# changes nothing.

# ASAN: no

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::Sender;
use Goim::Test;

# as the columns of docs/im.md
my @roles = ('owner', 'admin', 'member', 'one that is muted', 'nobody of it');
my %mid = (owner => 1, admin => 2, member => 3, 'one that is muted' => 4,
    'nobody of it' => 9);

my %codes = (
    # done: an item, no item as it was so already, or one need not be
    ok => [0], same => [0], done => [0],
    none => [-403, 'not a member'], role => [-403, 'only who has a role in the group'],
    higher => [-403, 'only who has a higher role'], owner => [-403, 'only its owner'],
    muted => [-403, 'muted'], all => [-403, 'all are muted'],
    closed => [-403, 'the group is closed'],
    hands => [-409, 'an owner hands the group over first'],
    nobody => [-404, 'no such member'], asks => [-404, 'it does not ask'],
    gone => [-404, 'no such group'],
);

# row of docs/im.md, case of it ('': always), command and parameters, what it is
# for each role, what it is once the group is dismissed
my @table = map { [split /\s*;\s*/] } grep { /\S/ } split /\n/, <<'END';
send, signal ; ; send ; ok ok ok muted none ; gone
send, signal ; all are muted ; send ; ok ok all muted none ; gone
read, own settings ; ; read read=1 ; done done done done none ; gone
read, own settings ; ; conv notify=0 ; done done done done none ; gone
read, own settings ; ; conv ext={"a":1} ; done done done done none ; gone
history, what it is, members ; ; GET history ; done done done done none ; none
history, what it is, members ; ; GET group ; done done done done none ; none
history, what it is, members ; ; GET group/members ; done done done done none ; none
add ; closed groups ; group/add mids=7 ; ok ok role role none ; gone
add ; groups that ask ; group/add mids=7 ; ok ok role role none ; gone
add ; open groups ; group/add mids=7 ; ok ok ok ok none ; gone
join ; closed groups ; group/join ; same same same same closed ; gone
join ; groups that ask ; group/join text=me ; same same same same ok ; gone
join ; open groups ; group/join ; same same same same ok ; gone
answer ; groups that ask ; group/answer about=8 accept=1 ; ok ok role role none ; gone
answer ; groups that ask ; group/answer about=8 accept=0 ; ok ok role role none ; gone
- ; groups that ask ; group/answer about=7 accept=1 ; asks asks role role none ; gone
remove ; members ; group/remove mids=6 ; ok ok higher higher none ; gone
remove ; admins ; group/remove mids=5 ; ok higher higher higher none ; gone
- ; the owner ; group/remove mids=1 ; hands hands hands hands none ; gone
- ; a stranger ; group/remove mids=7 ; same same same same none ; gone
leave ; ; group/remove mids=me ; hands ok ok ok none ; gone
leave ; after handing over ; group/remove mids=me ; ok ok ok ok none ; gone
mute ; members ; group/member about=6 muted=60 ; ok ok higher higher none ; gone
mute ; admins ; group/member about=5 muted=60 ; ok higher higher higher none ; gone
- ; oneself ; group/member about=me muted=0 ; higher higher higher higher none ; gone
- ; the owner ; group/member about=1 muted=60 ; higher higher higher higher none ; gone
ext of a member ; members ; group/member about=6 ext={"a":1} ; ok ok higher higher none ; gone
ext of a member ; admins ; group/member about=5 ext="b" ; ok higher higher higher none ; gone
ext of a member ; oneself ; group/member about=me ext=[1] ; ok ok ok ok none ; gone
- ; the owner ; group/member about=1 ext=[1] ; ok higher higher higher none ; gone
- ; a stranger ; group/member about=7 ext=1 ; nobody nobody nobody nobody none ; gone
role ; ; group/member about=6 role=admin ; ok higher higher higher none ; gone
role ; ; group/member about=5 role=member ; ok higher higher higher none ; gone
- ; oneself ; group/member about=me role=admin ; higher higher higher higher none ; gone
hand over ; ; group/update owner=6 ; ok higher higher higher none ; gone
- ; a stranger ; group/update owner=7 ; nobody higher higher higher none ; gone
join, mute_all, ext of the group ; ; group/update join=open ; ok ok higher higher none ; gone
join, mute_all, ext of the group ; ; group/update mute_all=1 ; ok ok higher higher none ; gone
join, mute_all, ext of the group ; ; group/update ext={"n":1} ; ok ok higher higher none ; gone
dismiss ; ; group/dismiss ; ok owner owner owner none ; gone
- ; another of that name ; group/create ; done ok ok ok ok ; done ok ok ok ok
- ; conversations ; GET convs ; done done done done done ; done
- ; inbox ; GET sync ; done done done done done ; done
END

# ---- the docs ----------------------------------------------------------------

sub in_docs {
    my %says;
    my ($head, @lines) = grep { /^\|/ && !/^\| ---/ }
        split /\n/, (split /^## /m, slurp(root_dir() . '/docs/im.md'))[3];
    is($head, join(' | ', '|', @roles) . ' |', 'docs/im.md: columns');
    for (@lines) {
        my (undef, $row, @cells) = split / *\| */;
        $says{$row} = [map { defined $cells[$_] ? $cells[$_] : '' } 0 .. $#roles];
    }
    my %cases;
    for (grep { $_->[0] ne '-' } @table) {
        my ($row, $case, undef, $codes) = @$_;
        my @codes = split ' ', $codes;
        push @{ $cases{$row}[$_]{$case} }, $codes[$_] for 0 .. $#roles;
    }
    is_deeply([sort keys %says], [sort keys %cases], 'its rows are tried here');
    for my $row (sort keys %cases) {
        for my $i (0 .. $#roles) {
            my %case = %{ $cases{$row}[$i] };
            my @may = sort grep { !grep { $codes{$_}[0] } @{ $case{$_} } } keys %case;
            my @not = sort grep { my $c = $_; !grep { $_ eq $c } @may } keys %case;
            my $says = join ', ', sort split /, /, $says{$row}[$i];
            my $is = !@may ? 'no'
                : !(grep { $_ ne 'same' } map { @$_ } @case{@may}) ? ''
                : !@not && $says eq 'yes' ? 'yes'
                : "@may" eq '' && @not == 1 ? "unless $not[0]"
                : join ', ', @may;
            # who may join is in it
            $is = '' if $row eq 'join' && $roles[$i] ne 'nobody of it';
            is($says, $is, "docs/im.md: $row by $roles[$i]");
        }
    }
}

# ---- the doors ---------------------------------------------------------------

my $json = JSON::PP->new->canonical->allow_nonref;
my $key = 'k' x 40;
my $keys = folder('api') . '/keys';
spew($keys, "backend $key im\n");
my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(job => { conf => { %im } }, logic => {
    Goim::Sender::logic(%im, api => { keys => $keys }) });
@mid{qw(five eight)} = (5, 8);
my %client = map { $_ => enters($c, mid => $mid{$_}, room => '',
    accepts => [], im => {}) } sort keys %mid;
my $n = 0;

# a command by HTTP: its parameters; by a socket: a line of the same
my %doors = (
    http => sub {
        my ($role, $method, $what, %arg) = @_;
        my $body = delete $arg{body};
        $arg{member} = delete $arg{about} if exists $arg{about};
        my $said = Goim::HTTP::request($method,
            "http://127.0.0.1:$c->{logics}[0]{http_port}/goim/im/$what?"
            . Goim::HTTP::query(mid => $mid{$role}, %arg), timeout => 30,
            content => defined $body ? $body : '',
            headers => { Authorization => "Bearer $key" });
        return { %{ $said->{json} }, http => $said->{status} };
    },
    socket => sub {
        my ($role, undef, $what, %arg) = @_;
        my $body = delete $arg{body};
        $arg{ext} = $json->decode($arg{ext}) if exists $arg{ext};
        $arg{mid} = delete $arg{about} if exists $arg{about};
        return $json->decode($client{$role}->call(18, $json->encode(
            { do => $what, %arg }) . (defined $body ? "\n$body" : ''))->{body});
    },
);

# a new group: beside the roles 5 is an admin, 6 a member, 7 nobody of it, 8 asks;
# and what the case wants
sub made {
    my ($case) = @_;
    my $join = $case eq 'open groups' ? 'open'
        : $case eq 'groups that ask' ? 'ask' : 'closed';
    my $as = sub { my $said = $doors{socket}->(@_);
        die "$_[2]: $said->{code} $said->{message}\n" if $said->{code}; $said };
    my @owner = ('owner', 'POST');

    my $conv = $as->(@owner, 'group/create', id => 'g' . ++$n, mids => [2 .. 6],
        join => $join)->{data}{conv};
    $as->(@owner, 'group/member', conv => $conv, about => $_, role => 'admin')
        for 2, 5;
    $as->(@owner, 'group/member', conv => $conv, about => 4, muted => 600);
    $as->('eight', 'POST', 'group/join', conv => $conv) if $join eq 'ask';
    $as->(@owner, 'group/update', conv => $conv, mute_all => 1)
        if $case eq 'all are muted';
    $as->(@owner, 'group/update', conv => $conv, owner => 6)
        if $case eq 'after handing over';
    return $conv;
}

# how a group is, as 5 sees it, who always may
sub state_of {
    my ($conv) = @_;
    return $json->encode([map { $doors{socket}->('five', 'GET', $_,
        conv => $conv)->{data} } 'group', 'group/members']);
}

# what a row says, done by this role
sub act {
    my ($door, $role, $command, $conv) = @_;
    my ($what, @args) = split ' ', $command;
    my $method = $what eq 'GET' ? 'GET' : 'POST';
    $what = shift @args if $what eq 'GET';
    my %arg = map { my ($name, $value) = split /=/, $_, 2;
        $name => $value eq 'me' ? $mid{$role} : $value } @args;
    @arg{qw(to id body)} = ($conv, 'i' . ++$n, 'text') if $what eq 'send';
    $arg{conv} = $conv if $what !~ /^(?:send|convs|sync|group.create)$/;
    $arg{id} = $conv =~ s/^g1\.//r if $what eq 'group/create';
    return $doors{$door}->($role, $method, $what, %arg);
}

sub is_so {
    my ($said, $door, $code, $what) = @_;
    my ($number, $why) = @{ $codes{$code} };
    is(join(' ', $said->{code}, $said->{code} ? $said->{message} : ()),
        join(' ', $number, $number ? $why : ()), $what);
    is($said->{http}, $number ? -$number : 200, 'in HTTP, too') if $door eq 'http';
    my $seq = ref $said->{data} eq 'HASH' ? $said->{data}{seq} : undef;
    ok($seq, 'an item') if $code eq 'ok';
    is($seq, 0, 'no item') if $code eq 'same';
}

# ---- each command by each role -----------------------------------------------

in_docs();

my (%shared, %before);
for my $row (@table) {
    my ($name, $case, $command, $codes) = @$row;
    my @codes = split ' ', $codes;
    for my $door (sort keys %doors) {
        for my $i (0 .. $#roles) {
            my $code = $codes[$i];
            my $conv = $code eq 'ok' ? made($case)
                : ($shared{$case} ||= made($case));
            $before{$conv} ||= state_of($conv) if $code ne 'ok';
            is_so(act($door, $roles[$i], $command, $conv), $door, $code,
                "$door: $command ($case) by $roles[$i]");
        }
    }
}
is(state_of($_), $before{$_}, 'what was refused changed nothing')
    for sort values %shared;

# ---- signals: not answered, but counted --------------------------------------

sub signals {
    my $now = $c->logic->metrics;
    return join ' ', map { $now->{qq(goim_logic_signals_total{result="$_"})} || 0 }
        qw(ok refused);
}

for my $row (grep { $_->[2] eq 'send' } @table) {
    my ($name, $case, undef, $codes) = @$row;
    my @codes = split ' ', $codes;
    for my $i (0 .. $#roles) {
        my ($ok, $refused) = split ' ', signals();
        $client{ $roles[$i] }->send(22, $json->encode({ to => $shared{$case},
            kind => 'typing' }));
        my $want = $codes[$i] eq 'ok' ? ($ok + 1) . " $refused"
            : "$ok " . ($refused + 1);
        wait_for { signals() ne "$ok $refused" } 10, 'it is counted';
        is(signals(), $want, "signal ($case) by $roles[$i]");
    }
}

# ---- a group that is dismissed -----------------------------------------------

my $gone = made('');
is(act('http', 'owner', 'group/dismiss', $gone)->{code}, 0, 'dismissed');
for my $row (@table) {
    my ($name, $case, $command, undef, $codes) = @$row;
    my @codes = split ' ', $codes;
    for my $door (sort keys %doors) {
        for my $i (0, 2, 4) {
            is_so(act($door, $roles[$i], $command, $gone), $door,
                $codes[@codes > 1 ? $i : 0],
                "$door: $command of a group that is gone, by $roles[$i]");
        }
    }
}

done_testing;
