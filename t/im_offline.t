# Messages for users without a session: the application is told, signed, once for a
# conversation in a while, of what is still unread by who is still away.

use strict;
use warnings;

use MIME::Base64 ();

use lib 't/lib';
use Goim::Cluster;
use Goim::Events;
use Goim::IM;
use Goim::Sender;
use Goim::Test qw(:DEFAULT now);

my ($c, $api, $told, $db);
my $cid = 0;

sub sends {
    my ($mid, $to, $body, %more) = @_;
    my $said = $api->post('/goim/im/send', [mid => $mid, to => $to,
        id => 'c' . ++$cid, %more], $body // 'hello');
    die "send: $said->{code} $said->{message}\n" if $said->{code} != 0;
    return $said->{data};
}

sub does {
    my ($what, @args) = @_;
    my $said = $api->post("/goim/im/$what", [@args]);
    die "$what: $said->{code} $said->{message}\n" if $said->{code} != 0;
}

# who is known, without the epoch
sub known {
    return join ' ', sort map { s{/[^/]*$}{}r }
        @{ $c->redis->cmd('HKEYS', 'goim:away:state') };
}

sub noted {
    my ($who, $name) = @_;
    eventually { known() eq $who } 20, $name // "noted: $who"
        or diag known();
}

# When none is with a logic, all have waited long enough; those, too, that are left
# alone.
sub due {
    wait_for { $c->redis->cmd('ZCARD', 'goim:away:taken') == 0 } 30, 'all done';
    $c->redis->cmd('EVAL', <<~'LUA', 2, 'goim:away', 'goim:away:state');
        for _, who in ipairs(redis.call('HKEYS', KEYS[2])) do
            local state = redis.call('HGET', KEYS[2], who)
            redis.call('HSET', KEYS[2], who, (string.gsub(state, '%d+$', '0')))
            redis.call('ZADD', KEYS[1], 'XX', 0, who)
        end
        LUA
}

sub all_told { return map { @{ $_->{offline} } } $told->bodies }

my $seen = 0;

# what was told since the last call: so many
sub is_told {
    my ($n, $name) = @_;
    my @all;
    eventually { (@all = all_told()) >= $seen + $n } 30, $name or diag known();
    my @new = @all[$seen .. $#all];
    is(scalar @new, $n, 'and nothing else');
    $seen = @all;
    return @new;
}

sub nothing_told {
    my ($name) = @_;
    eventually { known() eq '' } 20, $name or diag known();
    is_told(0, 'nothing is told');
}

sub start {
    my ($kind, %offline) = @_;
    $db = Goim::IM->new($kind);
    $told = Goim::Events->new(delay => '1h', every => '2h', timeout => '1s',
        %offline);
    $seen = 0;
    $c = Goim::Cluster->new(logics => 2,
        logic => { Goim::Sender::logic(im => { db => $db->url },
            $told->conf('offline')) },
        job => { conf => { im => { db => $db->url },
            offline => { max => 10 } } });
    $api = $c->api;
}

sub client {
    my ($mid, %arg) = @_;
    return enters($c, mid => $mid, key => "k$mid", accepts => [20], im => {},
        %arg);
}

# ---- what is told ------------------------------------------------------------

sub what {
    my $one = client(1);
    does('device', mid => 2, key => 'phone', platform => 'ios',
        push_token => 'tok"en');
    does('device', mid => 2, key => 'web', platform => 'web');
    my $first = sends(1, 2, 'hello', kind => 'text');
    noted('2/p1.2', 'the other one is, the sender is not');
    is_told(0, 'before the delay is over nothing is told');
    due();
    my ($m) = is_told(1, 'behind it, it is');
    my $id = delete $m->{id};
    is_deeply($m, { mid => 2, conv => 'p1.2', unread => 1, count => 1, seq => 1,
        from => 1, message_id => "c$cid", kind => 'text', at => $first->{at},
        cut => JSON::PP::false(), body => 'hello', devices => [{ key => 'phone',
            platform => 'ios', push_token => 'tok"en' }] }, 'with all of it');
    like($id, qr{^2/p1\.2/[0-9a-f]+/1$}, 'and an id');

    sends(1, 2, "$_") for 2 .. 4;
    eventually { (values %{ $c->redis->hgetall('goim:away:state') })[0]
        =~ /^4 3 0 0 / } 20, 'more come';
    due();
    ($m) = is_told(1, 'several are told at once');
    is("@$m{qw(count unread seq body)}", '3 4 4 4', 'with their count');
    isnt($m->{id}, $id, 'by another id');
    due();
    nothing_told('when it may be told again there is nothing');

    sends(1, 2, $_) for 'x';
    noted('2/p1.2', 'one more');
    does('read', mid => 2, conv => 'p1.2', read => 5);
    due();
    nothing_told('it was read meanwhile');

    sends(1, 2);
    noted('2/p1.2', 'again one');
    my $two = client(2);
    due();
    nothing_told('the user has come back');
    sends(1, 2);
    ok($two->push, 'it comes to a session');
    is(known(), '', 'and is not noted');
    $two->close;

    does('conv', mid => 3, conv => 'p1.3', notify => 0)
        if sends(1, 3) && noted('3/p1.3', 'who wants to hear nothing');
    due();
    nothing_told('is told of nothing');
}

sub groups {
    does('group/create', mid => 1, id => 'a/b', mids => 5,
        mids => 6);
    does('group/update', mid => 1, conv => 'g1.a/b', ext => '{}');
    eventually { $api->get('/goim/im/sync', mid => 5)->{data}{seq} == 2 } 20,
        'a group changes';
    is(known(), '', 'that is no message');
    sends(5, 'g1.a/b');
    noted('1/g1.a/b 6/g1.a/b');
    due();
    is(join(' ', sort map { "$_->{mid} $_->{conv} $_->{unread}" }
        is_told(2, 'messages of groups')), '1 g1.a/b 1 6 g1.a/b 1',
        'to each who is away, but for the sender');
    due();
    nothing_told('no more');
}

# Whatever a payload is, JSON has it: as text or in base64, 1 KB of it at most.

sub payloads {
    my @cases = (
        ['x' x 1024, 'body', 'x' x 1024, 0],
        ['x' x 1025, 'body', 'x' x 1024, 1],
        [('x' x 1023) . "\xc3\xa4", 'body', 'x' x 1023, 1],
        ["\xc3\xa4" x 30_000, 'body', "\x{e4}" x 512, 1],
        ["\"\\\0\x01\x7f\r\n</script>", 'body',
            "\"\\\0\x01\x7f\r\n</script>", 0],
        ["\xff\0\x80", 'base64', "\xff\0\x80", 0],
        ["\xff" x 3000, 'base64', "\xff" x 1024, 1],
        ["\xed\xa0\x80", 'base64', "\xed\xa0\x80", 0],
        ['', 'body', '', 0]);
    my $mid = 100;
    sends(99, $mid++, $_->[0]) for @cases;
    eventually { my @w = split ' ', known(); @w == @cases } 20, 'all are noted';
    due();
    my @got = sort { $a->{mid} <=> $b->{mid} }
        is_told(scalar @cases, 'payloads');
    for my $i (0 .. $#cases) {
        my ($body, $field, $want, $cut) = @{ $cases[$i] };
        my $got = $got[$i]{$field};
        $got = MIME::Base64::decode($got) if $field eq 'base64' && defined $got;
        ok(defined $got && $got eq $want && !$got[$i]{cut} == !$cut,
            length($body) . " bytes: $field" . ($cut ? ', cut' : ''));
    }
    due();
    nothing_told('once');
}


# ---- trouble -----------------------------------------------------------------

sub failed {
    my ($logic) = @_;
    return $logic->metrics->{goim_logic_offline_failed_total};
}

sub failures {
    my $n = 0;
    $n += failed($c->logic($_)) for 0, 1;
    return $n;
}

sub application {
    allow_log(qr/\[warn\] \d+: offline: /);
    $told->says(500);
    sends(1, 200);
    sends(1, 201);
    noted('200/p1.200 201/p1.201');
    due();
    eventually { failures() >= 2 } 20, 'the application fails';
    does('read', mid => 201, conv => 'p1.201', read => 1);
    $told->says(204);
    is((is_told(1, 'those who have read it meanwhile are told of no more'))[0]
        {mid}, 200, 'the others are');
    due();
    nothing_told('once');

    $told->says('mute');
    sends(1, 200);
    noted('200/p1.200');
    due();
    my $n = failures();
    eventually { failures() > $n } 20, 'it does not answer';
    $told->says(204);
    my @ids;
    eventually { @ids = map { $_->{id} } all_told(); @ids >= $seen + 2 } 20,
        'the same is told again';
    is(scalar(grep { $_ ne $ids[$seen] } @ids[$seen .. $#ids]), 0,
        'with the same id');
    eventually { $c->redis->cmd('ZCARD', 'goim:away:taken') == 0 } 20,
        'until it is answered';
    due();
    eventually { known() eq '' } 20, 'it is done';
    $seen = all_told();
}

sub killed {
    $told->says('mute');
    my @asked = map { $_->metrics->{goim_logic_hook_requests_total} }
        map { $c->logic($_) } 0, 1;
    sends(1, 200);
    noted('200/p1.200');
    due();
    my ($m) = is_told(1, 'one logic tells');
    my ($who) = grep { $c->logic($_)->metrics->{goim_logic_hook_requests_total}
        > $asked[$_] } 0, 1;
    $c->logic($who)->kill9;
    sends(1, 200, 'more') if $who != 0;
    $told->says(204);
    my ($again) = is_told(1, 'it dies before the answer: another does');
    is("@$again{qw(id seq count)}", "@$m{qw(id seq count)}",
        'with the same id, of the same');
    $c->logic($who)->start;
    due();
    is_told($who != 0 ? 1 : 0, 'what came meanwhile is told of then');
    due();
    nothing_told('all is');
}

sub redis {
    sends(1, 200);
    noted('200/p1.200');
    $c->redis->restart;
    due();
    is_told(1, 'what Redis has on its disk is told after a restart');
    due();
    nothing_told('once');
}

sub bounds {
    sends(1, $_) for 301 .. 311;
    eventually { $c->{jobs}[0]->metrics->{goim_job_im_offline_dropped_total} } 20,
        'more than may be known';
    is(scalar(my @known = split ' ', known()), 10, 'are not');
    $c->redis->cmd('HSET', 'goim:away:state', $_, '1 1 0 0 0'),
        $c->redis->cmd('ZADD', 'goim:away', 0, $_) for '', 'x', '1/x/e',
        '0/p1.2/e', '/', '1/p1.2', '-1/p1.2/e', "1/p1.2\xff/e";
    $c->redis->cmd('HSET', 'goim:away:state', '1/p1.3/e', 'x');
    $c->redis->cmd('ZADD', 'goim:away', 0, '1/p1.3/e');
    eventually { known() !~ /x|^0| 0|-/ } 20, 'what is none of ours goes';
    due();
    is_told(10, 'those that are known are told of');
    due();
    nothing_told('all');
}

sub times {
    $c->logic(1)->kill9;
    restart($c, offline => { delay => '1s', every => '3s' });
    my $from = now();
    sends(1, 200);
    is_told(1, 'one is told');
    cmp_ok(now() - $from, '>=', 1, 'after the delay');
    sends(1, 200) for 1 .. 3;
    is((is_told(1, 'then the others'))[0]{count}, 3, 'together');
    cmp_ok(now() - $from, '>=', 4, 'after the time that is to be between');
}

for my $kind (qw(sqlite postgresql)) {
    subtest $kind => sub {
        start($kind);
        eventually { $api->post('/goim/im/send', [mid => 8, to => 9, id => 'x'],
            'x')->{code} == 0 } 20, 'it is ready';
        noted('9/p8.9');
        does('read', mid => 9, conv => 'p8.9', read => 1);
        due();
        nothing_told('it is');
        what();
        $_->() for \&groups, \&payloads;
        $_->() for $kind eq 'sqlite' ? (\&application, \&killed, \&redis,
            \&bounds, \&times) : ();
    };
}

done_testing;
