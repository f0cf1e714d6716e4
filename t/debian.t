# ASAN: no
#
# On Debian's layout: nginx with the modules where its packages put them, and
# the units under systemd.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Job;
use Goim::Logic;
use Goim::Redis;

use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);

# ---- nginx -------------------------------------------------------------------

# A copy of /etc/nginx with our modules beside Debian's.
my $etc = folder('etc');
my $system = '/usr/lib/nginx/modules';
my $build = build_dir();

mkdir "$etc/$_" for qw(modules modules-enabled log run);
symlink $_, "$etc/modules/" . s{.*/}{}r
    for glob("$system/*.so"), glob("$build/ngx_*.so");
spew("$etc/modules-enabled/50-mod-stream.conf",
    "load_module modules/ngx_stream_module.so;\n");

spew("$etc/mime.types", "types { text/html html; }\n");

sub enable {
    for my $file (glob 'conf/modules-enabled/*.conf') {
        spew("$etc/modules-enabled/" . $file =~ s{.*/}{}r, slurp($file));
    }
}

sub takes {
    my ($text, $name) = @_;
    $text =~ s{/etc/nginx/}{$etc/}g;
    $text =~ s{/var/log/nginx/}{$etc/log/}g;
    $text =~ s{/run/nginx}{$etc/run/nginx}g;
    $text =~ s/^user .*\n//mg;
    $text =~ s/^worker_rlimit_nofile .*\n//mg;
    $text =~ s/listen \d+/'listen 127.0.0.1:' . free_port()/ge;
    spew("$etc/nginx.conf", $text);
    my $said = `nginx -t -p '$etc' -c '$etc/nginx.conf' 2>&1`;
    is $?, 0, $name or diag $said;
}

my ($readme) = slurp('README.md')
    =~ /Then, in nginx\.conf:\n\n(.*?\n)\nand the services/s or die 'README';
$readme =~ s/^    //mg;
my $debian = "include /etc/nginx/modules-enabled/*.conf;\n";
my $events = "events { }\n";

takes($readme . $events, "README's lines in a file of their own");
takes($debian . $readme . $events, 'behind what Debian loads');
takes($readme =~ s/(^load_module .*\n)/$1$debian/r . $events, 'and before');

enable();
takes(slurp('conf/nginx.conf'), 'conf/nginx.conf, with stream loaded');
takes($debian . $readme =~ s/^load_module .*\n//mr . $events,
    'conf/modules-enabled');

# ---- units -------------------------------------------------------------------

my %logs;

for my $name (qw(goim-logic goim-job)) {
    my $unit = slurp("conf/systemd/$name.service");
    my ($logs) = $unit =~ /^LogsDirectory=(\S+)$/m;
    ok !$logs{ $logs || '' }++, "$name has a folder for its log";
    like slurp('conf/logrotate/goim'), qr{/var/log/\Q$logs\E/\*\.log},
        'which is rotated';
    like $unit, qr/^\[Unit\]\n[^[]*^StartLimitIntervalSec=0$/m,
        'failures are not counted';
    like $unit, qr/^Type=notify$/m, 'it says when it can work';
    like $unit, qr/^User=goim\nStateDirectory=ngx_goim\n/m,
        'both have one user and one folder, for a file of SQLite';

    my $file = spew(folder('unit') . "/$name.service", $unit);
    my $said = `systemd-analyze security --offline=true '$file' 2>&1`;
    my ($level) = $said =~ /exposure level for \S+: ([\d.]+)/;
    cmp_ok $level, '<', 2, 'exposure' or diag $said;
}

# ---- a word when it can work -------------------------------------------------

sub listener {
    my ($path) = @_;
    return IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path,
        Blocking => 0) || die "$path: $!";
}

sub said {
    my ($socket) = @_;
    my ($text, $all) = ('', '');
    $all .= "$text\n" while defined $socket->recv($text, 4096) && $text ne '';
    return $all;
}

for my $class (qw(Goim::Logic Goim::Job)) {
    for my $name (folder('notify') . '/socket', "\0goim-test-$$-$class") {
        my $socket = listener($name);
        my $redis = Goim::Redis->new(stopped => 1);
        local $ENV{NOTIFY_SOCKET} = $name =~ s/^\0/@/r;
        my $service = $class->new(redis => $redis->addr, bus => 'redis');
        sleep 1;
        is said($socket), '', "$class: nothing while Redis is away";
        $redis->start;
        my $all = '';
        eventually { ($all .= said($socket)) eq "READY=1\n" } 20,
            'ready when it is there';
        $service->stop;
        is said($socket), "STOPPING=1\n", 'stopping';
        $redis->stop;
    }
}

# ---- the log -----------------------------------------------------------------

{
    my $redis = Goim::Redis->new;
    my $dir = folder('log');
    my $service = Goim::Job->new(redis => $redis->addr, bus => 'redis',
        conf => { job => { log => "$dir/sub/job.log" } }, stopped => 1);
    mkdir "$dir/sub";
    $service->start;

    rename "$dir/sub/job.log", "$dir/sub/job.log.1";
    $service->signal('HUP');
    eventually { -e "$dir/sub/job.log"
        && slurp("$dir/sub/job.log") =~ /log opened again/ } 10,
        'HUP opens the log again';

    # it cannot: that is said, and the other is not
    rename "$dir/sub", "$dir/gone";
    $service->signal('HUP');
    eventually { slurp("$dir/gone/job.log") =~ /cannot open again/ } 10,
        'or says that it cannot';
    is scalar(() = slurp("$dir/gone/job.log") =~ /log opened again/g), 1,
        'and no more';
    $service->stop;
}

done_testing;
