# Nodes: registration, what clients are told, regions, offline, and what
# becomes of nodes that end or fall silent.

use strict;
use warnings;

use POSIX qw(floor ceil);
use Time::HiRes ();

use lib 't/lib';
use Goim::Test;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;

my $redis = Goim::Redis->new;
my %registry = (ttl => '60s', renew => '300ms');
my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
    logic => { threads => 3 }, registry => \%registry,
    http => { trusted_proxies => '127.0.0.1, 10.0.0.0/8' },
    nodes => { domain => 'push.example', host_domain => '.example',
        tcp_port => 1, ws_port => 2, wss_port => 3, region_weight => 5,
        region_header => 'X-Where' },
    backoff => { max_delay => 60, base_delay => 1, factor => 2.5,
        jitter => 0.5 },
    session => { heartbeat => '30s', heartbeat_max => 3 },
    regions => { sh => '192.0.2.0/24, 2001:db8:1::/48',
        bj => '198.51.100.0/24, 192.0.2.128/25' } });
my $api = $logic->api;

# another logic on the same Redis: what one is told the other knows
my $second = Goim::Logic->new(redis => $redis->addr, conf => {
    registry => \%registry, nodes => { domain => 'conn.goim.io',
        host_domain => '.goim.io' }, regions => { sh => '192.0.2.0/24' } });
Goim::RPC::ready($_) for $logic, $second;

my %node;
my $born = int(Time::HiRes::time() * 1000);

sub comet {
    my ($server, %arg) = @_;
    my $zone = delete $arg{zone} || 'z1';
    my $rpc = $node{"$server/$zone"} ||= Goim::RPC->new($logic->{rpc_port},
        server => $server, zone => $zone);
    $rpc->{info} = { %{ $rpc->{info} || {} }, started => $born, %arg };
    return $rpc->register(%{ $rpc->{info} });
}

sub weighted {
    my ($platform, %header) = @_;
    my $r = $api->request('GET', '/goim/nodes/weighted',
        [platform => $platform], headers => \%header);
    return $r->{data};
}

# each thread answers some connections: all of them have to know
sub everywhere(&$) {
    my ($sub, $name) = @_;
    eventually {
        for (1 .. 12) {
            for my $l ($logic, $second) {
                my $r = $l->get('/goim/nodes/instances',
                    headers => { Connection => 'close' });
                local $_ = { map { $_->{server} => $_ }
                    @{ $r->{json}{data} } };
                return 0 if !$sub->();
            }
        }
        return 1;
    } 15, $name;
}

subtest 'no node' => sub {
    my $r = $api->nodes_weighted;
    is $r->{text}, '{"code":0,"message":"","data":{"domain":"push.example",'
        . '"tcp_port":1,"ws_port":2,"wss_port":3,"heartbeat":30,'
        . '"heartbeat_max":3,"nodes":["push.example"],"backoff":'
        . '{"max_delay":60,"base_delay":1,"factor":2.5,"jitter":0.5}}}',
        'the default domain';
    is_deeply weighted('web')->{nodes}, ['push.example'], 'for web too';
    is $second->api->nodes_weighted->{text}, '{"code":0,"message":"","data":'
        . '{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,'
        . '"wss_port":3103,"heartbeat":240,"heartbeat_max":2,'
        . '"nodes":["conn.goim.io"],"backoff":{"max_delay":300,'
        . '"base_delay":3,"factor":1.8,"jitter":0.3}}}',
        'goim\'s values';
    eventually { $api->nodes_instances->{text}
        eq '{"code":0,"message":"","data":[]}' } 10, 'no instances';
};

