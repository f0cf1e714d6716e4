# Logins by signed tokens, through real nodes: each algorithm, what is wrong
# with a token, what it lets a client do, and a key that another mid has.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Client;
use Goim::Cluster;
use Goim::JWT;
use JSON::PP ();

my $json = JSON::PP->new->canonical;
my %key = map { $_ => Goim::JWT->new($_) } qw(HS256 RS256 ES256 EdDSA);
my %rules = (mode => 'jwt', algorithms => 'HS256 RS256 ES256, EdDSA',
    secret_file => $key{HS256}->file,
    keys => join(', ', map { $key{$_}->file } qw(RS256 ES256 EdDSA)));

my $c = Goim::Cluster->new(nginx => { tcp => 1,
    server => 'location = /cookie { goim_subscribe; goim_origin same;'
        . ' goim_cookie token; }' },
    logic => { conf => { auth => \%rules } });
my $node = $c->node;
my $by = $key{HS256};

sub token { return $by->token(ref $_[0] ? $_[0] : { @_ }) }

# how a login ends: '' in, or the code of the close
sub login {
    my ($packet, %arg) = @_;
    my $client = client($packet, %arg);
    Goim::Client->pump_all([$client], 10, sub {
        return @{ $client->{replies} } || defined $client->transport->{code}
    });
    my ($r) = @{ $client->{replies} };
    return $r && $r->{op} == 8 ? '' : $client->closed;
}

sub client {
    my ($packet, %arg) = @_;
    $packet = $json->encode(ref $packet ? $packet : { token => $packet });
    my $client = Goim::Client->new(port => $arg{transport}
        ? $node->{tcp_port} : $node->{port}, auth => 0, %arg);
    $client->send(7, $packet);
    return $client;
}

# one that is in
sub enters {
    my ($packet, %arg) = @_;
    my $what = delete $arg{what} || 'in';
    my $client = client($packet, %arg);
    my $r = $client->reply;
    is $r && $r->{op}, 8, $what;
    return $client;
}

my $mark = 0;

# it is refused, and this stands in the node's log
sub refused {
    my ($packet, $why, $name, %arg) = @_;
    is login($packet, %arg), 1008, "$name: refused";
    eventually {
        my $log = substr $node->error_log, $mark;
        $log =~ /auth refused: \Q$why\E/ or return;
        $mark += $+[0];
    } 10, "$name: $why";
}

# ---- algorithms --------------------------------------------------------------

for my $alg (sort keys %key) {
    my $token = $key{$alg}->token({ sub => '7', key => $alg,
        exp => time + 600 });
    for my $transport (undef, 'tcp') {
        my $name = "$alg, " . ($transport || 'ws');
        my $client = enters($token, transport => $transport, what => $name);
        is $c->redis->cmd('HGET', "sess_$alg", 'mid'), 7, "$name: is its mid";
        is $c->api->mids(1000, [7], 'x')->{code}, 0, "$name: it is found";
    }

    # altered: what it says, and by whom it says so
    my ($head, $claims, $sig) = split /\./, $token;
    my $other = Goim::JWT::base64url($json->encode({ sub => '8' }));
    my $wrong = "the token's signature is wrong";
    refused("$head.$other.$sig", $wrong, "$alg, other claims");
    substr $sig, 9, 1, substr($sig, 9, 1) eq 'A' ? 'B' : 'A';
    refused("$head.$claims.$sig", $wrong, "$alg, another signature");
    refused(Goim::JWT->new($alg)->token({ sub => '7' }), $wrong,
        "$alg, another's key");
    refused("$head.$claims", 'the token is not signed in compact form',
        "$alg, no signature");
}

# ---- confusion ---------------------------------------------------------------

