# Messages between people: signals, which are stored nowhere; the application's
# word before; how often a user may send; whose the operations are.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::App;
use Goim::Cluster;
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[warn\] \d+: before: the application does not judge/);

my $json = JSON::PP->new->canonical;
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return (200, '{"allow":false,"reason":"no"}')
        if $body eq 'bad' || $path =~ /do=group\/add/;
    return (200, '{"allow":true,"payload":"better"}')
        if $body eq 'replace' || $path =~ /do=group\/dismiss/;
    return (500, '') if $body eq 'broken';
    return (204, '');
});

my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(nginx => { tcp => 1 },
    logic => { Goim::Sender::logic(%im,
        before => { url => $app->url('/before') }) },
    job => { conf => { %im } });
my $api = $c->api;

sub client {
    my ($mid, %arg) = @_;
    return enters($c, mid => $mid, accepts => [20, 22, 1000], im => {}, %arg);
}

sub ask {
    my ($client, $op, $line, $body) = @_;
    return $json->decode($client->call($op, $json->encode($line)
        . (defined $body ? "\n$body" : ''))->{body});
}

sub count {
    my ($what) = @_;
    return $c->logic->metrics->{"goim_logic_signals_total{result=\"$what\"}"};
}

my @all = map { client($_, key => "k$_",
    transport => $_ == 3 ? 'tcp' : 'ws') } 1 .. 3;
my ($one, $two, $three) = @all;
my $too = client(2, key => 'other');

is(ask($one, 18, { do => 'group/create', id => 'team', mids => [2, 3] })->{code},
    0, 'a group');
$_->push for @all, $too;

# ---- signals -----------------------------------------------------------------

sub signal {
    my ($client, $line, $body) = @_;
    $client->send(22, (ref $line ? $json->encode($line) : $line)
        . (defined $body ? "\n$body" : ''));
}

sub seen {
    my ($client) = @_;
    my $p = $client->push or return '';
    return "$p->{op} $p->{body}";
}

signal($one, { to => '2', kind => 'typing' }, "\0!");
for my $client ($two, $too) {
    is(seen($client), qq(22 {"conv":"p1.2","mid":1,"kind":"typing"}\n\0!),
        'a signal, to all devices of the other');
}
signal($two, { to => 'g1.team', kind => 'call' });
for my $client ($one, $three) {
    is(seen($client), qq(22 {"conv":"g1.team","mid":2,"kind":"call"}\n),
        'to the others of a group');
}
eventually { count('ok') == 2 } 20, 'they are counted';

my @wrong = ('x', '', '[]', { to => 'x', kind => 'a' }, { to => 2 },
    { to => 2, kind => 'a b' }, { to => 2, kind => 'x' x 33 },
    { to => 'p1.2', kind => 'a' }, { to => { }, kind => 'a' },
    { to => 0, kind => 'a' }, { to => 'g9.none', kind => 'a' });
signal($one, $_) for @wrong;
signal($one, { to => 2, kind => 'a', more => 'x' x 1024 });
signal(client(9), { to => 'g1.team', kind => 'a' });
eventually { count('refused') == @wrong + 2 } 20, 'those refused are, too';
is($one->call(2)->{op}, 3, 'none was answered');
is($api->get('/goim/im/sync', mid => 2)->{data}{seq}, 1, 'none is stored');

signal($one, { to => 2, kind => 'last' });
is(seen($two), qq(22 {"conv":"p1.2","mid":1,"kind":"last"}\n),
    'none of those refused came');

my $none = enters($c, mid => 4, accepts => [22]);
is($none->call(22, '{"to":"2","kind":"a"}')->{op}, 22,
    'for other sessions 22 is what it was');

# ---- the application's word before -------------------------------------------

for my $door ('socket', 'http') {
    my $to = $door eq 'socket' ? sub { ask($one, 4, { to => '5', id => $_[0] },
            $_[0]) }
        : sub { $api->post('/goim/im/send', [mid => 1, to => 6, id => $_[0]],
            $_[0]) };
    is($to->('good')->{code}, 0, "$door: allowed");
    my $said = $to->('bad');
    is("$said->{code} $said->{message}", '-403 no', 'refused, with the reason');
    is($to->('replace')->{code}, 0, 'replaced');
    is($to->('broken')->{code}, -503, 'not judged: not sent');
    my $mid = $door eq 'socket' ? 5 : 6;
    is(join(' ', map { $_->{body} } @{ $api->get('/goim/im/sync', mid => $mid)
        ->{data}{items} }), 'good better', 'what is stored of them');
}
my ($asked) = grep { $_->{path} =~ /do=send&conv=p1\.5/ } $app->seen;
like($asked->{path}, qr/\?mid=1&do=send&conv=p1\.5&id=good&kind=msg$/,
    'what it is told');
is($asked->{body}, 'good', 'and the payload');

is(ask($one, 18, { do => 'group/add', conv => 'g1.team', mids => [7] })->{code},
    -403, 'a change of a group is refused');
($asked) = grep { $_->{path} =~ /do=group\/add/ } $app->seen;
is($asked->{body}, '{"mids":[7]}', 'by what it is');
for my $do (['add', mids => 7], ['dismiss']) {
    my ($name, @more) = @$do;
    my $said = $api->post("/goim/im/group/$name", [mid => 1, conv => 'g1.team',
        @more]);
    is("$said->{code} $said->{message}", $name eq 'add' ? '-403 no'
        : '-503 it was not sent: try again', "$name, over HTTP, too");
}
is($api->post('/goim/im/group/update', [mid => 1, conv => 'g1.team',
    ext => '{}'])->{code}, 0, 'and one is allowed');
is($api->get('/goim/im/group', mid => 1, conv => 'g1.team')->{data}{members}, 3,
    'nothing else has changed');
my $n = $app->seen;
is(ask($one, 18, { do => 'read', conv => 'p1.5', read => 1 })->{code}, 0, 'read');
is(ask($one, 18, { do => 'conv', conv => 'p1.5', notify => 0 })->{code}, 0,
    'and settings');
is(scalar(my @seen = $app->seen), $n, 'are not asked for');
is(ask($one, 18, { do => 'group/dismiss', conv => 'g1.team' })->{code}, -503,
    'a change cannot be replaced');

# ---- how often ---------------------------------------------------------------

my $often = client(30, key => 'often', limits => { mid_rate => 0.001,
    mid_burst => 3 });
my @codes = map { ask($often, 4, { to => '5', id => "o$_" }, 'x') } 1 .. 4;
is(join(' ', map { $_->{code} } @codes), '0 0 0 -429', 'too often');
is($codes[3]{message}, 'too often', 'with a message');
cmp_ok($codes[3]{after}, '>', 1000, 'and when it may');
signal($often, { to => '5', kind => 'a' });
eventually { count('often') == 1 } 20, 'signals are counted with them';
is($api->post('/goim/im/send', [mid => 30, to => 5, id => 'b'], 'x')->{code}, 0,
    'a backend may');

# ---- whose the operations are ------------------------------------------------

for my $op (18 .. 22) {
    is($api->keys($op, ['k1'], 'x')->{code}, -400, "a push of operation $op");
}
my $may = enters($c, mid => 8, send => { rooms => ['live://*'],
    operations => [20, 1000] });
is(send_to($may, { to => 'live://1', operation => 20 }, 'x')->{code}, -400,
    'nor do clients make items up');
is(send_to($may, { to => 'live://1' }, 'x')->{code}, 0, 'other operations');

done_testing;