subtest 'no names' => sub {
    my $own = Goim::Redis->new;
    my $plain = Goim::Logic->new(redis => $own->addr, conf => {
        logic => { threads => 1 }, registry => \%registry });
    Goim::RPC::ready($plain);
    my $rpc = Goim::RPC->new($plain->{rpc_port});
    my $ask = sub {
        my ($platform, $host) = @_;
        return $plain->get('/goim/nodes/weighted'
            . ($platform ? "?platform=$platform" : ''),
            headers => { Host => $host });
    };

    my $r = $ask->('web', 'chat.example');
    is $r->{status}, 503, 'no node: 503';
    is $r->{json}{code}, -500, 'and its code';

    $rpc->register(server => $_, addrs => []) for 'near', 'far';
    eventually { @{ $plain->api->nodes_instances->{data} || [] } == 2 } 10,
        'nodes without addresses';

    for my $platform ('web', 'android', undef) {
        for (['chat.example', 'chat.example'], ['a.b:8080', 'a.b'],
            ['192.0.2.9:1', '192.0.2.9'], ['[2001:db8::1]:80', '2001:db8::1'])
        {
            my $data = $ask->($platform, $_->[0])->{json}{data};
            is_deeply [@$data{qw(domain nodes)}], [$_->[1], [$_->[1]]],
                "they are what was asked: $_->[0]";
        }
    }
    is $ask->('web', $_)->{status}, 503, "no name: $_"
        for '[::1', 'x' x 300;
    is $ask->('web', $_)->{status}, 400, "no Host at all: $_"
        for 'a b', '<x>';

    $rpc->register(server => $_, addrs => ["192.0.2.$_", "2001:db8::$_"])
        for 1, 2;
    $rpc->register(server => $_, addrs => [], offline => 1)
        for 'near', 'far';
    eventually { @{ $plain->api->nodes_instances->{data} || [] } == 4 } 10,
        'nodes with addresses';
    for my $platform ('web', 'android') {
        eventually { join(' ', sort @{ ($ask->($platform, 'chat.example')
            ->{json}{data} || {})->{nodes} || [] })
            eq '192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2' } 10,
            "$platform: they are told";
    }
    unlike $ask->('web', 'chat.example')->{text} || '', qr/goim\.io/,
        'nobody else is';
    $plain->stop;
};

subtest 'a node' => sub {
    my $r = comet('comet-1', region => 'sh', zone_name => 'sh001',
        env => 'prod', hostname => 'host-1', version => '9.9',
        addrs => ['192.0.2.1', '192.0.2.2'], weight => 20,
        conn_count => 7, ip_count => 4);
    is $r->{code}, 0, 'registers';
    is_deeply [@{ $r->{registered} }{qw(renew ttl holder)}], [300, 60000, ''],
        'is told how often to renew';
    everywhere { $_->{'comet-1'} } 'is known everywhere';

    like $api->nodes_instances->{text}, qr/"latest_timestamp":\d{19},"metadata"
        :\{"addrs":"[^"]+","conn_count":"7","ip_count":"4","offline":"false",
        "weight":"20"\}/x, 'a number, and strings';

    my $inst = $api->nodes_instances->{data}[0];
    my $ns = delete $inst->{latest_timestamp};
    cmp_ok abs($ns / 1e9 - time), '<', 60, 'the timestamp has nanoseconds';
    is_deeply $inst, { server => 'comet-1', region => 'sh', zone => 'sh001',
        env => 'prod', appid => 'goim.comet', hostname => 'host-1',
        addrs => ['192.0.2.1', '192.0.2.2'], version => '9.9',
        metadata => { addrs => '192.0.2.1,192.0.2.2', conn_count => '7',
            ip_count => '4', offline => 'false', weight => '20' } },
        'the instance';
    is_deeply weighted('web')->{nodes}, ['host-1.example'], 'web: its host';
    is_deeply weighted('android')->{nodes}, ['192.0.2.1', '192.0.2.2'],
        'others: its addresses';
    is_deeply weighted()->{nodes}, ['192.0.2.1', '192.0.2.2'],
        'without platform too';

    # a second zone of it, as after a reload: counts are summed
    is comet('comet-1', zone => 'z2', started => $born + 1, weight => 20,
        conn_count => 3, ip_count => 1, hostname => 'host-1',
        addrs => ['192.0.2.1'], region => 'sh')->{code}, 0, 'a second zone';
    everywhere { $_->{'comet-1'}{metadata}{conn_count} == 10 }
        'both zones count';
    is $api->online_total->{data}{conn_count}, 10, 'in the total';
};