{
    my $none = 'the token\'s algorithm is none of those configured';
    my $claims = Goim::JWT::base64url($json->encode({ sub => '7' }));
    for my $alg (qw(none None nOnE hs256 HS512 PS256)) {
        my $head = Goim::JWT::base64url($json->encode({ alg => $alg }));
        refused("$head.$claims.AAAA", $none, $alg);
    }
    refused(Goim::JWT::base64url('{"alg":"none"}') . ".$claims.",
        'the token is not signed in compact form', 'none, as it is written');

    # the public key as a secret, as it stands in its file and without the end
    # of its last line
    my $public = slurp($key{RS256}->file);
    for my $secret ($public, $public =~ s/\n\z//r) {
        my $evil = Goim::JWT->new('HS256', secret => $secret);
        refused($evil->token({ sub => '7' }), 'the token\'s signature is wrong',
            'HS256 by the public key of RS256');
    }
    refused($key{RS256}->token({ sub => '7' }, alg => 'ES256'),
        'the token\'s signature is wrong', 'RS256 that says ES256');

    my $evil = Goim::JWT->new('RS256');
    refused($evil->token({ sub => '7' }, header => { jwk => $evil->jwk,
        jku => 'https://127.0.0.1:1/', x5u => 'https://127.0.0.1:1/' }),
        'the token\'s signature is wrong', 'a key that it brings itself');
    refused($by->token({ sub => '7' }, header => { crit => ['exp'] }),
        'the token demands an extension', 'crit');
}

# ---- times and parties -------------------------------------------------------

is login(token(sub => '7', nbf => time - 1, exp => time + 60)), '', 'now';
is login(token(sub => '7', exp => time - 2)), '', 'within the leeway';
refused(token(sub => '7', exp => time - 60), 'the token has expired',
    'expired');
refused(token(sub => '7', nbf => time + 60), 'the token is not valid yet',
    'not valid yet');
refused(token(sub => '7', exp => 'never'),
    'the token\'s exp or nbf is not a number', 'an exp that is none');
refused(token(sub => '7', aud => 'chat'),
    'the token is for an audience, and none is configured', 'an audience');

# ---- who it is ---------------------------------------------------------------

for my $mid ('9223372036854775807', '-9223372036854775808', '1') {
    my $client = enters(token(sub => $mid, key => "m$mid"), what => "sub $mid");
    is $c->redis->cmd('HGET', "sess_m$mid", 'mid'), $mid < 0 ? 0 : $mid,
        'is its mid';
}
{
    my $client = enters(token(sub => 'a user', mid => 5, key => 'by mid'),
        what => 'mid, whatever sub is');
    is $c->redis->cmd('HGET', 'sess_by mid', 'mid'), 5, 'is it';
}

refused(token(sub => $_), 'sub is not a mid, a decimal number of 64 bits',
    "sub '$_'") for 'alice', '', '1e3', '0x10', ' 1', '1 ', '9223372036854775808';
refused(token(Sub => '7'), 'neither mid nor key, and no guest', 'nobody');
refused(token(sub => '7', rooms => 'live://1'), 'rooms is not a list of at most'
    . ' 64 names, 4096 bytes', 'rooms that are none');
refused(token(sub => '7', ops => ['x']), 'ops is not a list of at most 128 '
    . 'operations or ranges', 'ops that are none');
refused({}, 'no token', 'no token');
refused({ mid => 7, key => 'k' }, 'no token', 'goim\'s own login');
refused({ token => 7 }, 'token is not a string', 'no text');

# what the packet says of who it is does not count
{
    my $client = enters({ token => token(sub => '7', key => 'seven'),
        mid => 8 });
    is $c->redis->cmd('HGET', 'sess_seven', 'mid'), 7, 'the token\'s mid';
}

# ---- what it may -------------------------------------------------------------

