# Each curl line of docs/http-api.md does what it says, and each route is
# documented.

use strict;
use warnings;

use JSON::PP ();

use lib 't/lib';
use Goim::Events;
use Goim::Job;
use Goim::Logic;
use Goim::Test;
use Goim::RPC;
use Goim::Redis;
use Goim::Sender;

my $redis = Goim::Redis->new;
my %registry = (registry => { ttl => '60s', renew => '500ms' });
my $told = Goim::Events->new;
my $logic = Goim::Logic->new(redis => $redis->addr, conf => { %registry,
    $told->conf });
my $job = Goim::Job->new(redis => $redis->addr, conf => { %registry,
    history => { live => '300 10m' } });
Goim::RPC::ready($logic);
my $rpc = Goim::RPC->new($logic->{rpc_port});

$rpc->register;
for (1, 2) {
    $rpc->call(connect => { session => $_,
        token => qq({"mid":$_,"key":"k$_","room_id":"live://1000"}) });
}
$rpc->call(online => { reset => 1, rooms => [
    { room => 'live://1000', count => 2 } ] });

# the node is known to each thread
eventually {
    !grep { !@{ $logic->get('/goim/nodes/instances',
        headers => { Connection => 'close' })->{json}{data} } } 1 .. 10;
} 10, 'a node';

# and the job says by which [history] it goes
eventually { ($logic->api->get('/goim/room/position', type => 'live',
    room => 1000)->{code} // -1) == 0 } 20, 'a room has its history';
$job->stop;

# users' own tokens
my $tokens = Goim::Logic->new(redis => $redis->addr, conf => { %registry },
    Goim::Sender::logic());
wait_for { $tokens->health->{status} == 200 } 20, 'a logic that takes tokens';
local $ENV{TOKEN} = token(mid => 1, send => { rooms => ['live://*'] });

my $doc = slurp(root_dir() . '/docs/http-api.md');
my $source = slurp(root_dir() . '/logic/http.c');

my %route = map { $_ => 1 } $source =~ /X\((?:GET|POST), "([^"]+)"/g;
my %documented = map { $_ => 1 } $doc =~ /^## (?:GET|POST) (\S+)/mg;
is_deeply [sort keys %documented], [sort keys %route],
    'each route has its section';

# messages between people are answered by a job that runs
my $db = 'sqlite:' . folder('db') . '/im.db';
my $other = Goim::Redis->new;
my %tokens = Goim::Sender::logic();
my $people = Goim::Logic->new(redis => $other->addr, Goim::Sender::logic(
    im => { db => $db, ticket_key => $tokens{conf}{auth}{secret_file},
        public_url => 'https://im.example.com' },
    nodes => { domain => 'push.example.com' }));
my $stores = Goim::Job->new(redis => $other->addr,
    conf => { im => { db => $db } });
eventually {
    $people->api->post('/goim/im/send', [mid => 8, to => 9, id => 'first'],
        'x')->{code} == 0;
} 20, 'a message is stored';
$people->api->post('/goim/im/group/create', [mid => 8, id => 'first']);

# docs/im.md leads to each command, and has the tables that there are
my $im = slurp(root_dir() . '/docs/im.md');
my @commands = slurp(root_dir() . '/logic/im_do.c')
    =~ /^    \{ "([^"]+)", logic_im_\w+, "/mg;