subtest 'another instance' => sub {
    my $rpc = Goim::RPC->new($logic->{rpc_port}, server => 'comet-1',
        zone => 'other');
    my $r = $rpc->register(instance => 'elsewhere/1');
    is $r->{code}, 3, 'of the same server_id is refused';
    is $r->{registered}{holder}, 'test/comet-1', 'and told who has it';
    $r = $rpc->register(instance => 'elsewhere/1',
        replaces => 'test/comet-1');
    is $r->{code}, 0, 'unless it takes the place of it';
    is $rpc->call('deregister')->{code}, 0, 'and goes';

    for my $bad ({ server => '' }, { server => 'a b' }, { zone => '' },
        { zone => 'a/b' }, { instance => '' }, { server => 'x' x 256 },
        { addrs => ['a,b'] }, { addrs => [(1) x 65] },
        { region => 'x' x 256 })
    {
        is $rpc->register(instance => 'i', %$bad)->{code}, 4,
            join ' ', 'malformed:', keys %$bad;
    }
    everywhere { keys %$_ == 0 } 'the replaced one is gone, and it too';
};

subtest 'balance and regions' => sub {
    $node{$_}->call('deregister') for 'comet-1/z1', 'comet-1/z2';
    delete @node{'comet-1/z1', 'comet-1/z2'};
    for my $n (1 .. 7) {
        is comet("comet-$n", region => $n <= 2 ? 'sh' : $n <= 4 ? 'bj' : '',
            conn_count => 100, hostname => "h$n")->{code}, 0,
            "comet-$n registers";
    }
    everywhere { keys %$_ == 7 } 'all are known';

    my $first = sub { (my $n = weighted('web', @_)->{nodes}[0]) =~ s/\..*//;
        $n };

    is @{ weighted('web')->{nodes} }, 5, 'five at most';
    like $first->('X-Where' => 'sh'), qr/^h[12]$/, 'the header: sh';
    like $first->('X-Where' => 'bj'), qr/^h[34]$/, 'the header: bj';
    like $first->('X-Forwarded-For' => '192.0.2.1'), qr/^h[12]$/,
        'the network: sh';
    like $first->('X-Forwarded-For' => '2001:db8:1::9'), qr/^h[12]$/,
        'IPv6';
    like $first->('X-Forwarded-For' => '192.0.2.200'), qr/^h[34]$/,
        'the longer network: bj';
    like $first->('X-Forwarded-For' => '198.51.100.7, 10.1.2.3'),
        qr/^h[34]$/, 'behind two proxies';
    like $first->('X-Forwarded-For' => '192.0.2.1, 198.51.100.7'),
        qr/^h[34]$/, 'what the client wrote does not count';
    like $first->('X-Where' => 'bj', 'X-Forwarded-For' => '192.0.2.1'),
        qr/^h[34]$/, 'the header counts more';

    # without trusted proxies the address is nobody's: all are equal
    my %first;
    for (1 .. 28) {
        my $r = $second->get('/goim/nodes/weighted?platform=web',
            headers => { 'X-Forwarded-For' => '192.0.2.1' });
        $first{ $r->{json}{data}{nodes}[0] }++;
    }
    is_deeply [sort keys %first], [map { "h$_.goim.io" } 1 .. 7],
        'without trusted proxies the header does not count';

    # clients spread: the answers count until the next report
    my %got;
    for (1 .. 70) {
        $got{ $first->() }++;
    }
    cmp_ok scalar(keys %got), '>=', 5, 'clients spread over the nodes'
        or diag explain \%got;

    # the one with the fewest is first
    comet('comet-6', conn_count => 0);
    eventually { $first->() eq 'h6' } 10, 'an empty one comes first';
};