{
    my %may = (sub => '7', rooms => ['live://*', 'news://1'],
        ops => [5, '1000-1999']);

    my $client = enters({ token => token(%may, room_id => 'own://1',
        accepts => [3]) });
    is $client->heartbeat, 1, 'in the token\'s room';

    $client = enters({ token => token(%may, room_id => 'own://1',
        accepts => [3]), room_id => 'live://5', accepts => [3, 5, 1500] });
    is $client->change_room('live://6')->{body}, 'live://6', 'a pattern';
    is $client->change_room('news://1')->{body}, 'news://1', 'a name';
    is $client->change_room('news://2')->{body}, 'news://1', 'another one';
    is $client->change_room('live:/')->{body}, 'news://1', 'half of one';
    is $client->change_room('own://1')->{body}, 'own://1', 'the token\'s own';

    my $no = $node->status->{counters}{subs_refused};
    is $client->call(14, '2000')->{body}, '2000', 'an operation it may not';
    is $client->call(14, '1999,4')->{body}, '1999,4', 'and one of two';
    is $client->call(14, '1001')->{body}, '1001', 'one that it may';
    is $node->status->{counters}{subs_refused}, $no + 2, 'are counted';
    $c->api->mids($_, [7], "op $_") for 2000, 4, 1999, 1001;
    is $client->push->{body}, 'op 1001', 'only that one is accepted';

    my $none = 'room_id is none of the token\'s rooms';
    refused({ token => token(%may), room_id => 'own://1' }, $none, 'a room');
    refused({ token => token(sub => '7'), room_id => 'live://1' }, $none,
        'any, where it has none');
    refused({ token => token(sub => '7', room_id => 'live://*'),
        room_id => 'live://1' }, $none, 'one that its own is no pattern of');
    refused({ token => token(%may), accepts => [1000, 2000] },
        'accepts has none of the token\'s ops', 'an operation');
    refused({ token => token(sub => '7', ops => []), accepts => [1000] },
        'accepts has none of the token\'s ops', 'any, where it has none');

    is login({ token => token(sub => '7'), accepts => [1000] }), '',
        'without ops it may accept any';
    is login({ token => token(%may), room_id => '', accepts => [] }), '',
        'nothing asked for';
}

# ---- keys --------------------------------------------------------------------

{
    my $first = enters({ token => token(sub => '7'), key => 'phone' });
    refused({ token => token(sub => '8'), key => 'phone' },
        'another mid has the key', 'another mid takes the key');
    refused({ token => token(key => 'x', guest => JSON::PP::true),
        key => 'phone' }, 'key is not the token\'s', 'not the token\'s key');
    is $c->redis->cmd('HGET', 'sess_phone', 'mid'), 7, 'it stays';
    is $first->heartbeat, 0, 'and so does its connection';

    my $second = enters({ token => token(sub => '7'), key => 'phone' });
    is $first->closed, 1008, 'its own mid replaces it';

    # who signs may give a key to another
    my $third = enters({ token => token(sub => '8', key => 'phone') });
    is $second->closed, 1008, 'the token names it';
    is $c->redis->cmd('HGET', 'sess_phone', 'mid'), 8, 'it is the other\'s';
    $third->close;
    eventually { !$c->redis->cmd('EXISTS', 'sess_phone') } 10, 'it is free';
    is login({ token => token(sub => '7'), key => 'phone' }), '',
        'for the first one';
}

# ---- a cookie ----------------------------------------------------------------

{
    my $token = token(sub => '7', key => 'cookie');
    my $asks = sub {
        my ($path, $cookie, $origin) = @_;
        return login({}, path => $path, headers => [Cookie => $cookie,
            Origin => $origin || "http://127.0.0.1:$node->{port}"]);
    };
    is $asks->('/cookie', "a=b; token=$token; c=d"), '', 'a cookie';
    is $asks->('/cookie', "token=$token"), '', 'by itself';
    is $asks->('/cookie', $_ =~ s/TOKEN/$token/r), 1008, "'$_' has none"
        for 'xtoken=TOKEN', 'token', 'tokens=TOKEN', 'a=token=TOKEN', 'token=',
        'Token=TOKEN', '; ;';
    is $asks->('/cookie', "token=$token; token=x"), '', 'twice: the first';
    is $asks->('/cookie', "token=x; token=$token"), 1008, 'and no other';
    ok !eval { $asks->('/cookie', "token=$token", 'http://evil.test') },
        'the page of another site';
    is $asks->('/sub', "token=$token"), 1008,
        'not where the location names none';
    my $client = enters({ token => token(sub => '8', key => 'packet') },
        path => '/cookie', headers => [Cookie => "token=$token",
        Origin => "http://127.0.0.1:$node->{port}"], what => 'both');
    is $c->redis->cmd('HGET', 'sess_packet', 'mid'), 8, 'the packet\'s counts';
    is login({}, path => "/sub?token=$token"), 1008, 'never from a query';
}

# ---- logs hold no token ------------------------------------------------------

unlike join('', $node->error_log, $c->logic->logs), qr/eyJ/,
    'no token stands in a log';

done_testing;
