# Who may call the HTTP API: keys with scopes and rooms, read again by SIGHUP;
# without a key no pages of other sites, by no name that leads here; the public
# listener has what browsers call, and nothing else.

use strict;
use warnings;

use lib 't/lib';
use Goim::API;
use Goim::HTTP;
use Goim::Logic;
use Goim::Redis;
use Goim::Test;

my $redis = Goim::Redis->new;
my $dir = folder('keys');
my $file = "$dir/keys";
my %key = map { $_ => $_ . ('k' x 40) } qw(full pusher reader room chief warden
    other);

sub keys_are {
    my (@lines) = @_;
    spew($file, join '', map { "$_\n" } @lines);
}

my @lines = (
    '# name, key, scopes, rooms',
    '',
    "full $key{full} push,read,control",
    "pusher\t$key{pusher}  push ",
    "reader $key{reader} read",
    "chief $key{chief} control",
    "room $key{room} push,read live://1 game://*",
    "warden $key{warden} control live://1",
);
keys_are(@lines);

sub logic {
    my (%conf) = @_;
    return Goim::Logic->new(redis => $redis->addr, conf => \%conf);
}

# [status, code] of a request
sub said {
    my ($port, $method, $path, %headers) = @_;
    my $res = Goim::HTTP::request($method, "http://127.0.0.1:$port$path",
        headers => \%headers, $method eq 'POST' ? (content => 'x') : ());
    return [$res->{status}, $res->{json} ? $res->{json}{code} : undef];
}

my %route = (
    keys      => [POST => '/goim/push/keys?operation=9&keys=nobody'],
    mids      => [POST => '/goim/push/mids?operation=9&mids=1'],
    all       => [POST => '/goim/push/all?operation=9'],
    room      => [POST => '/goim/push/room?operation=9&type=live&room=1'],
    room2     => [POST => '/goim/push/room?operation=9&type=live&room=2'],
    game      => [POST => '/goim/push/room?operation=9&type=game&room=7'],
    position  => [GET => '/goim/room/position?type=live&room=1'],
    position2 => [GET => '/goim/room/position?type=live&room=12'],
    count     => [GET => '/goim/online/room?type=live&rooms=1'],
    count2    => [GET => '/goim/online/room?type=live&rooms=1&rooms=2'],
    total     => [GET => '/goim/online/total'],
    devices   => [GET => '/goim/online/mids?mids=1'],
    top       => [GET => '/goim/online/top?type=live&limit=5'],
    instances => [GET => '/goim/nodes/instances'],
    offline   => [POST => '/goim/nodes/offline?server=none&offline=1'],
    end       => [POST => '/goim/disconnect?mids=1'],
    end1      => [POST => '/goim/disconnect?type=live&room=1'],
    end2      => [POST => '/goim/disconnect?type=live&room=2'],
    revoke    => [POST => '/goim/revoke?mids=1'],
    weighted  => [GET => '/goim/nodes/weighted'],
    health    => [GET => '/health'],
    ready     => [GET => '/ready'],
    metrics   => [GET => '/metrics'],
    nothing   => [GET => '/goim/nothing'],
);
my @push = qw(keys mids all room room2 game);
my @read = qw(position position2 count count2 total devices top instances);
my @control = qw(offline end end1 end2 revoke);
my @open = qw(weighted health ready metrics);

# the routes that a request with these headers may not call, and their status
sub refused {
    my ($port, %headers) = @_;
    my %no;
    for my $name (@push, @read, @control, @open) {
        my ($status, $code) = @{ said($port, @{ $route{$name} }, %headers) };
        next if $status != 401 && $status != 403;
        $no{$name} = $status;
        is $code, -$status, "$name: the code is the status";
    }
    return \%no;
}

sub all_of { my ($status, @names) = @_; return { map { $_ => $status } @names } }
sub bearer { return (Authorization => "Bearer $_[0]") }

