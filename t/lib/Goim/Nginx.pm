# A real nginx with the module loaded: Debian's, or the sanitizer build.

package Goim::Nginx;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use JSON::PP ();

use Goim::HTTP ();
use Goim::Proc ();
use Goim::Test qw(allow_log free_port folder hit wait_for spew slurp asan build_dir
    have root_dir);

# Parameters, all optional:
#   workers => 2              worker_processes
#   redis => ADDR, logic => ADDR or [ADDR, ...], server_id => ID
#   goim => { name => value } directives of goim { }: undef leaves one out, an
#                             array reference gives it several times
#   connections => 4096       worker_connections
#   main, events, http, server, tail => text put into the configuration
#                             (tail: after http { })
#   ssl => 1                  wss on ->{wss_port}
#   tcp => 1                  stream { } with goim_subscribe on ->{tcp_port}
#   status => text            in location = /goim/status
#   api => ADDR               logic's HTTP API under /goim/, for pages
#   modules => [...]          load_module lines: paths, or names in build/
#   conf => text              the whole configuration; %%DIR%%, %%PORT%%,
#                             %%WSS_PORT%%, %%TCP_PORT%%, %%MODULES%%,
#                             %%GOIM%% are replaced
#   daemon => 1               daemon on: nginx ignores USR2 without
#   stopped => 1              do not start
sub new {
    my ($class, %arg) = @_;
    my $dir = folder($arg{name} || 'nginx');

    my $self = $class->SUPER::new(%arg, name => 'nginx', dir => $dir,
        cmd => [binary(), '-p', "$dir/", '-c', "$dir/nginx.conf",
            '-e', "$dir/error.log"],
        env => { ASAN_OPTIONS => 'detect_leaks=0:abort_on_error=0',
            UBSAN_OPTIONS => 'print_stacktrace=1:halt_on_error=1' });

    $self->{port} = $arg{port} || free_port();
    $self->{wss_port} = free_port();
    $self->{tcp_port} = free_port();
    mkdir "$dir/tmp";
    mkdir "$dir/html";
    cert($dir) if $arg{ssl} || ($arg{conf} && $arg{conf} =~ /%%WSS_PORT%%/);

    $self->configure;
    $self->start if !$arg{stopped};
    return $self;
}

sub binary {
    my $own = build_dir() . '/nginx-bin';     # tools/build-nginx.sh
    return $ENV{GOIM_NGINX} || (-x $own ? $own : '/usr/sbin/nginx');
}

sub ws_addr { return "127.0.0.1:$_[0]{port}" }

# ---- configuration -----------------------------------------------------------

# Write nginx.conf anew; parameters as new()'s change what was given before.
sub configure {
    my ($self, %arg) = @_;
    %$self = (%$self, %arg);
    spew("$self->{dir}/nginx.conf", $self->conf_text);
    return $self;
}

sub modules_text {
    my ($self) = @_;
    my @list = $self->{modules} ? @{ $self->{modules} }
        : ('ngx_goim_module.so', $self->{tcp} ? stream_modules() : ());
    return join '', map { 'load_module ' . (m{^/} ? $_
        : build_dir() . "/$_") . ";\n" } @list;
}

# the stream front needs nginx's stream module, on Debian one of its own
sub stream_modules {
    my $debian = '/usr/lib/nginx/modules/ngx_stream_module.so';
    return (-x build_dir() . '/nginx-bin' || !-e $debian ? () : $debian,
        'ngx_stream_goim_module.so');
}

sub goim_text {
    my ($self) = @_;
    my @logic = ref $self->{logic} ? @{ $self->{logic} }
        : defined $self->{logic} ? $self->{logic} : ();
    my %goim = (
        zone => 'goim 16m',
        server_id => $self->{server_id} || 'comet-1',
        redis => $self->{redis},
        logic => @logic ? join(' ', @logic) : undef,
        %{ $self->{goim} || {} },
    );
    my $text = '';

    for my $name (sort keys %goim) {
        my $value = $goim{$name};
        next if !defined $value;
        $text .= "    $name" . ($_ eq '' ? '' : " $_") . ";\n"
            for ref $value ? @$value : $value;
    }
    return "goim {\n$text}\n";
}

