# Wrong values in nginx's configuration: refused, with one line that names
# directive and value, what it takes, the name that may have been meant, file and
# line. (The services' files: conf_errors_services.t.)

use strict;
use warnings;

use lib 't/lib';
use Goim::Nginx;
use Goim::TLS;
use Goim::Test;

allow_log(qr{\[emerg\] });

my $nginx = Goim::Nginx->new(port => free_port(), stopped => 1);
my $tcp = have('ngx_stream_goim_module.so');

# goim { }: its lines by name; undef leaves one out, a list gives several
sub goim {
    my (%over) = @_;
    my %goim = (zone => 'goim 16m', redis => '127.0.0.1:1',
        logic => '127.0.0.1:1', %over);
    my $text = '';

    for my $name (sort keys %goim) {
        my $value = $goim{$name};
        $text .= "$name $_;\n"
            for grep { defined } ref $value ? @$value : $value;
    }
    return "goim {\n$text}\n";
}

# the first [emerg] line for this text, less the file: "what is wrong in :7"
sub nginx_said {
    my ($text) = @_;

    $nginx->configure(conf => "%%MODULES%%\npid %%DIR%%/nginx.pid;\n"
        . "events { }\n$text", tcp => ($tcp && $text =~ /^stream/m ? 1 : 0));
    my ($rc, $said) = $nginx->test_conf;
    return '' if $rc == 0;

    my ($line) = $said =~ /\[emerg\](?: \d+#\d+:)? (.*)$/m;
    return defined $line ? $line =~ s{\Q$nginx->{dir}\E/nginx\.conf}{}r : $said;
}

# where the last line that begins with these words stands
sub line_of {
    my ($words) = @_;
    my ($at, $n) = (0, 0);

    for (split /\n/, slurp("$nginx->{dir}/nginx.conf")) {
        $n++;
        $at = $n if /^\s*\Q$words\E/;
    }
    return $at;
}

# the whole line; it ends with the place of what begins with $begins
sub says {
    my ($what, $text, $line, $begins) = @_;
    my $said = nginx_said($text);
    is($said, "$line in :" . line_of($begins), $what);
}

sub nginx_says {
    my ($what, $text, @like) = @_;
    my $said = nginx_said($text);
    like($said, $_, $what) for @like;
}

# ---- what a directive takes --------------------------------------------------

my %scale = (ms => 1, s => 1000, m => 60_000, h => 3_600_000, d => 86_400_000);
my %bytes = (k => 1 << 10, m => 1 << 20, g => 1 << 30);

# what lies just below and above, and what is none
sub beyond {
    my ($kind, $low, $high) = @_;

    my $base = $kind eq 'time'
        ? sub { $_[0] =~ /^(\d+)([a-z]+)$/ ? $1 * $scale{$2} : $_[0] }
        : sub { $_[0] =~ /^(\d+)([kmg])$/ ? $1 * $bytes{$2} : $_[0] };
    my $unit = $kind eq 'time' ? 'ms' : '';

    return (($base->($low) > 0 ? $base->($low) - 1 . $unit : '-1'),
        $base->($high) + 1 . $unit, '-1', 'x', '');
}

# directive, kind, from, to
my @ranges = map { [split] } split /\n/, <<'END';
redis_timeout      time    1ms   1d
logic_timeout      time    1ms   1d
resolver_timeout   time    1ms   1d
handshake_timeout  time    1ms   1d
room_linger        time    0     10s
drain              time    0     1d
send_timeout       time    1ms   1d
gather_size        size    1k    1m
max_body           size    16    512k
queue_size         size    1k    1024m
max_sessions       number  0     100000000
max_per_addr       number  0     100000000
END

for (@ranges) {
    my ($name, $kind, $low, $high) = @$_;

    for my $value (beyond($kind, $low, $high)) {
        says("$name '$value'", goim($name => qq{"$value"}),
            qq{"$name" takes a $kind from $low to $high, not "$value"},
            "$name ");
    }
    is(nginx_said(goim($name => $_)), '', "$name $_ is taken")
        for $low, $high;
}

my $server_id = '1 to 255 bytes of printable ASCII without "/" and blanks';
my $addrs = '1 to 64 addresses of 1 to 255 bytes, a comma between two';
my $mids = 'mids from 1 to 9223372036854775807';
my $redis = 'user=, password=, password_file=, db=, prefix=, tls, ca_file=, '
    . 'cert_file=, key_file=, server_name=';
my $node = 'region=, zone=, env=, weight=, addrs=, offline';

# directive, its arguments, what is said
for my $case (
    map({ ['zone', "goim $_", 'a name and a size of at least 3m', $_] }
        '16q', '-1', '0', '512k', '3071k'),
    map({ ['server_id', qq{"$_"}, $server_id, $_] }
        '', 'a/b', 'a b', "n\x{f6}", 'x' x 256),
    ['trace_log', '""', 'a path', ''],
    map({ ['trace', qq{"$_"}, $mids, $_] }
        'x', '0', '-1', '', '7,8', '9223372036854775808'),
    ['trace', '7 8 9x', $mids, '9x'])
{
    my ($name, $args, $takes, $value) = @$case;
    says("$name " . substr($args, 0, 20), goim($name => $args),
        qq{"$name" takes $takes, not "$value"}, "$name ");
}

# of a parameter: directive, it, its value, what it takes
for my $case (
    map({ ['redis', 'db=', $_, 'a number from 0 to 1000000'] }
        '-1', '1000001', 'x', ''),
    ['redis', 'prefix=', 'x' x 65, 'a text of 0 to 64 bytes'],
    map({ ['redis', 'server_name=', $_, 'a text of 1 to 255 bytes'] }
        '', 'x' x 256),
    map({ ['redis', "$_=", '', 'a text of 1 to 4096 bytes'] }
        'ca_file', 'cert_file', 'key_file'),
    map({ ['node', 'weight=', $_, 'a number from 1 to 1000000'] }
        '0', '-5', '1000001', 'heavy', ''),
    map({ ['node', "$_=", 'x' x 256, 'a text of 0 to 255 bytes'] }
        'region', 'zone', 'env'),
    map({ ['node', 'addrs=', $_, $addrs] }
        '', 'a,,b', ',a', 'a,' . 'b' x 256, join(',', 1 .. 65)))
{
    my ($name, $param, $value, $takes) = @$case;
    my $first = $name eq 'redis' ? '127.0.0.1:1 ' : '';
    says("$name $param" . substr($value, 0, 20),
        goim($name => qq{$first"$param$value"}),
        qq{"$param" in "$name" takes $takes, not "$value"}, "$name ");
}

# what is no parameter: directive, arguments, its name, the one meant
for my $case (
    ['redis', '127.0.0.1:1 tls=on', 'tls=', 'tls', $redis],
    ['redis', '127.0.0.1:1 tls ca_fiel=x', 'ca_fiel=', 'ca_file=', $redis],
    ['redis', '127.0.0.1:1 tls sever_name=x', 'sever_name=', 'server_name=',
        $redis],
    ['redis', '127.0.0.1:1 pasword=secret', 'pasword=', 'password=', $redis],
    ['redis', '127.0.0.1:1 dp=1', 'dp=', 'db=', $redis],
    ['redis', '127.0.0.1:1 db', 'db', 'db=', $redis],
    ['node', 'online', 'online', '', $node],
    ['node', 'ofline', 'ofline', 'offline', $node],
    ['node', 'offline=1', 'offline=', 'offline', $node],
    ['node', 'wieght=7', 'wieght=', 'weight=', $node],
    ['queue_size', '1m maybe', 'maybe', '', 'close, drop'],
    ['queue_size', '1m dorp', 'dorp', 'drop', 'close, drop'],
    ['queue_size', '1m Close', 'Close', 'close', 'close, drop'])
{
    my ($name, $args, $word, $meant, $takes) = @$case;
    says("$name $args", goim($name => $args),
        qq{unknown parameter "$word" in "$name", }
        . ($meant ? qq{did you mean "$meant"? It takes $takes}
                  : "it takes $takes"), "$name ");
}

says("$_->[0] twice in $_->[1]", goim($_->[1] => $_->[2]),
    qq{"$_->[0]" in "$_->[1]" is duplicate}, "$_->[1] ")
    for ['db=', redis => '127.0.0.1:1 db=1 prefix=x db=1'],
        ['region=', node => 'region=a region=b'],
        ['offline', node => 'offline weight=1 offline'];

# a mid too many
says('trace of 65', goim(trace => join(' ', 101 .. 165)),
    '"165" in "trace" is one too many, at most 64 mids can be traced', 'trace ');

# addresses: nginx's words
for my $case (
    [redis => '127.0.0.1:99999', 'invalid port'],
    [redis => '127.0.0.1:port', 'invalid port'],
    [logic => '127.0.0.1:0', 'invalid port'],
    [logic => '[::1', 'invalid host'],
    [redis => 'nobody.invalid', 'host not found'],
    [logic => 'nobody.invalid', 'host not found'])
{
    my ($name, $value, $why) = @$case;
    says("$name $value", goim($name => $value),
        qq{$why in "$value" of the "$name" directive}, "$name ");
}
says('the second logic', goim(logic => '127.0.0.1:1 127.0.0.1:x'),
    'invalid port in "127.0.0.1:x" of the "logic" directive', 'logic ');

# ---- redis: its password, and TLS --------------------------------------------

my $ca = Goim::TLS->new;
my ($cert, $key) = $ca->cert('own');
my (undef, $key2) = $ca->cert('two');
my $files = folder('files');
my $pem = $ca->file;
spew("$files/password", "se\@cret\n");
spew("$files/zero", "se\0cret");
spew("$files/long", 'x' x 4097);
spew("$files/longest", 'x' x 4096);
system("openssl pkey -in $key -aes256 -passout pass:x -out $files/locked") == 0
    or die 'openssl';

my $at = '127.0.0.1:1';

is(nginx_said(goim(redis => "$at $_")), '', "redis $_ is taken") for
    "user=a password_file=$files/password", "password_file=$files/longest",
    'password=' . 'x' x 4000, "tls", "tls ca_file=$pem",
    "tls ca_file=$cert server_name=redis.test",
    "tls cert_file=$cert key_file=$key", 'tls server_name=::1';
is(nginx_said(goim(redis => 'unix:/tmp/x tls server_name=a')), '',
    'TLS by a unix socket is taken');

says("redis $_->[0]", goim(redis => ($_->[2] || $at) . " $_->[0]"), $_->[1],
    'redis ')
    for ['user=a', '"user=" in "redis" needs a "password_file="'],
        ["password=x password_file=$files/password",
            '"redis" has both "password=" and "password_file="'],
        ["password_file=$files/password password=x",
            '"redis" has both "password=" and "password_file="'],
        ['password_file=/nonexistent/file', 'open() "/nonexistent/file" failed '
            . '(2: No such file or directory)'],
        map({ ["password_file=$_", qq{"$_" is no password: it has more than }
            . '4096 bytes, or one that is zero'] } "$files/zero",
            "$files/long"),
        map({ ["$_=x", qq{"$_=" needs "tls" in "redis"}] } 'ca_file',
            'cert_file', 'key_file', 'server_name'),
        ["tls cert_file=$cert", '"cert_file=" needs "key_file=" in "redis"'],
        ["tls key_file=$key", '"key_file=" needs "cert_file=" in "redis"'],
        ['tls', '"tls" needs "server_name=" with "unix:" in "redis"',
            'unix:/tmp/x'],
        map({ ["tls $_=/nonexistent/file"
            . ($_ eq 'ca_file' ? '' : $_ eq 'key_file' ? " cert_file=$cert"
                : " key_file=$key"), qq{"$_=/nonexistent/file" in "redis": }
            . 'open() failed (2: No such file or directory)'] } 'ca_file',
            'cert_file', 'key_file');

# what is in the files is OpenSSL's to say
my $file = qr/ in "redis" in :\d+$/;
nginx_says("redis $_->[0]", goim(redis => "$at tls $_->[0]"), $_->[1], $file)
    for ["ca_file=$files/password", qr{"$files/password".*no certificate}],
        ["cert_file=$files/password key_file=$key",
            qr{"$files/password".*no start line}],
        ["cert_file=$cert key_file=$files/password",
            qr{"$files/password".*(?:no start line|unsupported)}],
        ["cert_file=$cert key_file=$files/locked",
            qr{"$files/locked".*PEM_read_bio_PrivateKey}],
        ["cert_file=$cert key_file=$key2", qr{"$key2".*key values mismatch}];

# a password is never shown
unlike(nginx_said(goim(redis => qq{$at $_})), qr/secret/, 'no secret in it')
    for 'password=secret pasword=secret', 'password=' . 'secret' x 1000,
        'password=secret password=secret';

# ---- what is missing ---------------------------------------------------------

says("no $_", goim($_ => undef), qq{no "$_" in "goim"}, 'goim ')
    for qw(zone redis logic);
says('trace without trace_log', goim(trace => '7'),
    '"trace" needs a "trace_log" in "goim"', 'goim ');
says('no goim block', "http {\n server { location / {\n $_;\n } } }\n",
    qq{"$_" needs a "goim" block}, $_)
    for qw(goim_subscribe goim_echo goim_status);

# ---- nginx's own -------------------------------------------------------------

my $place = qr{in :\d+$};

# what is nginx's own to say
nginx_says('resolver', goim(resolver => 'nobody.invalid'),
    qr/"?nobody\.invalid"?/);
nginx_says("$_ without a value", goim($_ => ''),
    qr/invalid number of arguments in "$_" directive/, $place)
    for qw(zone server_id redis redis_timeout logic logic_timeout node resolver
        resolver_timeout handshake_timeout room_linger drain send_timeout gather_size max_body queue_size
        max_sessions
        max_per_addr trace_log trace);
nginx_says('an unknown directive', goim(colour => 'red'),
    qr/unknown directive "colour"/, $place);
nginx_says('a parameter of goim', "goim on { }\n",
    qr/invalid number of arguments in "goim" directive/, $place);

# once, and where they belong
my %twice = (zone => 'goim 16m', server_id => 'a', redis => '127.0.0.1:1',
    redis_timeout => '1s', logic_timeout => '1s', node => 'weight=1',
    resolver => '127.0.0.1', resolver_timeout => '1s',
    handshake_timeout => '1s', room_linger => '1s', drain => '1s', send_timeout => '1s',
    gather_size => '16k', max_body => '1k', queue_size => '1m',
    max_sessions => '1', max_per_addr => '1', trace_log => 'a');
nginx_says("$_ twice", goim($_ => [$twice{$_}, $twice{$_}]),
    qr/"$_" directive is duplicate/, $place) for sort keys %twice;
nginx_says('node offline twice', goim(node => ['offline', 'offline']),
    qr/"node" directive is duplicate/, $place);
nginx_says('goim twice', goim() . goim(), qr/"goim" directive is duplicate/,
    $place);
nginx_says("$_ outside goim", "$_ $twice{$_};\n",
    qr/(?:unknown directive "$_"|"$_" directive is not allowed here)/, $place)
    for sort keys %twice;
nginx_says('trace outside goim', "trace 7;\n",
    qr/(?:unknown directive "trace"|"trace" directive is not allowed here)/,
    $place);
nginx_says('goim in http', "http {\n" . goim() . "}\n",
    qr/"goim" directive is not allowed here/, $place);

# files that can't be opened: nginx says which
nginx_says('trace_log where nothing is', goim(trace_log => '/nonexistent/log'),
    qr{open\(\) "/nonexistent/log" failed});

# locations: t/status.t has more
for my $name (qw(goim_subscribe goim_echo goim_status)) {
    nginx_says("$name on", goim()
        . "http { server { location / { $name on; } } }\n",
        qr/invalid number of arguments in "$name" directive/, $place);
    nginx_says("$name in server", goim() . "http { server { $name; } }\n",
        qr/"$name" directive is not allowed here/, $place);
}

SKIP: {
    skip 'no stream front was built', 10 if !$tcp;

    my $server = 'listen 127.0.0.1:%%TCP_PORT%%';
    says('stream: without goim',
        "stream {\nserver {\n$server;\ngoim_subscribe;\n}\n}\n",
        '"goim_subscribe" needs a "goim" block', 'goim_subscribe');
    nginx_says('stream: a parameter', goim()
        . "stream {\nserver { $server; goim_subscribe on; }\n}\n",
        qr/invalid number of arguments in "goim_subscribe"/, $place);
    nginx_says('stream: twice', goim()
        . "stream {\nserver { $server; goim_subscribe; goim_subscribe; }\n}\n",
        qr/"goim_subscribe" directive is duplicate/, $place);
    nginx_says('stream: behind a proxy', goim() . "stream {\nserver { $server; "
        . "proxy_pass 127.0.0.1:1; goim_subscribe; }\n}\n",
        qr/"goim_subscribe" directive conflicts/, $place);
    nginx_says('stream: before a proxy', goim() . "stream {\nserver { $server; "
        . "goim_subscribe; proxy_pass 127.0.0.1:1; }\n}\n",
        qr/"goim_subscribe" is not the only handler|duplicate/, $place);
    says('stream: udp', goim()
        . "stream {\nserver {\n$server udp;\ngoim_subscribe;\n}\n}\n",
        '"goim_subscribe" cannot be used with "udp" of "listen"',
        'server');
}

# each directive of goim { } is here
{
    my ($goim) = slurp(root_dir() . '/docs/directives.md')
        =~ /^## Inside goim\n(.*?)^## /ms;
    my %here = map { $_ => 1 } map({ $_->[0] } @ranges), keys %twice, 'logic',
        'trace';
    is_deeply([sort keys %here], [sort $goim =~ /^### (\w+)/mg],
        'all directives are tried');
}

done_testing;
