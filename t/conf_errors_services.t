# Wrong values in logic.conf and job.conf: refused, with one line that names
# file, line, key and value, what it may be and the name that may have been
# meant. (nginx's configuration: conf_errors.t.)

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::TLS;
use Goim::Test;

allow_log(qr{\[emerg\] });

my $ca = Goim::TLS->new;
my ($cert, $cert_key) = $ca->cert('own');
my (undef, $key2) = $ca->cert('two');

my %service = (
    logic => Goim::Logic->new(redis => '127.0.0.1:1', stopped => 1),
    job => Goim::Job->new(redis => '127.0.0.1:1', stopped => 1),
);
my $name;

# what it says to this file, less what each line begins with: ":7: what is wrong"
sub said {
    my ($text) = @_;
    my $service = $service{$name};
    my $file = "$service->{dir}/$name.conf";

    spew($file, $text);
    my ($rc, $said) = $service->test_conf;
    return '' if $rc == 0;

    chomp $said;
    return $said =~ s/^\Q$name: $file\E//r;
}

sub says {
    my ($what, $text, $line) = @_;
    is(said($text), $line, "$name: $what");
}

# what stands in the way of a value alone, and goes with it
sub file {
    my ($section, $key, $value) = @_;
    my $with = $section eq 'kafka' ? "[bus]\ndriver = kafka\n" : '';
    $with .= "[kafka]\nbootstrap.servers = 127.0.0.1:1\n"
        if "$section $key $value" eq 'bus driver kafka' || $section eq 'kafka';
    $with .= "[session]\nheartbeat = 1s\nheartbeat_max = 1\n"
        if "$section $key" eq 'session ttl';
    $with .= "[session]\nttl = 7d\n" if $key =~ /^heartbeat/;
    $with .= "[session]\nheartbeat_max = 1\n" if $key eq 'heartbeat';
    $with .= "[session]\nheartbeat = 1m\n" if $key eq 'heartbeat_max';
    $with .= "[registry]\nrenew = 500ms\n"
        if "$section $key" eq 'registry ttl';
    $with .= "[registry]\nttl = 1h\n" if $key eq 'renew';
    $with .= "[redis]\naddr = unix:/x\n"
        if "$section $key $value" eq 'redis tls on';
    $with .= "[redis]\ntls = on\n"
        if $key =~ /^(?:ca_file|cert_file|key_file|server_name)$/;
    $with .= "cert_file = $cert\n" if $key eq 'key_file';
    $with .= "key_file = $cert_key\n" if $key eq 'cert_file';
    my $jwt = $section eq 'auth' && $key =~ /^(?:keys|secret_file|jwks)$/;
    $with .= $jwt || $key eq 'algorithms' ? "[auth]\nmode = jwt\n"
        : "[auth]\nmode = trust\n"
        if $name eq 'logic' && "$section $key" ne 'auth mode';
    $with .= "[auth]\nalgorithms = HS256 ES256\n" if $jwt;
    my $text = "# one\n$with\[$section]\n$key = $value\n";
    return ($text, scalar(() = $text =~ /\n/g));
}

# ---- ranges: section, key, kind, from, to ------------------------------------

my $both = <<'END';
redis     db               number  0     1000000
redis     timeout          time    10ms  10m
registry  ttl              time    1s    1h
registry  renew            time    100ms 30m
bus       partitions       number  1     1024
bus       generation       number  1     1000000
END

