# POST /goim/revoke: tokens of a user issued until then, or one by its id, are
# taken no longer by any logic, and what they let in ends; a Redis that lost its
# data changes nothing about that.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Client;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Logic;
use Goim::Sender qw(token);
use Goim::Test;

my %registry = (registry => { ttl => '6s', renew => '1s' });
my $c = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2,
    logic => { Goim::Sender::logic(%registry) },
    nginx => { tcp => 1 }, job => { conf => \%registry });
my $json = JSON::PP->new->canonical;
my $turn = 0;

# one that is let in, or not; on either node and front
sub client {
    my ($token, %arg) = @_;
    my $client = $c->client(node => $turn++ % 2,
        transport => (qw(ws tcp))[$turn / 2 % 2], auth => 0, errors => 1);
    $client->send(7, $json->encode({ token => $token, errors => 1, %arg }));
    return $client;
}

sub enters {
    my ($token, %arg) = @_;
    my $client = client($token, %arg);
    my $r = $client->reply;
    is $r && $r->{op}, 8, 'is let in';
    return $client;
}

# how a login ends: "in", or why not
sub said {
    my ($token) = @_;
    my $client = client($token);
    Goim::Client->pump_all([$client], 10, sub {
        return @{ $client->{replies} } || @{ $client->{byes} };
    });
    return @{ $client->{replies} } ? 'in' : $client->{byes}[0]{reason}
        // 'nothing';
}

# by both nodes, over both fronts
sub refused {
    my ($token, $name) = @_;
    my @said = map { said($token) } 1 .. 4;
    is join(', ', @said), join(', ', ('auth refused') x 4), $name;
}

sub revoke {
    my ($query) = @_;
    return $c->api($turn++ % 2)->post('/goim/revoke', $query);
}

sub done {
    my ($query, $name) = @_;
    my $r = revoke($query);
    is "$r->{http} $r->{code}", '200 0', "$name: taken" or diag $r->{text};
    return $r;
}

sub ended {
    my ($client, $name) = @_;
    is_deeply $client->bye(10), { code => 4003, reason => 'token revoked',
        again => JSON::PP::false }, "$name: ends, for another token";
    my $code = $client->closed(10);
    is $code, 4003, "$name: its code" if !$client->{tcp};
}

sub stays {
    my ($client, $name) = @_;
    ok eval { $client->heartbeat; 1 }, "$name: stays";
}

sub metric {
    my $sum = 0;
    $sum += $c->logic($_)->metrics->{"goim_logic_$_[0]_total"} for 0, 1;
    return $sum;
}

my $long = time + 3600;

subtest 'all of a user' => sub {
    my $old = token(mid => 7, iat => time - 100, exp => $long);
    my $bare = token(mid => 7, exp => $long);
    my @mine = map { enters($_) } ($old, $bare) x 2;
    my @others = map { enters(token(mid => $_, iat => time - 100)) } 70, 8;

    my $r = done([mids => 7, exp => $long], 'a user');
    cmp_ok abs($r->{data}{until} - time), '<=', 5 * slow(), 'until now';
    ended($_, 'a session') for @mine;
    stays($_, 'another user') for @others;
    refused($old, 'an old token is refused');
    refused($bare, 'one that does not say when it was issued');
    refused(token(mid => 7, iat => $r->{data}{until} + 0.5, exp => $long),
        'one of that second');
    my $new = enters(token(mid => 7, iat => $r->{data}{until} + 1));
    done([mids => 7, until => $r->{data}{until} - 50], 'less');
    ended($new, 'who is in');
    enters(token(mid => 7, iat => $r->{data}{until} + 1));
    refused($old, 'the wider counts');
    cmp_ok metric('revoked'), '>=', 16, 'counted';
    is metric('revokes'), 2, 'these, too';
};

subtest 'a token by its id' => sub {
    my %token = map { $_ => token(mid => 9, jti => $_, exp => $long) }
        'a', 'b', 'c', "\xc3\xa9 d";
    my %in = map { $_ => enters($token{$_}) } sort keys %token;

    done([jtis => ['a', "\xc3\xa9 d", 'nobody'], exp => $long],
        'three ids');
    ended($in{$_}, 'its session') for 'a', "\xc3\xa9 d";
    stays($in{$_}, 'another token') for 'b', 'c';
    refused($token{a}, 'it is refused');
    enters($token{b});

    # a session goes on with another token
    $in{b}->send(7, $json->encode({ token => $token{a} }));
    my $r = $in{b}->reply;
    is $r->{op}, 7, 'nobody goes on with one that is revoked';
    is $in{b}->bye(5)->{reason}, 'the token is revoked', 'and is told';
    $in{c}->send(7, $json->encode({ token => $token{b} }));
    is $in{c}->reply->{op}, 8, 'with another one';
    done([jtis => 'c'], 'the one before');
    stays($in{c}, 'it counts no more');
    done([jtis => 'b'], 'the other one');
    ended($in{c}, 'the session');
};

