# The application's word before a client's message is published: it allows,
# refuses, replaces; it is slow, wrong, and never answers, while the messages of
# others go on.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::Client;
use Goim::Cluster;
use Goim::Sender;
use JSON::PP ();
use Time::HiRes ();

my $json = JSON::PP->new->canonical;

# what it answers to a payload
my %says = (
    allow    => [204, ''],
    allowed  => [200, '{"allow":true,"more":1}'],
    refuse   => [200, '{"allow":false,"reason":"no \u00e4dvertising"}'],
    silently => [200, '{"allow":false}'],
    long     => [200, $json->encode({ allow => JSON::PP::false,
        reason => "x" . "\xc3\xa9" x 300 })],
    replace  => [200, '{"allow":true,"payload":"other \u00e4 \u0000"}'],
    empty    => [200, '{"allow":true,"payload":""}'],
    coded    => [200, '{"allow":true,"base64url":"_wD-Cg"}'],

    # these are wrong
    page     => [200, '<html>OK</html>'],
    nothing  => [200, ''],
    null     => [200, 'null'],
    other    => [200, '{"code":0}'],
    text     => [200, '{"allow":"true"}'],
    number   => [200, '{"allow":true,"payload":7}'],
    both     => [200, '{"allow":true,"payload":"a","base64url":"YQ"}'],
    padded   => [200, '{"allow":true,"base64url":"YQ=="}'],
    big      => [200, $json->encode({ allow => JSON::PP::true,
        payload => 'x' x 5000 })],
    huge     => [200, $json->encode({ allow => JSON::PP::true,
        payload => 'x' x 100_000 })],
    created  => [201, '{"allow":true}'],
    no       => [403, '{"allow":true}'],
    moved    => [302, '{"allow":true}'],
    broken   => [500, ''],
    gone     => [],
    garbage  => [\"HELLO\r\n\r\n", 1],
);
my @wrong = qw(page nothing null other text number both padded big huge created
    no moved broken gone garbage);

my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    Time::HiRes::sleep($1) if $body =~ /^sleep ([\d.]+)/;
    return @{ $says{$body} || $says{allow} };
});
my $before = { url => $app->url('/before?by=goim'), timeout => '2s' };

my $c = Goim::Cluster->new(nginx => { tcp => 1 },
    logic => { Goim::Sender::logic(before => $before,
        logic => { threads => 1 }) });

sub words {
    my ($result) = @_;
    return $c->logic->metrics->{qq(goim_logic_before_total{result="$result"})};
}

my %live = (rooms => ['live://*'], mids => JSON::PP::true);
my $one = enters($c, mid => 7, key => 'k/7', send => \%live);
my $tcp = enters($c, mid => 8, transport => 'tcp', send => \%live);

# what comes of each
sub comes {
    my ($payload, $body, $name) = @_;
    is_deeply send_to($one, { to => 'live://1' }, $payload), { code => 0 },
        "$name: sent";
    for my $client ($one, $tcp) {
        my $p = $client->push;
        is $p && $p->{body}, $body, "$name: comes";
    }
}

# ---- allows, refuses, replaces -----------------------------------------------

comes('allow', 'allow', '204');
comes('allowed', 'allowed', 'allow');
is words('allowed'), 2, 'they are counted';

{
    my $a = send_to($one, { to => 'live://1' }, 'refuse');
    utf8::decode($a->{reason});
    is_deeply $a, { code => -403, reason => "no \x{e4}dvertising" },
        'refused, with the reason';
    is_deeply send_to($tcp, { to => 'live://1' }, 'silently'),
        { code => -403, reason => 'refused' }, 'refused, without one';
    $a = send_to($one, { to => 'live://1' }, 'long');
    is $a->{code}, -403, 'refused, with a long one';
    utf8::decode($a->{reason});
    ok length $a->{reason} <= 256 && $a->{reason} =~ /^x\x{e9}{100,}\z/,
        'of which whole characters are told' or diag $a->{reason};
    is words('refused'), 3, 'they are counted';
}

comes('replace', "other \xc3\xa4 \0", 'replaced');
comes('empty', '', 'replaced by nothing');
comes('coded', "\xff\0\xfe\n", 'replaced by bytes');
is words('replaced'), 3, 'they are counted';

