# LONG
#
# The other ways to build: with clang, and as a site does with nginx's own
# configure: as modules, into nginx itself, without SSL, without the stream
# module. Objects are kept beside the other ones, so that only the first time
# is long.
#
# ASAN: no (it is about compilers)

use strict;
use warnings;

use lib 't/lib';
use Goim::Nginx;
use Goim::Test;
use Goim::WS;

alarm 1200 * slow();         # compilers give way to whatever else runs

my $root = root_dir();
my $build = build_dir();

# ---- clang ---------------------------------------------------------------------

my $said = `nice make -s CC=clang OPT=-O0 BUILD='$build/clang' services 2>&1`;
is($?, 0, 'clang takes the services without a warning') or diag($said);

# ---- nginx's own build -----------------------------------------------------------

chomp(my $source = `tools/build-nginx.sh source`);
is($?, 0, "nginx's source") or BAIL_OUT('no source of nginx');

# Configure once, then make what has changed; the folder with what was made.
sub site {
    my ($name, $options, $target) = @_;
    my $dir = "$build/site-$name";

    $said = `mkdir -p '$dir' && cd '$dir' && {
        [ objs/Makefile -nt '$root/config' ] && [ objs/Makefile -nt '$source' ] \\
            && [ objs/Makefile -nt '$root/t/builds.t' ] || {
            rm -rf * && ln -s '$source'/* . \\
                && nice ./configure $options --with-cc-opt=-O0
        } && env -u MAKEFLAGS nice make -j2 $target; } 2>&1`;
    is($?, 0, "$name: nginx's configure and make") or diag(substr $said, -2000);
    unlike($said, qr/warning:/, "$name: no warning");
    return "$dir/objs";
}

# nginx runs and speaks WebSocket
sub runs {
    my ($name, $binary, $tcp, @modules) = @_;
    local $ENV{GOIM_NGINX} = $binary;
    my $nginx = Goim::Nginx->new(modules => \@modules, tcp => $tcp,
        redis => '127.0.0.1:1', logic => '127.0.0.1:1');

    is($nginx->status->{server_id}, 'comet-1', "$name: runs");

    my $ws = Goim::WS->new(port => $nginx->{port}, path => '/echo');
    $ws->send('hello', text => 1);
    is($ws->recv->{data}, 'hello', "$name: speaks WebSocket");
    $ws->close;
    is($nginx->stop, 0, "$name: stops");
}

my $nginx = '/usr/sbin/nginx';
my $stream = '/usr/lib/nginx/modules/ngx_stream_module.so';

# nginx's own flags hold -Werror
my $objs = site('modules', "--with-cc=clang --with-compat --with-stream"
    . " --with-http_ssl_module --add-dynamic-module='$root'", 'modules');
runs('modules', $nginx, 1, -e $stream ? $stream : (),
    "$objs/ngx_goim_module.so", "$objs/ngx_stream_goim_module.so");

$objs = site('bare', "--with-compat --add-dynamic-module='$root'", 'modules');
ok(!-e "$objs/ngx_stream_goim_module.so", 'bare: nothing of stream is built');
runs('bare', $nginx, 0, "$objs/ngx_goim_module.so");

{
    local $ENV{GOIM_NGINX} = $nginx;
    my $bare = Goim::Nginx->new(modules => ["$objs/ngx_goim_module.so"],
        redis => '127.0.0.1:1 tls', logic => '127.0.0.1:1', stopped => 1);
    my ($rc, $said) = $bare->test_conf;

    allow_log(qr/\[emerg\].*"tls" needs an nginx with SSL/);
    is($rc, 1, 'bare: no TLS to Redis');
    like($said, qr/"tls" needs an nginx with SSL in "redis" in .*:\d+$/m,
        'bare: says so');
}

$objs = site('static', "--with-stream --add-module='$root'", '');
runs('static', "$objs/nginx", 1);

done_testing;
