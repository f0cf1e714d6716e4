# Tickets: what a backend gets for a user's device lets it in, to speak with people,
# until it ends; nobody else gets one, nor with a key that logins would not take.

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 ();

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::JWT;
use Goim::Logic;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical->utf8;
my %auth = (issuer => 'https://app.example.com', audience => 'goim',
    leeway => 0);
my %im = (im => { db => 'sqlite:' . folder('db') . '/im.db' });
my $keys = folder('api') . '/keys';
my ($backend, $other) = ('b' x 40, 'c' x 40);
spew($keys, "shop $backend im,control\nads $other push\n");

my %logic = Goim::Sender::logic(%im, auth => \%auth, api => { keys => $keys });
my $secret = $logic{conf}{auth}{secret_file};
$logic{conf}{im} = { %{ $logic{conf}{im} }, ticket_key => $secret,
    public_url => 'https://im.example.com/x' };
my $c = Goim::Cluster->new(logic => \%logic, job => { conf => { %im } });

sub asks {
    my ($logic, $what, $shown, @query) = @_;
    my $said = Goim::HTTP::post("http://127.0.0.1:$logic->{http_port}/goim/im/"
        . "$what?" . Goim::HTTP::query(@query), timeout => 30, content => '',
        headers => { defined $shown ? (Authorization => "Bearer $shown") : () });
    return $said->{json};
}

sub ticket { return asks($c->logic, 'ticket', $backend, @_) }

sub claims {
    my ($token) = @_;
    return JSON::PP::decode_json(MIME::Base64::decode_base64url((split /\./, $token)[1]));
}

sub enter {
    my ($token, %more) = @_;
    return $c->client(token => $json->encode({ token => $token, %more }));
}

# the code with which one is closed that is not let in
sub refused {
    my ($token) = @_;
    my $client = $c->client(auth => 0);
    $client->send(7, $json->encode({ token => $token }));
    return $client->closed;
}

# ---- one that is good --------------------------------------------------------

# each thread knows the node
wait_for { !grep { ticket(mid => 7, key => 'k', platform => 'ios')->{code} } 1 .. 10 }
    20, 'tickets';

my $before = time;
my $said = ticket(mid => 7, key => "k\x{263a}", platform => 'ios', ttl => 60);
is($said->{code}, 0, 'a ticket') or diag explain $said;
my $data = $said->{data};
my $is = claims($data->{token});
cmp_ok($is->{iat}, '>=', $before, 'from now on');
is($data->{exp}, $is->{iat} + 60, 'it says how long it is good');
is_deeply($is, { sub => '7', key => "k\x{263a}", platform => 'ios', im => {},
    accepts => [20, 22], iat => $is->{iat}, exp => $data->{exp},
    iss => $auth{issuer}, aud => $auth{audience} }, 'what it says');
is($data->{logic}, 'https://im.example.com/x', 'where logic is');
is_deeply($data->{comets}, $c->api->get('/goim/nodes/weighted')->{data},
    'and the nodes, as nodes/weighted has them');
is(claims(ticket(mid => 7, key => 'd', platform => 'x')->{data}{token})->{exp}
    - time > 86000, 1, 'a day, if nothing else is said');

my $seven = enter($data->{token});
my $eight = enter(ticket(mid => 8, key => 'k8', platform => 'web')
    ->{data}{token});
is($json->decode($seven->call(4, qq({"to":8,"id":"c1"}\nhello))->{body})->{code},
    0, 'it sends');
like($_->push->{body}, qr/"mid":7,.*\nhello$/, 'it comes') for $seven, $eight;
is($json->decode($seven->call(18, '{"do":"devices"}')->{body})->{data}[0]
    {platform}, 'ios', 'a device of its platform');
$seven->send(22, '{"to":"8","kind":"typing"}');
like($eight->push->{body}, qr/"kind":"typing"/, 'signals, too');
is(asks($c->logic, 'read', $data->{token}, conv => 'p7.8', read => 1)->{code}, 0,
    'over HTTP, too');
isnt($json->decode($seven->call(4, qq({"to":"live://1","operation":1000}\nx))
    ->{body})->{code}, 0, 'it says nothing in rooms');

# ---- those that are none -----------------------------------------------------

my ($head, $text, $sign) = split /\./, $data->{token};
my $altered = Goim::JWT::base64url($json->encode({ %$is, sub => '1' }));
is(refused("$head.$altered.$sign"), 1008, 'altered');
is(refused("$head.$text." . ($sign =~ tr/A-Za-z/B-ZAb-za/r)), 1008, 'signed wrong');
is(refused(Goim::JWT->new('HS256')->token($json->encode($is))), 1008,
    'of a foreign key');
is(refused(token(%$is, key => 'k', aud => 'other')), 1008, 'for somebody else');

my $short = ticket(mid => 9, key => 'k9', platform => 'web', ttl => 1)->{data};
wait_for { time > $short->{exp} } 10, 'one has ended';
is(refused($short->{token}), 1008, 'which is refused');

# ---- a key that is kicked ----------------------------------------------------