subtest 'keys' => sub {
    my $logic = logic(api => { keys => $file });
    my $port = $logic->{http_port};
    eventually { said($port, @{ $route{total} }, bearer($key{full}))->[1] == 0 }
        10, 'it has seen Redis';

    is_deeply refused($port), all_of(401, @push, @read, @control), 'no key';
    is_deeply refused($port, bearer($key{full})), {}, 'one for all';
    is_deeply refused($port, bearer($key{pusher})),
        all_of(403, @read, @control), 'to push';
    is_deeply refused($port, bearer($key{reader})),
        all_of(403, @push, @control), 'to read';
    is_deeply refused($port, bearer($key{chief})), all_of(403, @push, @read),
        'to control';
    is_deeply refused($port, bearer($key{room})),
        all_of(403, qw(keys mids all room2 position2 count2 total devices top
            instances), @control), 'for rooms';
    is_deeply refused($port, bearer($key{warden})),
        all_of(403, @push, @read, qw(offline end revoke end2)),
        'to control rooms';

    my @wrong = (bearer($key{other}), bearer(''), bearer(substr $key{full}, 1),
        bearer("$key{full}k"), bearer('x' x 5000), Authorization => $key{full},
        Authorization => "Basic $key{full}", Authorization => '');
    while (my ($name, $value) = splice @wrong, 0, 2) {
        is_deeply said($port, @{ $route{all} }, $name => $value), [401, -401],
            'wrong: ' . substr $value, 0, 20;
    }
    is said($port, @{ $route{all} }, Authorization => "bearer $key{full}")->[0],
        200, 'a scheme in any case';
    is said($port, @{ $route{nothing} })->[0], 404, 'no route needs none';

    # what has a key is no page that a browser sends by itself
    is said($port, @{ $route{all} }, bearer($key{full}), Host => 'evil.test',
        Origin => 'http://evil.test', 'Sec-Fetch-Site' => 'cross-site')->[0],
        200, 'a page with a key';

    my $metrics = Goim::HTTP::get("http://127.0.0.1:$port/metrics")->{content};
    like $metrics, qr/^goim_logic_api_unauthorized_total [1-9]/m, 'counted';
    like $metrics, qr/^goim_logic_api_forbidden_total [1-9]/m, 'and these';
    is Goim::HTTP::request('POST', "http://127.0.0.1:$port/goim/push/all",
        content => '')->{headers}{'www-authenticate'}, 'Bearer',
        'what is wanted';
    $logic->stop;
    unlike $logic->logs, qr/kkkk/, 'no key in the log';
};

subtest 'other keys' => sub {
    keys_are(@lines);
    my $logic = logic(api => { keys => $file }, logic => { threads => 4 });
    my $port = $logic->{http_port};
    my $status = sub { said($port, @{ $route{all} }, bearer($_[0]))->[0] };

    is $status->($key{other}), 401, 'not yet';
    keys_are(@lines, "other $key{other} push");
    hit 'HUP', $logic->pid;
    eventually { $status->($key{other}) == 200 } 10, 'read again';
    is $status->($key{full}), 200, 'the others too';

    keys_are("other $key{other} push");
    hit 'HUP', $logic->pid;
    eventually { $status->($key{full}) == 401 } 10, 'one is gone';
    is scalar(grep { $status->($key{full}) != 401 } 1 .. 20), 0,
        'and stays so';

    keys_are("full $key{full} push", 'broken');
    hit 'HUP', $logic->pid;
    eventually { $logic->logs =~ /keys = "\Q$file\E" is wrong: line 2: is not NAME/ }
        10, 'a broken file is said';
    is $status->($key{other}), 200, 'what was read before stays';
    is $status->($key{full}), 401, 'and nothing of it is taken';
    allow_log(qr/\[error\] .*\[api\] keys =/);
};

subtest 'without keys' => sub {
    my $logic = logic(http => { hosts => 'api.internal, goim.example.com' });
    my $port = $logic->{http_port};
    my $status = sub {
        my ($name, %headers) = @_;
        return said($port, @{ $route{$name} }, %headers)->[0];
    };

    is_deeply refused($port), {}, 'a backend';
    for my $host ("127.0.0.1:$port", '127.0.0.1', "[::1]:$port", '10.1.2.3',
        'localhost', "localhost:$port", 'LOCALHOST', 'api.internal',
        'goim.example.com:80')
    {
        is $status->(all => Host => $host), 200, "Host: $host";
    }
    is_deeply refused($port, Host => $_),
        all_of(403, @push, @read, @control), "Host: $_"
        for 'evil.test', "evil.test:$port", 'localhost.evil.test',
        '127.0.0.1.evil.test', 'internal';

    is_deeply refused($port, 'Sec-Fetch-Site' => $_),
        all_of(403, @push, @control), "from a page: $_"
        for qw(cross-site same-site other);
    is $status->(all => 'Sec-Fetch-Site' => $_,
        Origin => 'http://page.test'), 200, "from a page: $_"
        for qw(same-origin none);
    is_deeply refused($port, Origin => $_), all_of(403, @push, @control),
        "of the origin $_"
        for 'http://evil.test', 'null', "http://127.0.0.1:1", '';
    is $status->(all => Origin => "http://127.0.0.1:$port"), 200,
        'of this one';
};

subtest 'both' => sub {
    keys_are(@lines);
    my $logic = logic(api => { keys => $file, open => 'on' });
    my $port = $logic->{http_port};
    is_deeply refused($port), {}, 'without a key';
    is_deeply refused($port, bearer($key{reader})),
        all_of(403, @push, @control), 'a key has its scopes all the same';
    is said($port, @{ $route{all} }, bearer('x' x 40))->[0], 401,
        'and a wrong one is none';
    is said($port, @{ $route{all} }, Host => 'evil.test')->[0], 403,
        'a page is a page';
};