my %ranges = (logic => <<'END', job => <<'END');
logic     threads          number  0     256
logic     drain            time    0     10m
logic     canary           time    0     5s
logic     stream_maxlen    number  100   100000000
http      timeout          time    1s    1h
http      keepalive        time    1s    1d
http      max_connections  number  1     1000000
http      max_body         size    0     4m
http      max_header       size    1k    16m
push      timeout          time    100ms 1m
push      max_keys         number  1     1000000
im        max_body         size    1     64k
im        offline_push     number  0     10000
push      max_pending      size    1k    16384m
session   ttl              time    2s    7d
session   heartbeat        time    1s    1d
session   heartbeat_max    number  1     100
session   max_per_mid      number  0     1000
session   mobile           number  0     1000
session   desktop          number  0     1000
session   web              number  0     1000
online    max_rooms        number  1     100000000
online    cache            time    0     1m
nodes     tcp_port         number  0     65535
nodes     ws_port          number  0     65535
nodes     wss_port         number  0     65535
nodes     region_weight    decimal 0     1000
backoff   max_delay        number  1     86400
backoff   base_delay       number  0     86400
backoff   factor           decimal 1     100
backoff   jitter           decimal 0     1
auth      timeout          time    10ms  1m
auth      connections      number  1     10000
auth      waiting          number  0     1000000
auth      retries          number  0     5
auth      failures         number  0     1000000
auth      pause            time    100ms 10m
auth      refresh          time    1s    1d
auth      refresh_min      time    100ms 1h
auth      leeway           time    0     5m
receive   timeout          time    10ms  1m
receive   connections      number  1     10000
receive   waiting          number  0     1000000
send      max_size         size    0     4m
send      rate             decimal 0     100000
send      burst            number  1     100000
send      mid_rate         decimal 0     100000
send      mid_burst        number  1     100000
before    timeout          time    10ms  1m
before    connections      number  1     10000
before    waiting          number  0     1000000
events    timeout          time    10ms  1m
events    max              number  1000  10000000
offline   timeout          time    10ms  1m
offline   delay            time    0     1h
offline   every            time    0     1d
END
job       drain            time    0     10m
job       max_unacked      size    5m    16384m
job       stream_maxlen    number  100   100000000
offline   max              number  0     10000000
history   dedup            time    1s    1d
END

my %called = (number => 'a number', decimal => 'a decimal number',
    time => 'a time (500ms, 5s, 10m, 1h, 2d)',
    size => 'a size (4096, 64k, 1m, 1g)');
my %unit = (ms => 1, s => 1000, k => 1 << 10, h => 3_600_000, d => 86_400_000);

# just below and above
sub beyond {
    my ($kind, $low, $high) = @_;
    my $base = sub {
        my ($n, $unit) = $_[0] =~ /^(\d+)(\w*)$/;
        return $n * ($unit eq '' ? 1
            : $unit eq 'm' ? ($kind eq 'time' ? 60_000 : 1 << 20)
            : $unit{$unit});
    };
    my $step = $kind eq 'decimal' ? 0.01 : 1;
    my $ms = $kind eq 'time' ? 'ms' : '';
    my $below = $base->($low) - $step;

    return ($below < 0 ? $below : "$below$ms", $base->($high) + $step . $ms);
}

# ---- words and texts: section, key, value, what is said ----------------------

my $levels = 'emerg, alert, crit, error, warn, notice, info, debug';
my $listens = 'is neither IP:port nor unix:path';

my @both = (
    [redis => addr => 'nowhere', 'is neither host:port nor unix:/path'],
    [redis => addr => ':x', 'is neither host:port nor unix:/path'],
    [redis => addr => 'unix:relative',
        'is not a path of at most 107 bytes behind unix:'],
    [redis => password_file => '/nonexistent/file',
        'cannot be read: No such file or directory'],
    [redis => prefix => 'x' x 65, 'is not 0 to 64 bytes'],
    [redis => user => 'somebody', 'needs a password_file'],
    [redis => tls => 'yes', 'is none of on, off, 1, 0'],
    [redis => tls => 'on', 'needs a server_name with addr = "unix:/x"'],
    map({ [redis => $_ => '/nonexistent/file',
        'cannot be read: No such file or directory'] }
        qw(ca_file cert_file key_file)),
    [bus => driver => 'pigeon', 'is none of redis, kafka'],
    [bus => driver => 'kafak',
        'is none of redis, kafka, did you mean "kafka"?'],
    [bus => driver => '', 'is none of redis, kafka'],
);