sub conf_text {
    my ($self) = @_;
    my %v = (connections => 4096, main => '', events => '', http => '',
        server => '', tail => '', status => '', map { $_ => $self->{$_} }
        grep { defined $self->{$_} }
        qw(connections main events http server tail status dir port wss_port
        tcp_port));
    my $workers = $self->{workers} || 1;
    my $user = $> == 0 ? "user root;\n" : '';

    # what USR2 starts has these alone of the environment
    $user .= "env ASAN_OPTIONS;\nenv UBSAN_OPTIONS;\n" if asan();
    my $level = $self->{log_level} || 'info';
    my $modules = $self->modules_text;
    my $goim = $self->goim_text;
    my ($ssl, $stream, $api, $root) = ('', '', '', root_dir());

    if (defined $self->{conf}) {
        my $text = $self->{conf};
        $text =~ s/%%DIR%%/$self->{dir}/g;
        $text =~ s/%%PORT%%/$self->{port}/g;
        $text =~ s/%%WSS_PORT%%/$self->{wss_port}/g;
        $text =~ s/%%TCP_PORT%%/$self->{tcp_port}/g;
        $text =~ s/%%MODULES%%/$modules/g;
        $text =~ s/%%GOIM%%/$goim/g;
        return $text;
    }

    $ssl = <<"CONF" if $self->{ssl};
        listen 127.0.0.1:$v{wss_port} ssl@{[$self->{http2} ? ' http2' : '']};
        ssl_certificate $v{dir}/cert.pem;
        ssl_certificate_key $v{dir}/key.pem;
CONF
    $stream = <<"CONF" if $self->{tcp};
stream {
    server {
        listen 127.0.0.1:$v{tcp_port};
        goim_subscribe;
    }
}
CONF

    $api = <<"CONF" if $self->{api};
        location /goim/ {
            proxy_pass http://$self->{api};
            proxy_set_header X-Forwarded-For \$remote_addr;
        }
CONF

    return <<"CONF";
${modules}daemon @{[$self->{daemon} ? 'on' : 'off']};
${user}worker_processes $workers;
error_log $v{dir}/error.log $level;
pid $v{dir}/nginx.pid;
lock_file $v{dir}/nginx.lock;
$v{main}
events {
    worker_connections $v{connections};
    $v{events}
}
$goim
http {
    access_log $v{dir}/access.log;
    client_body_temp_path $v{dir}/tmp/body;
    proxy_temp_path $v{dir}/tmp/proxy;
    fastcgi_temp_path $v{dir}/tmp/fastcgi;
    uwsgi_temp_path $v{dir}/tmp/uwsgi;
    scgi_temp_path $v{dir}/tmp/scgi;
    types { text/html html; application/javascript js; text/css css;
        image/svg+xml svg; }
    $v{http}
    server {
        listen 127.0.0.1:$v{port};
$ssl
        location = /sub { goim_subscribe; }
        location = /echo { goim_echo; }
        location = /goim/status { goim_status; $v{status} }
$api        location / { root $root/web; }
        $v{server}
    }
}
$stream$v{tail}
CONF
}

# a self-signed certificate for localhost (or $name) and 127.0.0.1
sub cert {
    my ($dir, $name) = @_;
    $name ||= 'localhost';
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
        . " -nodes -days 2 -subj /CN=$name"
        . " -addext 'subjectAltName=DNS:$name,IP:127.0.0.1'"
        . " -keyout '$dir/key.pem' -out '$dir/cert.pem' 2>'$dir/openssl.out'")
        and die "openssl failed: " . slurp("$dir/openssl.out");
}

# ---- life --------------------------------------------------------------------

sub start {
    my ($self) = @_;
    $self->SUPER::start;

    # the master is then a process of its own, reparented to the test
    if ($self->{daemon}) {
        my $rc = $self->wait_exit(20);
        die "nginx did not start:\n" . $self->logs if !defined $rc || $rc;
        $self->{pid} = wait_for {
            my $pid = $self->master;
            $pid != $self->{pid} && $pid;
        } 20, 'nginx.pid';
    }

    wait_for {
        die "nginx ended:\n" . $self->logs if !$self->alive;
        -s "$self->{dir}/nginx.pid" && scalar(() = $self->workers);
    } 20, 'nginx starts';
    return $self;
}

