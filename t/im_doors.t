# Each command by both doors, HTTP with a key and the socket of a client: as it should
# be; with each of its parameters missing, unknown, wrong, out of range, somebody
# else's, hostile. What is refused names the parameter and stores nothing, and all
# go on.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Cluster;
use Goim::HTTP;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical->allow_nonref->utf8;
my $key = 'k' x 40;
my $keys = folder('api') . '/keys';
spew($keys, "backend $key im\n");
my $db = Goim::IM->new('sqlite');
my %im = (im => { db => $db->url });
my %logic = Goim::Sender::logic(%im, api => { keys => $keys });
$logic{conf}{im} = { %{ $logic{conf}{im} },
    ticket_key => $logic{conf}{auth}{secret_file} };
my $c = Goim::Cluster->new(job => { conf => { %im } }, logic => \%logic);
my %client = map { $_ => enters($c, mid => $_, key => "k$_", room => '',
    accepts => [20], im => {}) } 1, 2;
my $n = 0;

# ---- the commands ------------------------------------------------------------

my $seq = 2 ** 53 - 1;
my $most = '9223372036854775807';

# name: method, parameters (a star: required): their kind and what is good
my %commands = (
    send => [POST => 'to*' => [to => 2], 'id*' => [word => 'c1'],
        kind => [kind => 'note']],
    read => [POST => 'conv*' => [conv => 'p1.2'], 'read*' => [1, $seq, 1]],
    conv => [POST => 'conv*' => [conv => 'p1.2'], notify => [0, 1, 1],
        ext => [ext => '{"a":1}']],
    'group/create' => [POST => 'id*' => [word => 'team'], mids => [mids => 2],
        join => [choice => 'open'], history => [choice => 'all'],
        ext => [ext => '[1]']],
    'group/add' => [POST => 'conv*' => [group => 'g1.team'], 'mids*' => [mids => 3]],
    'group/remove' => [POST => 'conv*' => [group => 'g1.team'],
        'mids*' => [mids => 7]],
    'group/join' => [POST => 'conv*' => [group => 'g1.team'], text => [1024]],
    'group/answer' => [POST => 'conv*' => [group => 'g1.team'],
        'member*' => [1, $most, 2], 'accept*' => [0, 1, 1]],
    'group/member' => [POST => 'conv*' => [group => 'g1.team'],
        'member*' => [1, $most, 2], role => [choice => 'admin'],
        muted => [0, 10 * 365 * 86400, 0], ext => [ext => '"x"']],
    'group/update' => [POST => 'conv*' => [group => 'g1.team'],
        join => [choice => 'open'], mute_all => [0, 1, 0], owner => [1, $most, 1],
        ext => [ext => 'null']],
    'group/dismiss' => [POST => 'conv*' => [group => 'g1.gone']],
    sync => [GET => after => [0, $seq, 0], epoch => [32], limit => [1, 100, 5]],
    history => [GET => 'conv*' => [conv => 'p1.2'], after => [0, $seq],
        before => [1, $seq, 9], limit => [1, 100, 5]],
    convs => [GET => before => [1, $most, 9], conv => [conv => 'p1.2'],
        limit => [1, 100, 5]],
    group => [GET => 'conv*' => [group => 'g1.team']],
    'group/members' => [GET => 'conv*' => [group => 'g1.team'],
        after => [0, $most, 0], limit => [1, 100, 5]],
    device => [POST => 'key*' => [256 => 'k1'], platform => [32 => 'ios'],
        push_token => [1024 => 't']],
    devices => ['GET'],
    kick => [POST => 'key*' => [256 => 'none'], reason => [123 => 'x']],
    ticket => [POST => 'key*' => [256 => 'k1'], 'platform*' => [32 => 'web'],
        ttl => [1, 30 * 86400, 60]],
);