my %texts = (
    logic => [
        [logic => log_level => 'loud', "is none of $levels"],
        [logic => log_level => 'warning', "is none of $levels"],
        [logic => log_level => 'inof',
            "is none of $levels, did you mean \"info\"?"],
        [logic => http => 'nowhere', $listens],
        [logic => http => 'host:1', 'is not at an IP address'],
        [http => public => 'nowhere', $listens],
        [http => hosts => 'a, b:80',
            'is wrong: "b:80" is not a name of a host'],
        [http => origins => 'https://a.test b.test',
            'is wrong: "b.test" is not scheme://host[:port]'],
        [rpc => secret_file => '/nonexistent/file',
            'cannot be read: No such file or directory'],
        [rpc => open => '2', 'is none of on, off, 1, 0'],
        [api => keys => '/nonexistent/file',
            'cannot be read: No such file or directory'],
        [api => open => 'maybe', 'is none of on, off, 1, 0'],
        [logic => rpc => '127.0.0.1', $listens],
        [logic => rpc => 'unix:/tmp/x', 'is not IP:port'],
        [http => trusted_proxies => '10.0.0.0/33',
            'is wrong: "10.0.0.0/33" is not a network'],
        [session => one_more => 'both', 'is none of kick, refuse'],
        [auth => mode => 'maybe', 'is none of trust, http, jwt'],
        [auth => mode => 'tust',
            'is none of trust, http, jwt, did you mean "trust"?'],
        [auth => mode => 'http', 'needs [auth] url'],
        [auth => mode => 'jwt', 'needs algorithms: HS256, RS256, ES256, EdDSA'],
        [auth => algorithms => 'HS256, none', 'is wrong: "none" is none of '
            . 'HS256, RS256, ES256, EdDSA'],
        [auth => algorithms => 'ES265', 'is wrong: "ES265" is none of HS256, '
            . 'RS256, ES256, EdDSA, did you mean "ES256"?'],
        [auth => keys => '/nonexistent/key', 'cannot be read: No such file or'
            . ' directory', 1],
        [auth => keys => join(' ', 1 .. 9), 'is more than 8 files'],
        [auth => secret_file => '/nonexistent/secret', 'cannot be read: No '
            . 'such file or directory', 1],
        [auth => jwks => 'http://127.0.0.1/', 'is not https'],
        [auth => jwks => 'ftp://x/', 'is not http[s]://host[:port]/path'],
        [auth => pass => 'query, X-Forwarded-For',
            'is wrong: "X-Forwarded-For" is none of query, Origin, User-Agent,'
            . ' Authorization, X-Request-Id'],
        [auth => pass => 'Orign',
            'is wrong: "Orign" is none of query, Origin, User-Agent, '
            . 'Authorization, X-Request-Id, did you mean "Origin"?'],
        map({ [$_ => url => 'ftp://x/', 'is not http[s]://host[:port]/path'] }
            'auth', 'receive', 'before', 'events', 'offline'),
        map({ [$_ => secret_file => '/nonexistent/secret',
            'cannot be read: No such file or directory'] } 'events', 'offline'),
        map({ [send => $_ => '0.0001', 'is less than 0.0003, once an hour'] }
            'rate', 'mid_rate'),
        [send => envelope => '2', 'is none of on, off, 1, 0'],
        [im => insecure => '2', 'is none of on, off, 1, 0'],
        [im => ticket_key => '/nonexistent/key',
            'cannot be read: No such file or directory'],
        [im => public_url => 'im.test',
            'is not http[s]://host[:port]/path'],
    ],
    job => [
        [job => log_level => 'loud', "is none of $levels"],
        [job => log_level => 'eror',
            "is none of $levels, did you mean \"error\"?"],
        [job => http => 'nowhere', $listens],
    ],
);

# ---- all of them -------------------------------------------------------------

