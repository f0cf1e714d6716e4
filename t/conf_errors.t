# Wrong values in configurations: refused, with a line that names the directive
# or key, and the value.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Test;

allow_log(qr{\[emerg\] });

# ---- nginx -t ----------------------------------------------------------------

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

sub nginx_says {
    my ($what, $text, @like) = @_;

    $nginx->configure(conf => "%%MODULES%%\npid %%DIR%%/nginx.pid;\n"
        . "events { }\n$text", tcp => ($tcp && $text =~ /^stream/m ? 1 : 0));
    my ($rc, $said) = $nginx->test_conf;

    isnt($rc, 0, "nginx: $what is refused");
    my ($line) = $said =~ /^(.*\[emerg\].*)$/m;
    $line = '' if !defined $line;
    like($line, $_, 'and why') or diag($said) for @like;
}

my $place = qr{in \S*/nginx\.conf:\d+$};

for my $case (
    [zone => 'goim 16q', '16q'], [zone => 'goim -1', '-1'],
    [zone => 'goim 0', '0'], [zone => 'goim 512k', '512k'],
    [server_id => '""', ''], [server_id => 'a/b', 'a/b'],
    [server_id => '"a b"', 'a b'], [server_id => "n\x{f6}", "n\x{f6}"],
    [server_id => 'x' x 256, 'x' x 256],
    [redis => '127.0.0.1:99999', '127.0.0.1:99999'],
    [redis => '127.0.0.1:port', '127.0.0.1:port'],
    [redis => '127.0.0.1:1 db=x', 'db=x'],
    [redis => '127.0.0.1:1 db=-1', 'db=-1'],
    [redis => '127.0.0.1:1 db=', 'db='],
    [redis => '127.0.0.1:1 tls=on', 'tls=on'],
    [redis_timeout => 'soon', 'soon'], [redis_timeout => '0', '0'],
    [redis_timeout => '-1s', '-1s'], [redis_timeout => '2d', '2d'],
    [logic => '127.0.0.1:0', '127.0.0.1:0'], [logic => '[::1', '[::1'],
    [logic => '127.0.0.1:1 127.0.0.1:x', '127.0.0.1:x'],
    [logic_timeout => '5q', '5q'], [logic_timeout => '0', '0'],
    [node => 'weight=0', 'weight=0'], [node => 'weight=-5', 'weight=-5'],
    [node => 'weight=1000001', 'weight=1000001'],
    [node => 'weight=heavy', 'weight=heavy'], [node => 'addrs=', 'addrs='],
    [node => 'addrs=a,,b', 'a,,b'], [node => 'online', 'online'],
    [resolver_timeout => 'x', 'x'], [resolver_timeout => '0', '0'],
    [handshake_timeout => '8x', '8x'], [handshake_timeout => '0s', '0s'],
    [handshake_timeout => '25h', '25h'],
    [room_linger => '11s', '11s'], [room_linger => '-1s', '-1s'],
    [gather_size => '1023', '1023'], [gather_size => '1025k', '1025k'],
    [gather_size => '0', '0'],
    [gather_size => 'all', 'all'],
    [max_body => '15', '15'], [max_body => '513k', '513k'],
    [max_body => 'big', 'big'], [max_body => '-1', '-1'],
    [queue_size => '1023', '1023'], [queue_size => '2g', '2g'],
    [queue_size => 'x', 'x'], [queue_size => '1m maybe', 'maybe'],
    [max_sessions => 'many', 'many'], [max_sessions => '-1', '-1'],
    [max_sessions => '100000001', '100000001'],
    [max_per_addr => '1k', '1k'], [max_per_addr => '-1', '-1'],
    [trace => 'x', 'x'], [trace => '0', '0'], [trace => '-1', '-1'],
    [trace => '""', ''], [trace => '7,8', '7,8'], [trace => '7 8 9x', '9x'],
    [trace => '9223372036854775808', '9223372036854775808'],
    [trace => join(' ', 101 .. 165), '165'], [trace_log => '""', ''])
{
    my ($name, $value, $named) = @$case;
    nginx_says("$name " . substr($value, 0, 30), goim($name => $value),
        qr/"\Q$name\E"/, qr/"\Q$named\E"/, $place);
}

# names that are nobody's: said with where they stand
nginx_says("a name of $_", goim($_ => 'nobody.invalid'),
    qr/"$_" directive/, qr/"nobody\.invalid"/, $place) for qw(redis logic);

# what is nginx's own to say
nginx_says('resolver', goim(resolver => 'nobody.invalid'),
    qr/"?nobody\.invalid"?/);
nginx_says("$_ without a value", goim($_ => ''),
    qr/invalid number of arguments in "$_" directive/, $place)
    for qw(zone server_id redis redis_timeout logic logic_timeout node resolver
        resolver_timeout handshake_timeout room_linger gather_size max_body queue_size
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
    handshake_timeout => '1s', room_linger => '1s',
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

# missing
nginx_says("no $_", goim($_ => undef), qr/no "$_" in "goim"/)
    for qw(zone redis logic);
nginx_says('trace without trace_log', goim(trace => '7'),
    qr/"trace" needs a "trace_log" in "goim"/, $place);

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
    skip 'no stream front was built', 8 if !$tcp;

    my $server = 'listen 127.0.0.1:%%TCP_PORT%%';
    nginx_says('stream: without goim',
        "stream {\nserver { $server; goim_subscribe; }\n}\n",
        qr/"goim_subscribe" needs a "goim" block/, $place);
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
    nginx_says('stream: udp', goim()
        . "stream {\nserver { $server udp; goim_subscribe; }\n}\n",
        qr/"goim_subscribe"/);
}