my $source = slurp(root_dir() . '/logic/im_do.c');
my %real = $source =~ /^    \{ "([^"]+)", logic_im_\w+, "([^"]*)" \}/mg;
is_deeply({ map { my ($method, %p) = @{ $commands{$_} };
        $_ => join ' ', sort map { s/\*//r } keys %p } keys %commands },
    { map { my @p = split ' ', $real{$_};
        # of a socket: member has that name, too
        $_ => join ' ', sort grep { $_ ne 'mid' } @p } keys %real },
    'all commands with all their parameters are tried');

# ---- the doors ---------------------------------------------------------------

# bytes, of names too
sub query {
    my @texts = map { s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/gesr } @_;
    return join '&', map { "$texts[2 * $_]=$texts[2 * $_ + 1]" } 0 .. $#texts / 2;
}

sub http {
    my ($method, $what, $arg, %more) = @_;
    my $said = Goim::HTTP::request($method,
        "http://127.0.0.1:$c->{logics}[0]{http_port}/goim/im/$what?"
        . query(mid => 1, @$arg), timeout => 30,
        content => defined $more{body} ? $more{body} : '',
        headers => { Authorization => "Bearer $key" });
    return { code => 'none', %{ ref $said->{json} ? $said->{json} : {} },
        http => $said->{status} };
}

sub line {
    my ($line, $body, $op) = @_;
    return $json->decode($client{1}->call($op || 18,
        $line . (defined $body ? "\n$body" : ''))->{body});
}

# values as text, or as raw JSON where they are references to it
sub on_socket {
    my ($what, $arg, $body) = @_;
    my @parts = ('"do":' . $json->encode($what));
    for (my $i = 0; $i < @$arg; $i += 2) {
        my ($name, $value) = @$arg[$i, $i + 1];
        push @parts, $json->encode($name) . ':' . (ref $value ? $$value
            : $name eq 'ext' ? $value : $json->encode("$value"));
    }
    return line('{' . join(',', @parts) . '}', $body);
}

sub does {
    my ($door, $what, $arg, $body) = @_;
    return on_socket($what, $arg, $body) if $door eq 'socket';
    return http($commands{$what}[0], $what, $arg, body => $body);
}

my $shown = sub {
    my $text = join ' ', map { ref ? $$_ : $_ } @_;
    return $json->encode(length $text > 60 ? substr($text, 0, 60) . '...' : $text);
};

# ---- what is good ------------------------------------------------------------

# the parameters that are good, but for these
sub good {
    my ($what, %but) = @_;
    my ($method, @p) = @{ $commands{$what} };
    my @arg;
    while (my ($name, $kind) = splice @p, 0, 2) {
        $name =~ s/\*//;
        next if exists $but{$name} || !defined $kind->[-1]
            || (@$kind == 1) || ($what eq 'history' && $name eq 'after');
        push @arg, $name => $kind->[-1];
    }
    return [@arg, %but];
}

is(http(POST => 'send', [to => 2, id => 'first'], body => 'x')->{code}, 0, 'ready');
is(http(POST => 'group/create', [id => 'gone'])->{code}, 0, 'a group');
$client{$_}->push for 1, 2;
wait_for { !grep { http(POST => 'ticket', good('ticket'))->{code} } 1 .. 10 } 20,
    'each thread knows the node';
for my $door (qw(http socket)) {
    for my $what ('send', 'group/create', grep { !/^(?:send|group.create)$/ }
        sort keys %commands)
    {
        my $want = $what eq 'group/answer' ? 0
            : $what eq 'ticket' && $door eq 'socket' ? -403
            : $what eq 'group/dismiss' && $door eq 'socket' ? -404 : 0;
        my $said = does($door, $what, good($what));
        is($said->{code}, $want, "$door: $what") or diag explain $said;
    }
}

# ---- what is stored ----------------------------------------------------------

# all but where job is in the bus
sub stored {
    return join '', grep { !/INTO "?place"?/ } map { "$_\n" } split /\n/,
        $db->sql('.dump');
}

# a device that has logged in is known; the last one that is needed is here
eventually { $db->sql('SELECT count(*) FROM device') >= 2 } 20, 'devices';
my $before = stored();

# ---- what is not -------------------------------------------------------------

my %wrong = (
    to => ['', 'x', '0', '-1', '1.5', '9223372036854775808', 'p1.2', 'g1.', 'g0.x',
        'g1.' . 'x' x 65, 'g1.a b', "g1.a\n", "g1.\xc3\xa4", 'g' . '9' x 30 . '.x',
        'x' x 5000],
    word => ['', 'x' x 65, 'a b', "a\n", "a\x7f", "\xc3\xa4", 'x' x 5000],
    kind => ['', 'x' x 33, 'a b', "a\t", 'create', 'read', 'conv'],
    conv => ['', 'x', 'p1', 'p1.', 'p0.2', 'p2.1', 'p1.02', 'p1.-2', 'p1.2.3', 'g1.',
        'g1.' . 'x' x 65, 'g1.a b', "p1.2\n", "g1.\xc3\xa4", 'p1.' . '9' x 20,
        'p' . '9' x 5000 . '.1'],
    choice => ['', 'x', 'OPEN', "open\n", 'owner', 'x' x 5000],
    mids => ['', 'x', '0', '-1', '1.5', '9223372036854775808', '1,2'],
    ext => ['"' . 'x' x 4095 . '"', '[' x 66 . ']' x 66, '{"a":' x 66 . '1' . '}' x 66,
        '[' x 2000 . ']' x 2000, '[' x 2047 . ']' x 2047],
);
$wrong{group} = [@{ $wrong{conv} }, 'p1.2'];

# not of a socket, whose whole line is none then, or where they can't be
my %http_only = (
    ext => ['', '{', '{"a":1,"a":2}', "\"\xff\"", '1 2', '[NaN]', '1e999', 'x' x 5000,
        '"\u0000"'],
    bytes => ["\xff", "\xc3"], word => ["\xff"], conv => ["g1.\xff"],
    group => ["g1.\xff"], to => ["g1.\xff"],
);

sub bad_values {
    my ($kind, $door, $required) = @_;
    my $name = $kind->[0];
    my @types = $door eq 'socket' ? map { \(my $raw = $_) } 'true', 'null', '1.5', '{}'
        : ();
    my @list = $door eq 'socket' ? map { \(my $raw = $_) } '["1"]', '[]' : ();
    if ($name =~ /^[a-z]/) {
        return (@{ $wrong{$name} }, $name eq 'ext' ? () : @types,
            $name =~ /^(?:mids|ext)$/ ? () : @list,
            $door eq 'http' ? @{ $http_only{$name} || [] } : ());
    }
    if (@$kind < 3 && $name > 1) {              # bytes of text
        return ('x' x ($name + 1), $required ? '' : (), @types, @list,
            $door eq 'http' ? @{ $http_only{bytes} } : ());
    }
    my ($low, $high) = @$kind;
    my $over = $high eq $most ? '9223372036854775808' : sprintf '%d', $high + 1;
    return ($low - 1, $over, '', 'x', '1.5', '1e3', ' 1', '1 ', '0x1', '9' x 40,
        "1\n", @types, @list);
}

# -400, named
sub named {
    my ($said, $name, $what) = @_;
    is($said->{code}, -400, $what) or diag explain $said;
    like($said->{message}, qr/^\Q$name\E: ./, 'it is named');
}

for my $door (qw(http socket)) {
    for my $what (sort keys %commands) {
        next if $what eq 'ticket' && $door eq 'socket';
        my ($method, @p) = @{ $commands{$what} };
        while (my ($name, $kind) = splice @p, 0, 2) {
            my $required = $name =~ s/\*//;
            if ($required) {
                my %all = @{ good($what) };
                delete $all{$name};
                named(does($door, $what, [%all]), $door eq 'socket'
                    && $name eq 'member' ? 'mid' : $name,
                    "$door: $what without $name");
            }
            for my $value (bad_values($kind, $door, $required)) {
                named(does($door, $what, good($what, $name => $value)), $name,
                    "$door: $what with $name = " . $shown->($value));
            }
        }
        for my $name ('what', 'to id', 'conv read', 'do ', "a\n") {
            named(does($door, $what, good($what, $name => 1)), $name,
                "$door: $what with " . $shown->($name));
        }
    }
}

# ---- somebody else's ---------------------------------------------------------

for my $door (qw(http socket)) {
    for my $what (sort keys %commands) {
        my %p = @{ $commands{$what} }[1 .. $#{ $commands{$what} }];
        my ($kind) = map { $_->[0] } grep { $_ } @p{qw(conv conv*)};
        next if !$kind;
        for my $conv ($kind eq 'conv' ? ('p8.9', 'p8.8') : (), 'g9.none') {
            next if $what eq 'convs' && $conv =~ /^g/;      # only where a page ends
            my $said = does($door, $what, good($what, conv => $conv));
            my $want = $conv =~ /^p/ || $commands{$what}[0] eq 'GET' ? -403 : -404;
            is($said->{code}, $want, "$door: $what of $conv");
        }
    }
    is(does($door, 'send', good('send', to => 'g9.none'))->{code}, -404,
        "$door: send to a group that is none");
    is(does($door, 'kick', good('kick', key => 'k2'))->{code}, 0,
        "$door: another's device");
}

# ---- too much, and no lines --------------------------------------------------

is(http(POST => 'send', [to => 2, id => 'big'], body => 'x' x 65537)->{code}, -413,
    'http: 64 KB and one byte');
is(on_socket('send', [to => 2, id => 'big'], 'x' x 4001)->{code}, -413,
    'socket: 4,001 bytes');
is(line('{"to":"2","id":"big"}', 'x' x 4001, 4)->{code}, -413, 'operation 4');

for my $line ('', 'x', '[]', '1', 'null', '"do"', '{', '{"do":"sync"', '{"do":"sync"}}',
    '{"do":"sync","do":"convs"}', '{"do":"sync","after":1,"after":2}',
    '{"do":"sync","after":9223372036854775808}', '{"do":"sync","after":1e999}',
    '{"do":"sync","epoch":"\u0000"}', "{\"do\":\"sync\0\"}", "{\"do\":\"\xff\"}",
    '{"do":"conv","conv":"p1.2","ext":{"a":1,"a":2}}',
    '{"do":"sync","a":' . '[' x 4000 . ']' x 4000 . '}', '[' x 16000,
    '{"do":"sync","a":"' . 'x' x (16 * 1024) . '"}', '{}', '{"do":1}', '{"do":null}',
    '{"do":["sync"]}', '{"do":"no"}', '{"do":""}', '{"do":"SYNC"}', '{"do":"sync "}',
    '{"do":"../send"}', '{"do":"sync","' . "\xc3\xa4" x 100 . '":1}',
    '{"do":"sync","x' . "\xc3\xa4" x 100 . '":1}')
{
    my $said = line($line);
    is($said->{code}, -400, 'the line ' . $shown->($line));
    ok(length($said->{message} // ''), 'with a message') or diag explain $said;
}
for my $line ('{"to":{},"id":"x"}', '{"to":null,"id":"x"}', '{"to":true,"id":"x"}',
    '{"to":1.5,"id":"x"}', '{"to":"2"}', '{"to":"2","id":"x","do":"sync"}')
{
    is(line($line, 'x', 4)->{code}, -400, "operation 4: $line");
}

for (['mid' => ''], [mid => 0], [mid => -1], [mid => 'x'], [mid => '1.5'],
    [mid => '9223372036854775808'])
{
    my ($name, $value) = @$_;
    my $said = Goim::HTTP::get("http://127.0.0.1:$c->{logics}[0]{http_port}"
        . "/goim/im/convs?mid=$value", headers => { Authorization => "Bearer $key" });
    named($said->{json}, 'mid', "http: mid = '$value'");
}
is(http(GET => 'send', [to => 2, id => 'x'])->{code}, -404, 'another method');
is(http(POST => 'none', [])->{code}, -404, 'no such command');

# ---- all go on ---------------------------------------------------------------

is(stored(), $before, 'nothing of all that was stored');
$client{2}->pump;
$client{2}{pushes} = [];
for my $door (qw(http socket)) {
    is(does($door, 'send', [to => 2, id => "last$door"], "by $door")->{code}, 0,
        "$door: goes on");
    like($client{2}->push->{body}, qr/\nby $door$/, 'and others');
}

done_testing;