subtest 'the public listener' => sub {
    my $public = free_port();
    my $logic = logic(http => { public => "127.0.0.1:$public",
        origins => 'https://app.example.com http://localhost:3000' },
        logic => { threads => 2 });
    my $ask = sub {
        my ($method, $path, %headers) = @_;
        return Goim::HTTP::request($method, "http://127.0.0.1:$public$path",
            headers => \%headers, $method eq 'POST' ? (content => 'x') : ());
    };

    my $res = $ask->(GET => '/goim/nodes/weighted', Host => 'any.example');
    is $res->{status}, 503, 'no node yet';
    ok !exists $res->{headers}{'access-control-allow-origin'}, 'no page';
    is $ask->(@{ $route{$_} })->{status}, 404, "no $_"
        for @push, @read, qw(offline health ready metrics);

    for my $origin ('https://app.example.com', 'http://localhost:3000') {
        $res = $ask->(GET => '/goim/nodes/weighted', Origin => $origin);
        is $res->{headers}{'access-control-allow-origin'}, $origin, $origin;
        is $res->{headers}{vary}, 'Origin', 'kept apart';
        $res = $ask->(OPTIONS => '/goim/nodes/weighted', Origin => $origin);
        is $res->{status}, 200, 'asked before';
        is $res->{headers}{'access-control-allow-headers'},
            'Authorization, Content-Type', 'what may be sent';
    }
    for my $origin ('https://app.example.com:444', 'http://app.example.com',
        'https://app.example.com.evil.test', 'null')
    {
        $res = $ask->(GET => '/goim/nodes/weighted', Origin => $origin);
        ok !exists $res->{headers}{'access-control-allow-origin'},
            "not for $origin";
    }
    is $ask->(@$_)->{status}, 404, "no other method: $_->[0]"
        for [POST => '/goim/nodes/weighted'], [OPTIONS => '/goim/push/all'];
};

# ---- configuration -----------------------------------------------------------

subtest 'configuration' => sub {
    my $logic = Goim::Logic->new(redis => $redis->addr, stopped => 1);
    my $says = sub {
        my ($conf, $like, $name) = @_;
        my ($rc, $said) = $logic->test_with($conf);
        defined $like ? like($said, $like, $name) : is($rc, 0, $name);
    };

    $says->({ logic => { http => $_ } },
        qr/"\Q$_\E" is neither loopback nor a unix socket: set \[api\] keys/,
        "$_ is open")
        for '0.0.0.0:3111', ':3111', '[::]:3111', '192.0.2.1:3111';
    $says->({ logic => { http => $_ } }, undef, "$_ is here")
        for '127.0.0.1:3111', '127.1.2.3:3111', '[::1]:3111', "unix:$dir/s";
    $says->({ logic => { http => ':3111' }, api => { open => 1 } }, undef,
        'open');
    keys_are(@lines);
    $says->({ logic => { http => ':3111' }, api => { keys => $file } }, undef,
        'with keys');

    $says->({ api => { keys => "$dir/none" } }, qr/cannot be read: No such file/,
        'no file');
    my $line = sub {
        keys_are('', @_);
        return { api => { keys => $file } };
    };
    my $k = 'k' x 32;
    $says->($line->("a $k"), qr/line 2: is not NAME KEY SCOPE/, 'no scope');
    $says->($line->("a short push"), qr/line 2: the key of "a" is not 32 to 512/,
        'a short key');
    $says->($line->('a ' . 'k' x 513 . ' push'), qr/is not 32 to 512/, 'long');
    $says->($line->("a $k pus"), qr/"pus" is none of .*did you mean "push"/,
        'no such scope');
    $says->($line->("a $k push", "a ${k}x push"), qr/line 3: "a" has the name/,
        'a name twice');
    $says->($line->("a $k push", "b $k push"), qr/line 3: "b" has the name or the/,
        'a key twice');
    $says->($line->("a $k push live"), qr/"live" is not one of at most 64 rooms/,
        'no room');
    $says->($line->('# nothing'), qr/there is no key in it/, 'an empty file');

    $says->({ http => { public => 'x:1' } }, qr/\[http\] public = "x:1" is not/,
        'public');
    $says->({ http => { hosts => $_ } }, qr/\[http\] hosts = .*not a name/,
        "hosts $_") for 'http://a', 'a:80', '*.a';
    $says->({ http => { origins => $_ } },
        qr{\[http\] origins = .*not scheme://}, "origins $_")
        for 'a.test', 'https://a/b', 'https://', '*', 'https://*.a';
};

done_testing;