# ---- what it is asked --------------------------------------------------------

{
    send_to($one, { to => 'live://1', operation => 1001, id => 'a/b' }, 'asked');
    send_to($one, { mids => [9, 10] }, 'asked');
    $_->push for $one, $tcp;
    my @asked = grep { $_->{body} eq 'asked' } $app->seen;
    is_deeply [map { $_->{path} } @asked],
        ['/before?by=goim&mid=7&operation=1001&key=k%2F7'
            . '&room=live%3A%2F%2F1&id=a%2Fb',
         '/before?by=goim&mid=7&operation=1000&key=k%2F7&mids=9,10'],
        'by whom, what, and for whom';
    my $n = $app->seen;
    is send_to($one, { to => 'game://1' }, 'x')->{code}, -403,
        'what is not granted';
    is send_to($one, { to => 'live' }, 'x')->{code}, -400, 'or wrong';
    is scalar(my @now = $app->seen), $n, 'is not asked about';
}

# ---- wrong -------------------------------------------------------------------

{
    my $failed = words('failed');
    for my $what (@wrong) {
        is send_to($one, { to => 'live://1' }, $what)->{code}, -503,
            "$what: not sent";
    }
    is words('failed') - $failed, scalar @wrong, 'they are counted';
    comes('allow', 'allow', 'none of these came, and it goes on');
    like $c->logic->logs, qr/before: the application does not judge a message/,
        'the log says it';
}

# ---- slow, and never ---------------------------------------------------------

{
    # those of others go on; a session's wait for each other
    my $slow = $one->send(4, say({ to => 'live://1' }, 'sleep 0.7'));
    my $next = $one->send(4, say({ to => 'live://1' }, 'behind'));
    is sent($_)->{code}, 0, 'slow: sent in the end'
        for map { $one->reply } 1, 2;
    is_deeply [map { $_->{body} } $tcp->pushes(2)], ['sleep 0.7', 'behind'],
        'slow: and in order';
    $one->pushes(2);

    # allowed when its node has said that it is not known: it is not sent; the
    # application, which does one thing after the other, hears of the next then
    $c->node->configure(goim => { logic_timeout => '600ms' });
    $c->node->reload;
    my $hasty = enters($c, mid => 9, send => \%live);
    is send_to($hasty, { to => 'live://1' }, 'sleep 1.2')->{code}, -504,
        'allowed too late: it is not known';
    is send_to($one, { to => 'live://1' }, 'after')->{code}, 0, 'the next';
    is $_->push->{body}, 'after', 'what came too late is not sent'
        for $one, $tcp;
    $hasty->close;
    $c->node->configure(goim => {});
    $c->node->reload;

    is send_to($one, { to => 'live://1' }, 'sleep ' . 3 * slow())->{code}, -503,
        'later than [before] timeout: not sent';
    $app->stop;
    is send_to($one, { to => 'live://1' }, 'nobody')->{code}, -503,
        'nobody there: not sent';
    $app->start;
    wait_for { send_to($tcp, { to => 'live://1' }, 'again')->{code} == 0 } 20,
        'it is there again';
    is $one->push->{body}, 'again', 'what was not sent never comes';
    $tcp->push;

    # accepts, and says nothing
    $app->stop;
    my $mute = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $app->{port}) or die "mute: $!";
    is send_to($one, { to => 'live://1' }, 'never')->{code}, -503,
        'no answer ever: not sent';

    # bounded: each thread has one connection to it and one that waits
    restart($c, before => { connections => 1, waiting => 1,
        timeout => '1500ms' });
    my @many = map { enters($c, mid => $_, send => \%live) } 100 .. 103;
    $_->send(4, say({ to => 'live://1' }, 'never')) for @many;
    Goim::Client->pump_all(\@many, 20, sub {
        return !grep { !@{ $_->{replies} } } @many
    });
    is_deeply [map { sent($_->reply)->{code} } @many], [(-503) x 4],
        'all are refused';
    like $c->logic->logs, qr/too many messages wait for it/,
        'two of them at once';
    close $mute;
}

done_testing;
