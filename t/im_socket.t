# Messages between people over the sockets of clients: operation 4 to a mid or a
# group, operation 18 with any command; only for tokens with "im".

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::App;
use Goim::Cluster;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my @received;
my $app = Goim::App->new(sub { return (200, '') });

my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $c = Goim::Cluster->new(workers => 2, nginx => { tcp => 1 },
    logic => { Goim::Sender::logic(%im, receive => { url => $app->url('/') }) },
    job => { conf => { %im } });

sub client {
    my ($mid, %arg) = @_;
    return enters($c, mid => $mid, accepts => [20], im => {}, %arg);
}

sub ask {
    my ($client, $op, $line, $body) = @_;
    my $p = $client->call($op, join "\n", ref $line ? $json->encode($line)
        : $line, defined $body ? $body : ());
    is($p->{op}, $op + 1, 'answered by ' . ($op + 1));
    return $json->decode($p->{body});
}

sub item {
    my ($client) = @_;
    my $p = $client->push;
    my ($line, $body) = split /\n/, $p ? $p->{body} : "{}\n", 2;
    return { %{ $json->decode($line) }, body => $body, op => $p->{op} };
}

for my $transport (qw(ws tcp)) {
    subtest $transport => sub {
        my ($a, $b) = $transport eq 'ws' ? (1, 2) : (11, 12);
        my $one = client($a, transport => $transport, key => "k$a");
        my $two = client($b, key => "k$b");
        my $too = client($a, key => "other$a");

        my $sent = ask($one, 4, { to => "$b", id => 'c1' }, "hello\n\0you");
        is_deeply([@$sent{qw(code conv seq)}], [0, "p$a.$b", 1],
            'stored, and its number');
        for my $client ($one, $two, $too) {
            my $item = item($client);
            is_deeply([@$item{qw(op conv seq mid id at body)}], [20,
                "p$a.$b", 1, $a, 'c1', $sent->{at}, "hello\n\0you"],
                'to all devices');
        }
        is_deeply(ask($one, 4, { to => $b, id => 'c1' }, 'again'), $sent,
            'a repeat gets the same answer');

        is(ask($one, 18, { do => 'group/create', id => 'team', mids => [$b] })
            ->{data}{conv}, "g$a.team", 'a command');
        item($_) for $one, $two, $too;
        is(ask($two, 4, { to => "g$a.team", id => 'x', kind => 'note' }, 'all')
            ->{code}, 0, 'to the group');
        is(item($one)->{kind}, 'note', 'of a kind');
        item($_) for $two, $too;

        my $sync = ask($two, 18, { do => 'sync', after => 1 });
        is_deeply([map { $_->{body} } @{ $sync->{data}{items} }],
            [qq({"mids":[$b]}), 'all'], 'the inbox');
        is(ask($two, 18, { do => 'read', conv => "p$a.$b", read => 1 })->{code},
            0, 'read');
        is_deeply([map { "$_->{conv} " . ($_->{n} - $_->{read_n}) }
            @{ ask($two, 18, { do => 'convs' })->{data} }],
            ["g$a.team 0", "p$a.$b 0"], 'conversations');

        for my $wrong (['x', 400], [{}, 400], ['', 400], ['[]', 400],
            [{ do => 'x' }, 400], [{ do => 'sync', after => 1.5 }, 400],
            [{ do => 'sync', after => {} }, 400], [{ do => 'read',
            conv => 'p8.9', read => 1 }, 403], [{ do => 'history',
            conv => 'g9.x' }, 403], [{ do => 'send', to => 'g9.x',
            id => 'i' }, 404])
        {
            my $said = ask($one, 18, $wrong->[0]);
            is($said->{code}, -$wrong->[1], 'refused: '
                . (ref $wrong->[0] ? $json->encode($wrong->[0]) : $wrong->[0]));
            ok(length $said->{message}, 'with a message');
        }
        is(ask($one, 4, { to => 'g9.x', id => 'i' }, 'x')->{code}, -404,
            'no such group');
        is(ask($one, 4, { to => '2', id => 'i' }, 'x' x 4001)->{code}, -413,
            'too large for a socket');
        is(ask($one, 4, { to => '2', id => 'i' }, 'x' x 4000)->{code}, 0,
            'as large as may be');
        my $name = 'x' x 64;
        is(ask($one, 18, { do => 'group/create', id => $name, mids => [map {
            8_000_000_000_000_000_000 + $_ } 1 .. 499] })->{code}, 0,
            'a group as large as may be, and its name as long');
        is(ask($one, 4, { to => "g$a.$name", id => $name, kind => 'k' x 32 },
            'x' x 4000)->{code}, 0, 'a message to it: its line is besides');
        is(ask($one, 4, { to => "g$a.$name", id => $name }, 'x' x 20_000)
            ->{code}, -413, 'far too large');
    };
}

# who has no "im" in the token
{
    my $none = enters($c, mid => 3, accepts => [20]);
    is($none->call(4, qq({"to":"2","id":"c1"}\nhello))->{body}, '',
        'operation 4 is what it was');
    is($none->call(18, '{"do":"convs"}')->{op}, 18, 'and 18');
    my $may = enters($c, mid => 3, send => { rooms => ['live://*'] });
    is(ask($may, 4, { to => '2', id => 'c1' }, 'x')->{code}, -400,
        'who may send elsewhere does not here');
}

# pages are bounded in bytes
{
    my $one = client(5);
    my $n = 20;
    $c->api->post('/goim/im/send', [mid => 6, to => 5, id => $_],
        chr(64 + $_) x 60_000) for 1 .. $n;
    my ($after, @bodies) = (0);
    for (1 .. $n) {
        my $page = ask($one, 18, { do => 'sync', after => $after })->{data};
        last if !@{ $page->{items} };
        cmp_ok(scalar @{ $page->{items} }, '<=', 5, 'some of them');
        push @bodies, map { substr $_->{body}, 0, 1 } @{ $page->{items} };
        $after = $page->{items}[-1]{inbox};
    }
    is(join('', @bodies), join('', map { chr(64 + $_) } 1 .. $n),
        'in pages, all of them');
    $c->api->post('/goim/im/send', [mid => 100 + $_, to => 5, id => 'x'],
        'x' x 60_000) for 1 .. 6;
    is(scalar @{ ask($one, 18, { do => 'convs' })->{data} }, 4,
        'conversations, too');
    my $last = ask($one, 18, { do => 'history', conv => 'p5.6' })->{data};
    is(substr($last->{items}[-1]{body}, 0, 1), chr(64 + $n),
        'the newest of a history');
}

done_testing;