# goim's formula, once more and written otherwise
sub score {
    my ($w, $c, $gain, $weights, $conns) = @_;
    return 0 if !$conns;
    my $f = $w * $gain;
    my $d = $f / ($weights + floor($f) - $w) - $c / $conns / 2;
    my $m = $d * $conns;
    my $score = floor($f + (floor($m) - $m >= -0.5 ? floor($m) : ceil($m)));
    return $d < 0 ? $score < 1 ? 1 : $score
        : $score > 1 << 20 ? 1 << 20 : $score;
}

subtest 'the balancer, as in goim' => sub {
    my $redis = Goim::Redis->new;
    my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
        logic => { threads => 1 }, nodes => { host_domain => '.goim.io' },
        registry => { ttl => '10m', renew => '300ms' } });
    Goim::RPC::ready($logic);
    my $api = $logic->api;
    my @rpc = map { Goim::RPC->new($logic->{rpc_port}, server => "n$_") }
        0 .. 6;

    for my $case (
        ['nobody yet', map { [10, 0] } 0 .. 6],
        ['all alike', map { [10, 100] } 0 .. 6],
        ['another weight each', [1, 0], [5, 3], [10, 50], [20, 200],
            [40, 31], [7, 9], [100, 1000]],
        ['very many', [10, 9_000_000], [20, 100], [30, 3_000_000],
            [1000, 50_000], [1, 1], [2, 0], [10, 8_999_999]],
    ) {
        my ($name, @given) = @$case;
        my @node = map { { name => "h$_", w => $given[$_][0],
            c => $given[$_][1], region => ('sh', 'bj', '')[$_ % 3] } } 0 .. 6;
        for (0 .. 6) {
            $rpc[$_]->register(hostname => "h$_", region => $node[$_]{region},
                weight => $node[$_]{w}, conn_count => $node[$_]{c});
        }
        eventually {
            my $list = $api->nodes_instances->{data};
            @$list == 7 && !grep { my $m = $list->[$_]{metadata};
                $m->{weight} != $node[$_]{w}
                || $m->{conn_count} != $node[$_]{c} } 0 .. 6;
        } 10, "$name: known";

        my (@got, @want);
        for my $n (1 .. 60) {
            my $region = ('', 'sh', 'bj', 'nowhere')[$n % 4];
            my ($weights, $conns) = (0, 0);
            $weights += $_->{w}, $conns += $_->{c} for @node;
            $_->{score} = score(@$_{qw(w c)}, length $region
                && $region eq $_->{region} ? 1.6 : 1, $weights, $conns)
                for @node;
            my @best = (sort { $b->{score} <=> $a->{score}
                || $a->{name} cmp $b->{name} } @node)[0 .. 4];
            $best[0]{c}++;
            push @want, join ' ', "$n:", map { "$_->{name}.goim.io" } @best;

            my $r = $api->request('GET', '/goim/nodes/weighted',
                [platform => 'web'], headers => { 'X-Goim-Region' => $region });
            push @got, join ' ', "$n:", @{ $r->{data}{nodes} };
        }
        is_deeply \@got, \@want, "$name: the five best, 60 times";
    }
    $_->stop for $logic, $redis;
};

