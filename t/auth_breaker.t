# An application that fails: what had no answer is asked again, within bounds;
# when it goes on failing it is left alone, and one login at a time tries it.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::App;
use Goim::HTTP;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;

use IO::Socket::INET ();
use Time::HiRes qw(sleep);

my $redis = Goim::Redis->new;
my $session = 0;
my %times;

# "N text": closed N times without an answer, then text
my $app = Goim::App->new(sub {
    my ($path, $head, $body) = @_;
    return if $body =~ /^(\d+) / && $times{$body}++ < $1;
    return (\"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", 1)
        if $body =~ /half/;
    return (503, 'busy') if $body =~ /busy/;
    return (401, 'no') if $body =~ /no/;
    return (200, '{"mid":7}');
});

sub logic {
    my ($auth) = @_;
    my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
        logic => { threads => 1 }, auth => { mode => 'http',
            url => $app->url('/auth'), timeout => '5s', %$auth } });
    Goim::RPC::ready($logic);
    return ($logic, Goim::RPC->new($logic->{rpc_port}));
}

sub ask {
    my ($rpc, $token) = @_;
    return $rpc->call(connect => { session => ++$session, token => $token });
}

sub asked { my ($t) = @_; return scalar grep { $_->{body} eq $t } $app->seen }

sub health {
    my ($logic) = @_;
    return Goim::HTTP::get("http://127.0.0.1:$logic->{http_port}/health")
        ->{json};
}

subtest 'again' => sub {
    my ($logic, $rpc) = logic({});

    # no connection is kept here: curl would go on from one by itself
    is ask($rpc, '9 yes')->{code}, 1, 'one that is never answered fails';
    is asked('9 yes'), 3, 'after three';
    is $logic->metrics->{goim_logic_hook_failed_total}, 1, 'as one';

    is ask($rpc, '2 yes')->{connected}{mid}, 7, 'the third one is answered';
    is asked('2 yes'), 3, 'of three';
    my $m = $logic->metrics;
    is $m->{goim_logic_hook_retried_total}, 4, 'which is counted';
    is $m->{goim_logic_hook_failed_total}, 1, 'and did not fail';

    for (['half', 1], ['busy', 1], ['no', 2]) {
        my ($token, $code) = @$_;
        is ask($rpc, $token)->{code}, $code, "an answer: $token";
        is asked($token), 1, 'is not asked for again';
    }
    $logic->stop;

    ($logic, $rpc) = logic({ retries => 5, timeout => '250ms' });
    is ask($rpc, '8 yes')->{code}, 1, 'its time is up';
    cmp_ok asked('8 yes'), '<=', 2, 'before all tries';
    unlike $logic->logs, qr/no connection was free in time/,
        'and none rests beyond it';
    $logic->stop;

    ($logic, $rpc) = logic({ retries => 0 });
    is ask($rpc, '1 never')->{code}, 1, 'no retries';
    is asked('1 never'), 1, 'one request';
    is $logic->stop, 0, 'ends';
};

subtest 'left alone' => sub {
    my ($logic, $rpc) = logic({ retries => 0, failures => 3, pause => '1s' });
    my $count = sub { $logic->metrics->{"goim_logic_$_[0]"} };

    is ask($rpc, "no $_")->{code}, 2, 'a refusal is an answer' for 1 .. 4;
    is ask($rpc, 'busy')->{code}, 1, 'busy' for 1, 2;
    is ask($rpc, 'x')->{code}, 0, 'an answer ends the row';
    is ask($rpc, 'busy')->{code}, 1, 'busy' for 1, 2;
    is $count->('auth_paused'), 0, 'it is asked';
    is_deeply health($logic), { status => 'ok' }, 'and healthy';

    $app->stop;
    is ask($rpc, 'x')->{code}, 1, 'the third of a row';
    is $count->('auth_paused'), 1, 'now it is left alone';
    like health($logic)->{warning}, qr/logins are refused/, 'health says so';

    my $requests = $count->('hook_requests_total');
    is ask($rpc, 'x')->{code}, 1, 'refused: one may try again' for 1 .. 3;
    is $count->('hook_requests_total') + $count->('auth_refused_total'),
        $requests + 3, 'each was counted, as refused or as a try';
    cmp_ok $count->('auth_refused_total'), '>', 0, 'unasked';

    # a silent one: connections come to be, and nothing is said
    my $silent = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $app->{port}) or die $!;
    sleep 1.3;
    $requests = $count->('hook_requests_total');
    my @id = map { $rpc->send(connect => { session => ++$session,
        token => 'x' }) } 1 .. 5;
    is_deeply [map { $rpc->reply($_)->{code} } @id], [(1) x 5], 'five logins';
    is $count->('hook_requests_total'), $requests + 1, 'one of them tries';

    close $silent;
    $app->start;
    eventually { ask($rpc, 'x')->{code} == 0 } 20, 'it is back';
    is $count->('auth_paused'), 0, 'and asked';
    is_deeply health($logic), { status => 'ok' }, 'no warning';
    is ask($rpc, 'x')->{code}, 0, 'by all' for 1 .. 3;

    my $log = $logic->logs;
    is scalar(() = $log =~ /failed 3 times in a row/g), 1, 'said once';
    is scalar(() = $log =~ /application answers again/g), 1, 'and the end';
    is $logic->stop, 0, 'ends';
};

subtest 'or not' => sub {
    my ($logic, $rpc) = logic({ failures => 0 });
    is ask($rpc, 'busy')->{code}, 1, 'busy' for 1 .. 30;
    is ask($rpc, 'x')->{code}, 0, 'it was asked each time';
    is $logic->metrics->{goim_logic_auth_refused_total}, 0, 'none refused';
    $logic->stop;
};

done_testing;