subtest 'POST /goim/send' => sub {
    my %send = (send => { rooms => ['live://*'] }, exp => $long);
    my $post = sub {
        my ($jti) = @_;
        return Goim::HTTP::request('POST', 'http://127.0.0.1:'
            . $c->logic($turn++ % 2)->{http_port} . '/goim/send',
            headers => { Authorization => 'Bearer '
                . token(mid => 11, jti => $jti, %send) },
            content => qq({"to":"live://1","operation":1000}\nhello));
    };
    is $post->('x')->{status}, 200, 'sends';
    done([jtis => 'x'], 'its token');
    my @r = map { $post->('x') } 1, 2;
    is $_->{status}, 401, 'not any more' for @r;
    is $r[0]{json}{message}, 'the token is revoked', 'as it says';
    is $post->('y')->{status}, 200, 'with another one';
};

subtest 'what is refused' => sub {
    my @bad = (
        [[], qr/one of mids and jtis/],
        [[mids => 1, jtis => 'a'], qr/one of mids and jtis/],
        [[mids => 0], qr/mids: not a number over 0/],
        [[jtis => ''], qr/jtis: not 1 to 256/],
        [[jtis => 'j' x 257], qr/jtis: not 1 to 256/],
        [[jtis => [1 .. 1001]], qr/jtis: more than 1000/],
        [[jtis => 'a', until => 5], qr/until: goes with mids/],
        [[mids => 1, until => 'x'], qr/until: not a number/],
        [[mids => 1, exp => time - 1], qr/exp: is over/],
    );
    for my $bad (@bad) {
        my ($query, $why) = @$bad;
        my $r = revoke($query);
        is "$r->{http} $r->{code}", '400 -400', "$why";
        like $r->{message}, $why, 'is said';
    }
    refused(token(mid => 7, jti => 5), 'an id that is no text');
    refused(token(mid => 7, jti => 'j' x 257), 'one that is too long');
    refused(token(mid => 7, iat => 'now'), 'a time that is none');

    my $trust = Goim::Logic->new(redis => $c->redis->addr);
    wait_for { $trust->health->{status} == 200 } 20, 'a logic without tokens';
    is $trust->api->post('/goim/revoke', [mids => 1])->{http}, 400,
        'it revokes none';
};

subtest 'until when it counts' => sub {
    my $redis = $c->redis;
    my $end = sub { $redis->cmd('ZSCORE', 'goim:revoked:ends', $_[0]) };
    done([jtis => 'short', exp => $long], 'one that ends');
    cmp_ok $end->('jshort') / 1000, '>', $long, 'as long as its token';
    cmp_ok $end->('jshort') / 1000, '<', $long + 200, 'and not for ever';
    done([jtis => 'short'], 'the same for ever');
    is $end->('jshort'), undef, 'has no end';
    done([jtis => 'short', exp => $long], 'and again');
    is $end->('jshort'), undef, 'the longer counts';

    $redis->cmd('ZADD', 'goim:revoked:ends', 'XX', 1, 'ja');
    done([jtis => 'other'], 'another');
    is $redis->cmd('HEXISTS', 'goim:revoked', 'ja'), 0,
        'one whose token has ended is removed';
    is $redis->cmd('ZSCORE', 'goim:revoked:log', 'ja'), undef, 'wholly';
};

subtest 'Redis is restarted, and loses its data' => sub {
    my $redis = $c->redis;
    my %token = (jti => token(mid => 12, jti => 'lost'),
        mid => token(mid => 13, iat => time - 10));
    done([jtis => 'lost', exp => $long], 'a token');
    done([mids => 13], 'a user');
    my $known = sub { $redis->cmd('HEXISTS', 'goim:revoked', 'jlost') };
    is $known->(), 1, 'it stands in Redis';

    $redis->restart;
    wait_for { $c->logic($_)->health->{status} == 200 } 20, 'logic is back'
        for 0, 1;
    is $known->(), 1, 'after a restart, too';

    # each logic knows all of them
    wait_for {
        my @n = map { $c->logic($_)->metrics->{goim_logic_revocations} } 0, 1;
        $n[0] == $n[1] && $n[0] == $redis->cmd('HLEN', 'goim:revoked') - 1;
    } 10, 'what each knows';
    $c->logic(0)->stop;
    $turn = 1;
    $_->wait_registered(20) for $c->node(0), $c->node(1);
    $redis->cmd('FLUSHALL');
    wait_for { $redis->cmd('HEXISTS', 'goim:revoked', 'm13')
        && $known->() } 10, 'they are put back';
    eventually {
        $c->logic(1)->metrics->{goim_logic_revocations_restored_total} >= 2;
    } 10, 'counted';

    wait_for { said(token(mid => 14)) eq 'in' } 20, 'others are let in again';
    for my $kind (sort keys %token) {
        my $said;
        wait_for { ($said = said($token{$kind})) !~ /try again/ } 20,
            'an answer';
        is $said, 'auth refused', "it is still refused: $kind";
    }
};

done_testing;
