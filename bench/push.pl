#!/usr/bin/perl
# What a push costs each process: microseconds of CPU, user and system, from
# the POST to the clients that get it; and how long it takes to one client, where
# nothing else is under way. Needs `make all bench`; on a busy machine CPU is a
# better measure than time.
#
#     perl bench/push.pl [--kafka | --nchan] [--tls] [--key]
#         [--history [--recover]] [--count 100000] [--posters 64] [--clients 10]
#         [--rounds 3]
#
# --tls: to Redis. --key: backends show a key, one of a hundred.
# --history: the room has one. --recover: the clients do.
# --nchan: what the module nchan takes of it, without a bus and without clients.

use strict;
use warnings;

use lib 't/lib';
use Getopt::Long;
use Goim::Cluster;
use Goim::Nginx;
use Goim::Proc;
use Goim::Redis;
use Goim::TLS;
use Goim::Test;
use Goim::Test qw(build_dir);

$| = 1;
my %opt = (count => 100000, posters => 64, clients => 10, rounds => 3);
GetOptions(\%opt, 'kafka', 'nchan', 'tls', 'key', 'history', 'recover',
    'count=i', 'posters=i', 'clients=i', 'rounds=i') or exit 2;

my $load = build_dir() . '/bench/load';
die "bench: make bench first\n" if !-x $load;

my (%pid, $to, $one);

if ($opt{nchan}) {
    my $nginx = Goim::Nginx->new(conf => <<'EOF');
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
pid %%DIR%%/nginx.pid;
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    nchan_max_reserved_memory 64m;
    server {
        listen 127.0.0.1:%%PORT%% backlog=4096;
        keepalive_requests 1000000;
        location /goim/push/ {
            nchan_publisher;
            nchan_channel_id x;
            nchan_message_buffer_length 100;
        }
    }
}
EOF
    %pid = (nchan => ($nginx->workers)[0]);
    $to = "--clients 0 --api $nginx->{port}";

} else {
    my ($redis, $tls, $key, %service) = (undef, '');
    my %history = $opt{history} ? (history => { live => '300 10m' }) : ();

    if ($opt{tls}) {
        my $ca = Goim::TLS->new;
        my ($cert, $key) = $ca->cert('redis', ips => ['127.0.0.1']);

        $redis = Goim::Redis->new(tls => { ca => $ca->file, cert => $cert,
            key => $key }, conf => { 'tls-auth-clients' => 'no' });
        $tls = ' tls ca_file=' . $ca->file;
        %service = (conf => { redis => { tls => 'on',
            ca_file => $ca->file } });
    } else {
        $redis = Goim::Redis->new;
    }

    if ($opt{key}) {
        my $file = folder('keys') . '/keys';
        my @keys = map { sprintf '%032x', $_ } 1 .. 100;

        spew($file, join '', map { "b$_ $keys[$_ - 1] push live://*\n" }
            1 .. @keys);
        chmod 0600, $file;
        $service{conf}{api}{keys} = $file;
        $key = $keys[-1];
    }
    my $c = Goim::Cluster->new(bus => $opt{kafka} ? 'kafka' : 'redis',
        workers => 1, redis => $redis, logic => \%service,
        job => { conf => { redis => $service{conf}{redis} || {},
            %history } },
        nginx => { redis => $redis->addr . $tls,
            goim => { zone => 'goim 64m' } });
    %pid = (nginx => ($c->node->workers)[0], logic => $c->logic->pid,
        job => $c->job->pid, redis => $c->redis->pid,
        $opt{kafka} ? (kafka => $c->kafka->pid) : ());
    $one = "--port $c->{nodes}[0]{port} --api $c->{logics}[0]{http_port}"
        . (defined $key ? " --key $key" : '')
        . ($opt{recover} ? ' --recover' : '');
    $to = "$one --clients $opt{clients}";
}

for my $round (0 .. $opt{rounds}) {
    my $n = $round ? $opt{count} : $opt{count} / 10;
    my %before = map { $_ => Goim::Proc::cpu($pid{$_}) } keys %pid;
    my $out = `$load $to --pids $$ --posters $opt{posters} --count $n`;
    my %said = $out =~ /(accepted|accepted_s|delivered) ([\d.]+)/g;
    die "bench: $out" if !$said{accepted};
    next if !$round;    # the first one warms up
    printf "%d pushes, %d a second, %d delivered; us a push:%s\n",
        @said{qw(accepted accepted_s delivered)}, join '', map {
            sprintf ' %s %.2f', $_,
                (Goim::Proc::cpu($pid{$_}) - $before{$_}) * 1e6
                    / $said{accepted} }
            grep { $pid{$_} } qw(logic job redis kafka nginx nchan);
}

for (1 .. ($one ? $opt{rounds} : 0)) {
    my $out = `$load $one --pids $$ --clients 1 --count 2000`;
    my %said = $out =~ /(p50|p99)_ms ([\d.]+)/g;
    printf "to one client, one at a time: median %.2f ms, 99 of 100 %.2f ms\n",
        @said{qw(p50 p99)};
}

pass('measured');
done_testing;