for (qw(logic job)) {
    $name = $_;

    for (split /\n/, $both . $ranges{$name}) {
        my ($section, $key, $kind, $low, $high) = split;
        my $most = $high;
        $high = '1h' if $key eq 'renew';    # itself at most half of ttl

        for my $value (beyond($kind, $low, $high), 'x', '', '1q', '1 2') {
            my ($text, $line) = file($section, $key, $value);
            says("[$section] $key = '$value'", $text,
                ":$line: [$section] $key = \"$value\" is not $called{$kind}"
                . " from $low to $high");
        }
        for my $value ($low, $most) {
            my ($text) = file($section, $key, $value);
            is(said($text), '', "$name: [$section] $key = $value is taken");
        }
    }

    for my $case (@both, @{ $texts{$name} }) {
        my ($section, $key, $value, $why, $colon) = @$case;
        my ($text, $line) = file($section, $key, $value);
        my $shown = substr($value, 0, 64) . '"' . ($colon ? ':' : '');
        says("[$section] $key = " . substr($value, 0, 20), $text,
            ":$line: [$section] $key = \"$shown $why");
    }

    # each key's near miss; the documentation has them all
    my $section;
    my @keys;
    for (split /\n/, slurp(root_dir() . "/docs/$name.conf.md")) {
        $section = $1 if /^## \[?(\w+)/;
        push @keys, [$section, $1] if /^### (\w+)/;
    }
    cmp_ok(scalar @keys, '>', 15, "$name: keys are found");
    for (grep { $_->[0] ne 'history' } @keys) {     # its others are rooms
        my ($section, $key) = @$_;
        my $near = $key . substr $key, -1;
        says("[$section] $near", "[$section]\n$near = 1\n",
            ":2: [$section] has no key \"$near\", did you mean \"$key\"?");
    }
    my %tried = map { (split)[0] . ' ' . (split)[1] => 1 }
        split /\n/, $both . $ranges{$name};
    $tried{"$_->[0] $_->[1]"} = 1 for @both, @{ $texts{$name} };
    my %any = map { $_ => 1 } 'bus topic', 'bus group',
        'im db', 'im topic', 'im dead_topic', "$name log", 'auth ca', 'receive ca',
        'before ca', 'events ca', 'offline ca', 'events types',
        'auth issuer', 'auth audience', 'nodes domain', 'nodes host_domain',
        'nodes region_header', 'redis server_name';
    is_deeply([grep { !$tried{$_} && !$any{$_} } map { "@$_" } @keys], [],
        "$name: wrong values of all keys are tried");

    # near nothing, and of other sections
    says('a key that is near none', "[$name]\nlog = stderr\ncolour = red\n",
        ":3: [$name] has no key \"colour\"");
    says('a section that is near none', "[paint]\ncolour = red\n",
        ':2: there is no section "paint"');
    says('a section that is nearly one', "[redsi]\ndb = 1\n",
        ':2: there is no section "redsi", did you mean "redis"?');
    says('a free section that is nearly one', "[kafak]\na = 1\n",
        ':2: there is no section "kafak", did you mean "kafka"?');
    says('a key without a section', "db = 1\n",
        ':1: "db" stands before the first [section]');

    # what goes with what: the line is that of a key that is there
    says('renew alone', "[registry]\nrenew = 16s\n",
        ':2: [registry] renew = 16000ms is more than half of ttl = 30000ms');
    says('ttl alone', "[registry]\n\nttl = 19s\n",
        ':3: [registry] renew = 10000ms is more than half of ttl = 19000ms');

    # TLS to Redis
    my $files = folder('files');
    my $trust = $name eq 'logic' ? "[auth]\nmode = trust\n" : '';
    my ($none, $long) = map { "$files/$_" } qw(none long);
    spew($none, "no certificate\n");
    spew($long, 'x' x 4097);
    system("openssl pkey -in $cert_key -aes256 -passout pass:x "
        . "-out $files/locked") == 0 or die 'openssl';

    for (['', "ca_file = $none", 'ca_file needs tls = on'],
        ['', "cert_file = $none", 'cert_file needs tls = on'],
        ['', "key_file = $none", 'key_file needs tls = on'],
        ['', 'server_name = a', 'server_name needs tls = on'],
        ["tls = on\n", "cert_file = $cert", 'cert_file needs a key_file'],
        ["tls = on\n", "key_file = $cert_key", 'key_file needs a cert_file'],
        ['', "password_file = $long",
            'password_file holds more than 4096 bytes'],
        ["tls = on\n", "ca_file = $none", "ca_file = \"$none\" holds no "
            . 'certificate: no certificate or crl found'],
        ["tls = on\nkey_file = $cert_key\n", "cert_file = $none",
            "cert_file = \"$none\" holds no certificate: no start line"],
        ["tls = on\ncert_file = $cert\n", "key_file = $key2",
            "key_file = \"$key2\" is not the key of cert_file"])
    {
        my ($before, $line, $why) = @$_;
        my $n = 2 + (() = "$trust$before" =~ /\n/g);
        says("[redis] $line", "$trust\[redis]\n$before$line\n",
            ":$n: [redis] $why");
    }
    says('[redis] server_name', "$trust\[redis]\ntls = on\nserver_name = "
        . 'x' x 128 . "\n " . 'x' x 128 . "\n", ':' . (3 + ($trust ne '') * 2)
        . ': [redis] server_name = "' . 'x' x 64 . '" is not 0 to 255 bytes');
    like(said("$trust\[redis]\ntls = on\ncert_file = $cert\nkey_file = $_\n"),
        qr{\[redis\] key_file = "\Q$_\E" holds no key without a password: },
        "$name: $_ is no key") for $none, "$files/locked";
    is(said("$trust\[redis]\n$_"), '', "$name: [redis] $_ is taken")
        for "tls = on\n", "tls = on\nca_file = @{[$ca->file]}\n"
            . "cert_file = $cert\nkey_file = $cert_key\n",
            "tls = on\nserver_name = redis.test\naddr = unix:/tmp/x\n";

    # [kafka]
    my $kafka = "[bus]\ndriver = kafka\n";
    says('Kafka without brokers', $kafka, ':2: [bus] driver = "kafka" needs '
        . 'bootstrap.servers in [kafka]');
    $kafka .= "[kafka]\nbootstrap.servers = 127.0.0.1:1\n";
    says('a property that is none', $kafka . "no.such.property = 1\n",
        ':5: [kafka] no.such.property is no property of librdkafka');
    says('one that is nearly one', $kafka . "linger.sm = 1\n",
        ':5: [kafka] linger.sm is no property of librdkafka, did you mean '
        . '"linger.ms"?');
    says('one that is not free', $kafka . "acks = 1\n",
        ':5: [kafka] acks cannot be set: it is always all');
    like(said($kafka . "linger.ms = -7\n"), qr/^:5: \[kafka\] linger\.ms: /,
        "$name: librdkafka's own range");
    says('no database', "[im]\ndb = mysql:x\n",
        ':2: [im] db is neither "sqlite:PATH" nor "postgresql:CONNINFO"');
    says('no path', "[im]\ndb = sqlite:im.db\n",
        ':2: [im] db is no absolute path of SQLite: "im.db"');
    like(said("[im]\ndb = postgresql:hots=x\n"),
        qr/^:2: \[im\] db is no connection string of PostgreSQL: .*"hots"/,
        "$name: CONNINFO");
    says('for anybody', "[auth]\nmode = trust\n[im]\ndb = sqlite:/x\n",
        ':4: [im] db with [auth] mode = trust: anybody may be anyone and '
        . 'read it; mode = jwt or http, or [im] insecure = on')
        if $name eq 'logic';
    says('no topic of commands', "[im]\ntopic =\n",
        ':2: [im] topic = "" is not 1 to 249 bytes');
    if ($name eq 'job') {
        says('none of what is given up', "[im]\ndead_topic =\n",
            ':2: [im] dead_topic = "" is not 1 to 249 bytes');
        says('one for both', "[im]\ntopic = x\ndead_topic = x\n",
            ':3: [im] dead_topic = "x" is topic, too: what is given up would come '
            . 'again');
    }
    says('no topic', $kafka . "[bus]\ntopic =\n",
        ':6: [bus] topic = "" is not 1 to 249 bytes');
    says('no group', $kafka . "[bus]\ngroup =\n",
        ':6: [bus] group = "" is empty');

    # the file itself
    says('a line that is none', "[redis]\nnonsense\n",
        ':2: neither "[section]" nor "key = value"');
    says('a key twice', "[redis]\ndb = 1\ndb = 2\n",
        ':3: [redis] db is given twice');
    says('a long line', "[redis]\naddr = " . 'x' x 300 . "\n",
        ':2: the line is longer than 198 bytes; a value may continue on '
        . 'indented lines');

    my ($rc, $said) = $service{$name}->run('--config', '/nonexistent/file',
        '--test');
    is("$rc $said",
        "1 $name: /nonexistent/file: No such file or directory\n",
        "$name: no such file");
}