subtest 'offline' => sub {
    comet("comet-$_", conn_count => 100) for 1 .. 7;
    comet('comet-5', offline => 1);
    everywhere { $_->{'comet-5'}{metadata}{offline} eq 'true' }
        'by directive: shown as offline';
    my $offered = sub {
        my %n;
        for (1 .. 30) {
            $n{$_}++ for @{ weighted('web', 'X-Where' => $_[0])->{nodes} };
        }
        return \%n;
    };
    is $offered->('')->{'h5.example'}, undef, 'and not offered';

    my $put = sub { $api->request('POST', '/goim/nodes/offline', [@_],
        content => '') };
    my $r = $put->(server => 'comet-1', offline => 1);
    is $r->{text},
        '{"code":0,"message":"","data":{"server":"comet-1","offline":true}}',
        'by call';
    everywhere { $_->{'comet-1'}{metadata}{offline} eq 'true' }
        'known by every thread and logic';
    is $offered->('sh')->{'h1.example'}, undef, 'not offered';
    ok $offered->('sh')->{'h2.example'}, 'the other one is';

    is comet('comet-1', conn_count => 100)->{code}, 0, 'it renews';
    Time::HiRes::sleep(0.5);
    everywhere { $_->{'comet-1'}{metadata}{offline} eq 'true' }
        'and stays offline';

    $r = $put->(server => 'comet-1', offline => 0);
    is_deeply $r->{data}{server}, 'comet-1', 'taken back';
    everywhere { $_->{'comet-1'}{metadata}{offline} eq 'false' }
        'known everywhere';
    eventually { $offered->('sh')->{'h1.example'} } 10, 'offered again';

    for ([[offline => 1], 400, qr/^server/],
        [[server => '', offline => 1], 400, qr/^server/],
        [[server => 'comet-1'], 400, qr/^offline/],
        [[server => 'comet-1', offline => 2], 400, qr/^offline/],
        [[server => 'comet-1', offline => 'yes'], 400, qr/^offline/],
        [[server => 'nobody', offline => 1], 404, qr/^server/])
    {
        my ($query, $http, $message) = @$_;
        $r = $put->(@$query);
        is $r->{http}, $http, "@$query: $http";
        is $r->{code}, -$http, 'its code';
        like $r->{message}, $message, 'says why';
    }
    is $put->(server => 'nobody', offline => 0)->{code}, 0,
        'a node that is gone can be taken back';

    $redis->cmd('SET', 'goim:offline', 'junk');
    $r = $put->(server => 'comet-2', offline => 1);
    is $r->{code}, 0, 'a broken key is replaced';
    is_deeply $redis->cmd('SMEMBERS', 'goim:offline'), ['comet-2'],
        'by a set';
    $put->(server => 'comet-2', offline => 0);
};

subtest 'clean ends and mass loss' => sub {
    my $redis = Goim::Redis->new;
    my $logic = Goim::Logic->new(redis => $redis->addr, conf => {
        registry => { ttl => '3s', renew => '300ms' } });
    Goim::RPC::ready($logic);
    my @rpc = map { Goim::RPC->new($logic->{rpc_port}, server => "n-$_") }
        1 .. 7;
    my $alive = sub { $_->register(started => $born) for @rpc[0 .. $_[0] - 1]
    };
    my $known = sub { join ' ', map { $_->{server} }
        @{ $logic->api->nodes_instances->{data} } };
    my $all = sub { join ' ', map { "n-$_" } 1 .. $_[0] };

    $alive->(7);
    eventually { $alive->(7); $known->() eq $all->(7) } 10, 'seven nodes';
    $_->call('deregister') for @rpc[4 .. 6];
    eventually { $alive->(4); $known->() eq $all->(4) } 10,
        'who deregisters is gone at once';
    eventually { $alive->(3); $known->() eq $all->(3) } 20,
        'who falls silent is gone after its TTL';

    # all but one of three
    my $lost;
    my $end = Time::HiRes::time() + 8;
    while (Time::HiRes::time() < $end) {
        $alive->(1);
        $lost = $known->() if $known->() !~ /^n-1 n-2 n-3/;
        Time::HiRes::sleep(0.2);
    }
    is $lost, undef, 'more than half at once: kept';
    like $logic->logs, qr/\[warn\].*only 1 of 3 nodes/, 'said in the log';
    cmp_ok @{ $logic->api->nodes_weighted->{data}{nodes} }, '>=', 3,
        'and offered';

    # Redis loses everything: who is there registers again
    $redis->cmd('FLUSHALL');
    eventually { $alive->(3); $known->() =~ /^n-1 n-2 n-3/ } 10,
        'they come back';
};

done_testing;