# A worker that was draining and is told to end at once complains of each
# connection it still holds, whatever module that belongs to.
sub stop {
    my ($self, @arg) = @_;

    if ($self->alive && $self->{stop} eq 'TERM') {
        allow_log(map { qr/\[alert\] $_#\d+: (\*\d+ open socket |aborting)/ }
            grep { title($_) =~ /shutting down/ }
            Goim::Proc::descendants($$));
    }
    return $self->SUPER::stop(@arg);
}

sub logs {
    my ($self) = @_;
    return join '', map { -e "$self->{dir}/$_" ? slurp("$self->{dir}/$_") : () }
        qw(nginx.log error.log);
}

sub error_log { return slurp("$_[0]{dir}/error.log") }

# nginx -t: (exit code, what it said)
sub test_conf {
    my ($self) = @_;
    my $cmd = join ' ', map { "'$_'" } @{ $self->{cmd} };
    local $ENV{ASAN_OPTIONS} = $self->{env}{ASAN_OPTIONS};
    my $said = `$cmd -t 2>&1`;
    return ($? >> 8, $said);
}

# the master's pid: another than ->pid after a binary upgrade
sub master {
    my ($self) = @_;
    open my $fh, '<', "$self->{dir}/nginx.pid" or return $self->pid;
    my $line = <$fh>;
    return defined $line && $line =~ /^(\d+)/ ? $1 : $self->pid;
}

# pids of the live workers (draining ones too), not of cache processes
sub workers {
    my ($self, $master) = @_;
    return grep { title($_) =~ /^nginx: worker/ }
        Goim::Proc::children($master || $self->master);
}

sub title {
    my ($pid) = @_;
    open my $fh, '<', "/proc/$pid/cmdline" or return '';
    my $text = <$fh>;
    return defined $text ? $text : '';
}

# workers that were told to leave but have not yet
sub draining { return grep { title($_) =~ /shutting down/ } $_[0]->workers }

# The worker that reads the node's stream, one that does not leave: waited
# for, as for a moment nobody has the role when it goes from one to another.
sub reader {
    my ($self) = @_;
    my $reader;
    wait_for {
        my $pid = $self->status->{reader_pid};
        ($reader) = grep { $_ == $pid && title($_) !~ /shutting down/ }
            $self->workers;
    } 20, 'a worker reads';
    return $reader;
}

# nginx -s reload, waiting until the new workers are there and those of before
# take no new connections
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->workers;
    my $want = $self->{workers} || 1;
    hit 'HUP', $self->master;
    wait_for {
        die "nginx ended:\n" . $self->logs if !$self->alive;
        my @workers = $self->workers;
        grep({ !$old{$_} } @workers) >= $want
            && !grep { $old{$_} && title($_) !~ /shutting down/ } @workers;
    } 20, 'new workers after a reload';
    return $self;
}

# A binary upgrade's first half (USR2): a new master with workers of its own
# beside the old one, whose pid is returned (QUIT is for the test to send);
# with daemon => 1.
# From now on this object means the new one.
sub upgrade {
    my ($self) = @_;
    my $old = $self->master;
    hit 'USR2', $old;
    wait_for {
        -s "$self->{dir}/nginx.pid.oldbin" && -s "$self->{dir}/nginx.pid"
            && $self->master != $old && scalar(() = $self->workers);
    } 20, 'a new master after USR2';
    $self->{pid} = $self->master;
    return $old;
}

# ---- what it says of itself --------------------------------------------------

sub get {
    my ($self, $path, %arg) = @_;
    return Goim::HTTP::get("http://127.0.0.1:$self->{port}$path", %arg);
}

sub status {
    my ($self, $path) = @_;
    my $res = $self->get($path || '/goim/status');
    die "status: $res->{status} $res->{content}\n" if $res->{status} != 200;
    return JSON::PP::decode_json($res->{content});
}

# Prometheus text as { name or name{labels} => value }
sub metrics {
    my ($self) = @_;
    return Goim::HTTP::metrics(
        "http://127.0.0.1:$self->{port}/goim/status?format=prometheus");
}

sub wait_registered {
    my ($self, $timeout) = @_;
    my $st;
    wait_for {
        die "nginx ended:\n" . $self->logs if !$self->alive;
        $st = eval { $self->status };
        $st && $st->{registered};
    } $timeout || 20, "node $self->{dir} is registered";
    return $st;
}

1;