$name = 'logic';
says('heartbeats alone', "[session]\nheartbeat_max = 4\n",
    ':2: [session] ttl = 1800s is less than twice heartbeat * heartbeat_max, '
    . '960s');
says('ttl alone', "[session]\nttl = 959s\n",
    ':2: [session] ttl = 959s is less than twice heartbeat * heartbeat_max, '
    . '480s');
says('a CA that cannot be read',
    "[auth]\nca = /nonexistent/ca\nurl = https://127.0.0.1/\n",
    ':2: [auth] ca = "/nonexistent/ca" cannot be read: No such file or '
    . 'directory');
my $modes = '[auth] mode is missing: choose "jwt" (signed tokens), "http" '
    . '(your service decides) or "trust" (any client may be anyone and enter '
    . 'any room, as with goim)';
says('no mode', "[auth]\nconnections = 1\n", ": $modes");
says('an empty mode', "[auth]\nmode =\n", ":2: $modes");
{
    my $jwt = "[auth]\nmode = jwt\nalgorithms = HS256 RS256\n";
    my $file = folder('keys') . '/key';
    says('no keys', $jwt, ':2: [auth] mode = "jwt" needs keys: secret_file, '
        . 'keys or jwks');

    for (['secret_file', 'x' x 31, 'a secret of 31 bytes, 32 are needed'],
        ['secret_file', "x\0" x 32, 'cannot be read: contains a zero byte'],
        ['keys', '{"keys":[]}', 'no key for any of the algorithms'],
        ['keys', 'x', 'no key'], ['keys', '', 'no key'])
    {
        my ($key, $text, $why) = @$_;
        spew($file, $text);
        says("$key: $why", "$jwt$key = $file\n",
            ":4: [auth] $key = \"$file\": $why");
    }

    # by openssl, a private key and a weak one
    system("openssl genrsa -out $file 1024 2>$file.out") == 0 or die;
    says('a private key', "${jwt}keys = $file\n", ":4: [auth] keys = \"$file\":"
        . ' a private key: the public one is needed, "openssl pkey -pubout" '
        . 'makes it');
    system("openssl pkey -in $file -pubout -out $file.pub") == 0 or die;
    says('a weak one', "${jwt}keys = $file.pub\n", ":4: [auth] keys = "
        . "\"$file.pub\": RSA of 1024 bits, 2048 to 8192 are taken");
    says('that is no secret', "${jwt}secret_file = $file.pub\n", ':4: [auth] '
        . "secret_file = \"$file.pub\": a key in PEM, which is no secret");
    says('an algorithm that is not configured', $jwt =~ s/ RS256/ ES256/r
        . "secret_file = $file.pub\n[auth]\nkeys = $file.pub\n", ':4: [auth] '
        . "secret_file = \"$file.pub\": a key in PEM, which is no secret");
}
{
    my $url = "[events]\nurl = http://127.0.0.1/\n";
    my $file = spew(folder('events') . '/secret', 'x' x 15);
    my $needs = '[events] url needs secret_file, a file with 16 to 512 bytes';
    says('events without a secret', $url, ":2: $needs");
    says('with a short one', "${url}secret_file = $file\n",
        ":2: $needs");
    spew($file, 'x' x 16);
    says('of no such type', "${url}secret_file = $file\n"
        . "types = connect, leaves\n", ':4: [events] types = "connect, leaves" '
        . 'is wrong: "leaves" is none of connect, disconnect, join, leave, '
        . 'message, did you mean "leave"?');

    $url = "[offline]\nurl = http://127.0.0.1/\n";
    says('offline without messages', "${url}secret_file = $file\n", ':2: '
        . '[offline] url without [im] db: nothing is stored that somebody could '
        . 'be told of');
    says('without a secret', "${url}[im]\ndb = sqlite:/nonexistent/im.db\n",
        ':2: [offline] url needs secret_file, a file with 16 to 512 bytes');
}
is_deeply([$service{logic}->run('--test')], [1,
    "logic: configuration: $modes\n"], 'logic: no file, and so no mode');
says('a region', "[regions]\nsh = 10.0.0.0/99\n",
    ':2: [regions] sh = "10.0.0.0/99": "10.0.0.0/99" is not a network');

$name = 'job';
says("a history that is '$_'", "[history]\nlive = $_\n",
    qq{:2: [history] live = "$_": is not "NUMBER TIME": 1 to 100000 items, kept }
    . 'for 1s to 30d')
    for '0 1h', '100001 1h', '10', '10 999ms', '10 31d', 'x 1h', '10 x', '';
says('a history of no room type', "[history]\na/b = 1 1h\n",
    ':2: [history] a/b = "1 1h": is not a room type: at most 64 visible '
    . 'characters, no ":" or "/"');
says('a history of our own type', "[history]\nim = 1 1h\n",
    q{:2: [history] im = "1 1h": is no application's room type});

done_testing;
