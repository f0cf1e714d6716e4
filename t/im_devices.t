# Devices of a user: the table follows the logins, one is told about, listed, closed:
# then it does not come back with the token it has, and is notified no more.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my ($c, $api);

sub client {
    my ($key, %arg) = @_;
    return enters($c, mid => 7, key => $key, accepts => [20], im => {}, %arg);
}

sub devices {
    return { map { $_->{key} => join ' ', @$_{qw(platform push_token)},
        $_->{online} ? 'online' : 'away' }
        @{ $api->get('/goim/im/devices', mid => 7)->{data} } };
}

sub listed {
    my ($want, $what) = @_;
    my $is;
    eventually { $is = devices(); $json->encode($is) eq $json->encode($want) } 10,
        $what or diag explain $is;
}

sub devices_of_one {
    my $now = time;
    my $phone = client('phone', platform => 'ios', exp => $now + 3600);
    my $web = client('web', platform => 'web');
    listed({ phone => 'ios  online', web => 'web  online' },
        'those that have logged in are known');

    my $device = sub { $api->post('/goim/im/device', [mid => 7, @_]) };
    is($device->(key => 'phone', push_token => "t\x{263a}")->{code}, 0,
        'a token for notifications');
    is($device->(key => 'tv', platform => 'tv')->{code}, 0, 'one that is away');
    listed({ phone => "ios t\x{263a} online", web => 'web  online',
        tv => 'tv  away' }, 'they are listed');
    for (['key'], ['key', key => ''], ['platform', key => 'k',
        platform => 'x' x 33], ['push_token', key => 'k',
        push_token => 'x' x 1025], ['key', key => 'x' x 257])
    {
        my ($name, @args) = @$_;
        my $said = $device->(@args);
        is($said->{code}, -400, "@args" =~ s/x{20,}/x.../r);
        like($said->{message}, qr/^$name: /, 'it is named');
    }

    my $kick = sub { $api->post('/goim/im/kick', [mid => $_[0], @_[1 .. $#_]])
        ->{code} };
    is($kick->(8, key => 'phone'), 0, "another's");
    ok(!defined $phone->closed(0.3), 'is not closed');
    is($kick->(7, key => 'phone', reason => 'stolen'), 0, 'one is closed');
    is($phone->closed, 4500, 'which it is told');
    listed({ phone => 'ios  away', web => 'web  online', tv => 'tv  away' },
        'it is notified no more');
    my $back = $c->client(auth => 0, token => $json->encode({ token => token(
        mid => 7, key => 'phone', exp => $now + 3600) }));
    $back->send(7, $back->{auth}{token});
    is($back->closed, 1008, 'with its token it does not come back');
    ok(client('phone', exp => $now + 3700), 'with another it does');

    my $said = $json->decode($web->call(18,
        '{"do":"kick","key":"tv"}')->{body});
    is($said->{code}, 0, 'over a socket');
    is($json->decode($web->call(18, '{"do":"devices"}')->{body})->{data}[0]{key},
        'phone', 'and the list');

    $device->(key => "d$_") for 1 .. 105;
    is(scalar keys %{ devices() }, 100, 'as many as are kept');
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        my %im = (im => { db => Goim::IM->new($kind)->url });
        $c = Goim::Cluster->new(logic => { Goim::Sender::logic(%im) },
            job => { conf => { %im } });
        $api = $c->api;
        eventually { $api->post('/goim/im/send', [mid => 1, to => 2, id => 'x'],
            'x')->{code} == 0 } 20, 'it is ready';
        devices_of_one();
    };
}

done_testing;