my %led = map { $_ => 1 }
    $im =~ m{\[([\w/]+)\]\(http-api\.md#(?:get|post)-goimim\w+\)}g;
is_deeply [grep { !$led{$_} } @commands], [], 'docs/im.md: each command';
cmp_ok scalar @commands, '>', 15, 'of all of them';

sub sqlite {
    my ($sql) = @_;
    my $file = $db =~ s/^sqlite://r;
    return split /\n/, `sqlite3 -cmd '.timeout 10000' '$file' "$sql"`;
}

my %tables = map { my $table = $_;
    $table => [sort(sqlite("SELECT name FROM pragma_table_info('$table')"))] }
    sqlite("SELECT name FROM sqlite_master WHERE type = 'table'");
my ($part) = $im =~ /^## The database\n(.*?)^## /ms;
my %says = map { /^\| `(\w+)\((.*?)\)` \|/ ? ($1 => [sort split /, /, $2]) : () }
    split /\n/, $part;
is_deeply \%says, \%tables, 'docs/im.md: the tables are those of the database';

my $format = '\n%{http_code} %{content_type}';
my $n = 0;
for my $section (split /^(?=## )/m, $doc) {
    my ($method, $path) = $section =~ /^## (GET|POST) (\S+)/ or next;
    my @lines = $section =~ /^```sh\n(.*?)\n```/msg;
    ok @lines, "$method $path has an example";

    for my $line (@lines) {
        like $line, qr{^curl [^\n]*'http://127\.0\.0\.1:3111\Q$path\E[?']},
            "it calls $path" or next;
        my $asked = $path =~ m{^/goim/im/} || $line =~ /store=1/ ? $people
            : $path =~ m{^/goim/(?:send|revoke)$} ? $tokens : $logic;
        (my $cmd = $line) =~ s/:3111/:$asked->{http_port}/;
        $cmd =~ s/^curl/curl -s -S --max-time 30 -w '$format'/;
        my $said = `$cmd 2>&1`;
        is $?, 0, $line;
        my ($body, $code, $type) = $said =~ /^(.*)\n(\d+) (.*)$/s;
        is $code, 200, 'HTTP 200' or diag $said;
        $n++;

        if ($path eq '/metrics') {
            like $body, qr/^goim_logic_pushes_total\{kind="all"\} 3$/m,
                'metrics';
            next;
        }
        my $json = eval { JSON::PP::decode_json($body) };
        is ref $json, 'HASH', 'JSON' or next;
        is $json->{code}, 0, 'code 0' if $path !~ m{^/(?:health|ready)$};

        # the answer shown has the same fields
        my $answer = qr/```\n\n((?:    [^\n]*\n)+)/;
        my ($shown) = $section =~ /\Q$line\E\n$answer/;
        ($shown) = $section =~ $answer if !$shown;
        next if !$shown || ref $json->{data} ne 'HASH';
        my $expected = eval { JSON::PP::decode_json($shown) };
        is_deeply [sort keys %{ $json->{data} }],
            [sort keys %{ $expected->{data} }], 'fields as shown'
            if $path ne '/goim/online/room';
    }
}
cmp_ok $n, '>=', 18, 'examples were run';

is_deeply [sort map { @{ $_->{keys} } } Goim::RPC::pushes($redis)],
    [qw(k1 k1 k1 k1 k2 k2 k2 k2)], 'the pushes were written';

# every key of the configuration is documented, and none besides
my $conf = slurp(root_dir() . '/docs/logic.conf.md');
my $table = slurp(root_dir() . '/logic/conf.c');
my (%key, %said, $in);

$key{"$1.$2"} = 1 while $table =~ /LOGIC_(?:CONF|WORD)\("(\w+)", "(\w+)"/g;
for my $hook ($table =~ /LOGIC_HOOK_CONF\("(\w+)"/g) {
    $key{"$hook.$_"} = 1
        for $table =~ /LOGIC_CONF\(section, "(\w+)"/g;
}
for my $file (qw(svc/redis.h svc/bus.h)) {
    my $text = slurp(root_dir() . "/$file");
    $key{"$1.$2"} = 1 while $text =~ /\{ "(\w+)", "(\w+)", CONF_/g;
}
for my $line (split /\n/, $conf) {
    $in = $1 if $line =~ /^## \[(\w+)\]/;
    $in = undef if $line =~ /^## [^\[]/;
    $said{"$in.$1"} = 1 if $in && $line =~ /^### (\w+)/;
}
is_deeply [sort keys %said], [sort keys %key],
    'docs/logic.conf.md describes exactly the keys there are';

# metrics likewise
my %metric = map { s/^(\w+?)(?:_bucket|_sum|_count)?(?:\{.*)?$/$1/r => 1 }
    grep { /^goim_logic/ } keys %{ $logic->metrics };
my %shown = map { $_ => 1 } $conf =~ /`(goim_logic_\w+)/g;
is_deeply [sort keys %shown], [sort keys %metric],
    'and exactly the metrics';

done_testing;