# ---- goim-logic --test, goim-job --test --------------------------------------

# what stands in both; then each one's own
my @both = (
    ['redis', 'addr', 'nowhere'], ['redis', 'addr', ':x'],
    ['redis', 'addr', 'unix:relative'], ['redis', 'db', '-1'],
    ['redis', 'db', 'x'], ['redis', 'db', '1000001'],
    ['redis', 'timeout', '1ms'], ['redis', 'timeout', 'x'],
    ['redis', 'password_file', '/nonexistent/file'],
    ['redis', 'user', 'somebody'],
    ['registry', 'ttl', '1ms'], ['registry', 'ttl', '61m'],
    ['registry', 'renew', '1ms'], ['registry', 'renew', 'often'],
    ['bus', 'driver', 'pigeon'], ['bus', 'partitions', '0'],
    ['bus', 'partitions', '1025'], ['bus', 'partitions', 'x'],
    ['bus', 'generation', '0'], ['bus', 'generation', 'x'],
    ['kafka', 'no.such.property', '1'], ['kafka', 'acks', '1']);

my %own = (
    logic => [
        ['logic', 'log_level', 'loud'], ['logic', 'http', 'nowhere'],
        ['logic', 'rpc', '127.0.0.1'], ['logic', 'threads', '257'],
        ['logic', 'drain', '11m'], ['logic', 'stream_maxlen', '99'],
        ['http', 'timeout', '10ms'], ['http', 'max_body', '65m'],
        ['http', 'max_header', '1'], ['http', 'trusted_proxies', '10.0.0.0/33'],
        ['push', 'timeout', '2m'], ['push', 'max_keys', '0'],
        ['push', 'max_pending', '1'],
        ['session', 'ttl', '0'], ['session', 'ttl', '959s'], ['session', 'heartbeat', '2d'],
        ['session', 'heartbeat_max', '101'],
        ['online', 'max_rooms', '0'], ['online', 'cache', '61s'],
        ['nodes', 'tcp_port', '65536'], ['nodes', 'ws_port', 'x'],
        ['nodes', 'wss_port', '-1'], ['nodes', 'region_weight', '1001'],
        ['backoff', 'max_delay', '0'], ['backoff', 'base_delay', '-1'],
        ['backoff', 'factor', '0.5'], ['backoff', 'jitter', '2'],
        ['regions', 'sh', '10.0.0.0/99'],
        ['auth', 'mode', 'maybe'], ['auth', 'url', 'ftp://x/'],
        ['auth', 'timeout', '61s'], ['auth', 'connections', '0'],
        ['auth', 'waiting', '-1'], ['receive', 'url', 'ftp://x/'],
        ['receive', 'timeout', '1ms'], ['receive', 'connections', '10001'],
        ['receive', 'waiting', 'x'], ['redis', 'prefix', 'x' x 65],
        ['logic', 'colour', 'red'], ['paint', 'colour', 'red']],
    job => [
        ['job', 'log_level', 'loud'], ['job', 'http', 'nowhere'],
        ['job', 'drain', 'x'], ['job', 'max_unacked', '1k'],
        ['job', 'max_record', '1'], ['job', 'max_record', '65m'],
        ['job', 'stream_maxlen', '0'],
        ['job', 'colour', 'red'], ['paint', 'colour', 'red']],
);

for my $name (qw(logic job)) {
    my $class = $name eq 'job' ? 'Goim::Job' : 'Goim::Logic';

    for my $case (@both, @{ $own{$name} }) {
        my ($section, $key, $value) = @$case;
        my $service = $class->new(redis => '127.0.0.1:1', stopped => 1,
            conf => { $section => { $key => $value },
                $section eq 'kafka' ? (bus => { driver => 'kafka' }) : () });
        my ($rc, $said) = $service->test_conf;
        my $what = "$name: [$section] $key = " . substr $value, 0, 30;

        is($rc, 1, "$what is refused");

        # a section or key that is not there is named, not what it was to hold
        if ($section eq 'paint' || $key eq 'colour' || $key eq 'acks') {
            like($said, qr/\[paint\]|\b$key\b/, 'and named') or diag($said);
            next;
        }
        my $named = $key =~ s/_/[_ ]/gr;
        like($said, qr/$named/, 'the key is named') or diag($said);
        like($said, qr/\Q$value\E/, 'the value too') or diag($said)
            if length $value <= 64;
    }

    # the file itself
    my $service = $class->new(redis => '127.0.0.1:1', stopped => 1);
    my $file = "$service->{dir}/$name.conf";
    for my $case (
        ["[redis]\nnonsense\n", qr/:2: /, 'a line that is none'],
        ["[redis]\ndb = 1\ndb = 2\n", qr/:3: .*db/, 'a key twice'],
        ["[redis]\naddr = " . 'x' x 300 . "\n", qr/:2: /, 'a long line'],
        ["db = 1\n", qr/:1: .*db/, 'a key without a section'])
    {
        spew($file, $case->[0]);
        my ($rc, $said) = $service->test_conf;
        is($rc, 1, "$name: $case->[2] is refused");
        like($said, $case->[1], 'its line is named') or diag($said);
    }

    my ($rc, $said) = $service->run('--config', '/nonexistent/file', '--test');
    is($rc, 1, "$name: no such file");
    like($said, qr{/nonexistent/file}, 'is named');
}

done_testing;