is(asks($c->logic, 'kick', $backend, mid => 7, key => "k\x{263a}")->{code}, 0,
    'kicked');
is($seven->closed, 4500, 'closed');
is(refused($data->{token}), 1008, 'its ticket lets it in no more');
is(refused(ticket(mid => 7, key => "k\x{263a}", platform => 'ios', ttl => 5)
    ->{data}{token}), 1008, 'nor one that ends sooner');
ok(enter(ticket(mid => 7, key => "k\x{263a}", platform => 'ios')->{data}{token}),
    'another does');

# ---- who gets none -----------------------------------------------------------

my @good = (key => 'k', platform => 'web');
my $user = ticket(mid => 8, @good)->{data}{token};
for (['with its own token', @good], ['for somebody', mid => 9, @good]) {
    my ($what, @query) = @$_;
    $said = asks($c->logic, 'ticket', $user, @query);
    is("$said->{code} $said->{message}", '-403 for backends only', "a user, $what");
}
is($json->decode($eight->call(18, '{"do":"ticket","key":"k","platform":"web"}')
    ->{body})->{code}, -403, 'nor by its socket');
is(asks($c->logic, 'ticket', undef, mid => 8, @good)->{code}, -401, 'nobody');
is(asks($c->logic, 'ticket', $other, mid => 8, @good)->{code}, -403,
    'nor a key for something else');

# ---- parameters --------------------------------------------------------------

my %all = (mid => 7, key => 'k', platform => 'web', ttl => 60);
for ([mid => undef], [mid => ''], [mid => 0], [mid => -1], [mid => 'x'],
    [mid => '9223372036854775808'], [key => undef], [key => ''],
    [key => 'x' x 257], [key => "\xff"], [key => "a\0"], [platform => undef],
    [platform => ''], [platform => 'x' x 33], [platform => "\xff"], [ttl => ''],
    [ttl => 0], [ttl => -1], [ttl => '1.5'], [ttl => 2592001], [other => 1])
{
    my ($name, $value) = @$_;
    my %query = (%all, $name => $value);
    $said = ticket(map { defined $query{$_} ? ($_ => $query{$_}) : () }
        sort keys %query);
    my $what = "$name = " . (defined $value ? $json->allow_nonref->encode(
        substr $value, 0, 20) : 'none');
    is($said->{code}, -400, $what);
    like($said->{message}, qr/^$name: /, 'it is named');
}
is(ticket(%all, key => 'x' x 256, platform => 'y' x 32, ttl => 2592000)->{code},
    0, 'as long as may be');

# ---- keys --------------------------------------------------------------------

my $alone = sub {
    my ($alg, $signs, %arg) = @_;
    return Goim::Logic->new(redis => $c->redis->addr, stopped => 1, conf => {
        auth => { mode => 'jwt', algorithms => $arg{algorithms} || $alg->{alg},
            $alg->{alg} eq 'HS256' ? 'secret_file' : 'keys', $alg->file },
        nodes => { domain => 'push.example.com' },
        im => { %{ $im{im} }, defined $signs ? (ticket_key => $signs) : () } });
};
my %signer = map { $_ => Goim::JWT->new($_) } qw(HS256 RS256 ES256 EdDSA);
for my $alg (sort keys %signer) {
    my $logic = $alone->($signer{$alg}, $alg eq 'HS256' ? $signer{$alg}->file
        : "$signer{$alg}{dir}/key");
    $logic->start;
    wait_for { ($said = asks($logic, 'ticket', undef, mid => 7, @good))->{code}
        == 0 } 10, "$alg: a ticket";
    is(claims($said->{data}{token})->{sub}, '7', "$alg: signs tickets");
    is($said->{data}{logic}, undef, 'without an address');
    $logic->stop;
}
my $none = $alone->($signer{HS256});
$none->start;
is(asks($none, 'ticket', undef, mid => 7, @good)->{code}, -404,
    'none without a key');
$none->stop;

my $foreign = Goim::JWT->new('ES256');
for (['another key', $signer{ES256}, "$foreign->{dir}/key", {},
        "is no key of [auth]: the token's signature is wrong"],
    ['of another kind', $signer{ES256}, $secret, {},
        'signs by HS256, which [auth] algorithms does not have'],
    ['one that has no public one', $signer{ES256}, "$signer{EdDSA}{dir}/key",
        { algorithms => 'ES256 EdDSA' },
        'is no key of [auth]: there is no key for the token'],
    ['a public one', $signer{ES256}, $signer{ES256}->file, {},
        'no private key in PEM without a password'])
{
    my ($what, $alg, $file, $arg, $why) = @$_;
    my ($code, $text) = $alone->($alg, $file, %$arg)->test_conf;
    isnt($code, 0, "$what: refused");
    like($text, qr/\[im\] ticket_key:? \Q$why\E/, 'and said why');
}
my ($code, $trust) = $none->test_with({ auth => { mode => 'trust' },
    im => { ticket_key => $secret, insecure => 1 } });
like($trust, qr/\[im\] ticket_key is for \[auth\] mode = jwt/, 'another mode');

done_testing;
