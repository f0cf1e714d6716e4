# Signed tokens that end, and refusals, with the JavaScript client in Chromium and
# a real node.

use strict;
use warnings;

use lib 't/lib';
use Goim::Chromium;
use Goim::Cluster;
use Goim::JWT;
use Goim::Test;
use JSON::PP ();
use Time::HiRes qw(time);

my $root = root_dir();
my $json = JSON::PP->new->canonical;
my $by = Goim::JWT->new('HS256');
my $c = Goim::Cluster->new(
    nginx => { server => "location /t/ { alias $root/t/web/; }" },
    logic => { conf => { auth => { mode => 'jwt', algorithms => 'HS256',
        secret_file => $by->file, leeway => '1s' } } });
my ($node, $api) = ($c->node, $c->api);
my $chromium = Goim::Chromium->new;
my $page = $chromium->page("http://127.0.0.1:$node->{port}/t/blank.html");

sub token { my (%claims) = @_; return $by->token({ sub => '7', %claims }) }

# a client, whose token is the next of these each time
sub begin {
    my ($key, $options, @tokens) = @_;
    my $all = $json->encode({ key => $key, room => 'live://1',
        accepts => [1000], %$options });
    my $list = $json->encode(\@tokens);
    return $page->eval(<<"JS");
(async () => {
    const { GoimClient } = await import('/goim.js');
    const it = { said: [], tokens: $list };
    it.client = new GoimClient({ ...$all, token: () => it.tokens.shift(),
        url: location.origin.replace('http', 'ws') + '/sub',
        backoff: { baseDelay: 100, maxDelay: 500 } });
    it.client.on('refused', (d) => it.said.push(`refused \${d.operation}`));
    it.client.on('denied', () => it.said.push('denied'));
    it.client.on('error', (e) => it.said.push(e.message));
    it.client.on('state', (d) => it.said.push(d.state));
    it.client.on('message', (m) => it.said.push(m.text()));
    globalThis.it = it;
    await it.client.connect();
    it.said.length = 0;
})()
JS
}

sub it   { return $page->eval("it.$_[0]") }
sub said { return $page->eval('it.said.splice(0)') }

# what a promise comes to
sub comes {
    return $page->eval("it.client.$_[0].then((x) => x === true ? 'done' : x,"
        . ' (e) => `${e.code}: ${e.message}`)');
}

# ---- refusals ----------------------------------------------------------------

begin('one', {}, token(rooms => ['live://*'], ops => [1000, 1001]));
is comes(q{changeRoom('live://2')}), 'done', 'a room';
is comes(q{changeRoom('own://2')}), 'refused: it may not enter that room',
    'one that it may not enter';
is it('client.room'), 'live://2', 'it stays';
is comes('sub([1001])'), 'done', 'an operation';
is comes('sub([1002])'), 'refused: it may not accept operation 1002',
    'one that it may not accept';
is_deeply it('client.accepts'), [1000, 1001], 'nothing is added';
is_deeply said(), ['refused 12', 'refused 14'], 'both are events';
$page->eval('it.client.close()');

# ---- it goes on --------------------------------------------------------------

{
    my $end = time + 4;
    begin('two', {}, token(rooms => ['*'], exp => $end),
        token(rooms => ['live://2'], ops => [1001], exp => $end + 600));
    eventually { !@{ it('tokens') } && it('client.room') eq '' } 10,
        'a new token is asked for, and grants less';
    is_deeply it('client.accepts'), [], 'of operations, too';
    is_deeply said(), ['refused 12', 'refused 14'], 'it is told';
    is comes(q{changeRoom('live://2')}), 'done', 'what it grants, it has';
    wait_for { time > $end + 1.7 } 20, 'the first token has ended';
    is it('client.state'), 'open', 'it is open';
    $api->room(1000, 'live', '2', 'still here');
    eventually { it(q{said.includes('still here')}) } 10, 'and gets what comes';
    is_deeply said(), ['still here'], 'nothing else has happened';
    $page->eval('it.client.close()');
}

# ---- it ends -----------------------------------------------------------------

# the first new one is not taken: it comes back with another
begin('three', {}, token(rooms => ['*'], exp => time + 3), 'no token',
    token(rooms => ['*']));
eventually { !@{ it('tokens') } && it('client.state') eq 'open' } 20,
    'it comes back with another token';
is_deeply said(), ['refused 7', 'the token is not signed in compact form',
    'waiting', 'connecting', 'auth', 'open'], 'after the end of the first';
is it('client.room'), 'live://1', 'where it was';
$page->eval('it.client.close()');

is $node->status->{counters}{expired}, 1, 'only this one has expired';
is_deeply [grep { !/WebSocket connection/ } $page->errors], [],
    'no errors in the page';

done_testing;
