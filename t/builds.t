# The other ways to build: with clang, and as a site does with nginx's own
# configure, as modules and into nginx itself.
#
# ASAN: no (it is about compilers)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Nginx;

use File::Basename ();

my $root = root_dir();
my $build = build_dir();

# ---- clang ---------------------------------------------------------------------

my $said = `make -s CC=clang BUILD='$build/clang' all unit 2>&1`;
is($?, 0, 'clang takes everything, without a warning') or diag($said);

# ---- nginx's own build -----------------------------------------------------------

$said = `tools/build-nginx.sh newest '$build/newest' 2>&1`;
is($?, 0, "nginx's source") or BAIL_OUT($said);
my $source = File::Basename::dirname(readlink "$build/newest/nginx-bin");

# configure and make in a copy of the source; its objs/
sub site {
    my ($name, $options, $target) = @_;
    my $dir = folder($name);

    $said = `cp -R '$source/.' '$dir' && cd '$dir' && {
        ./configure --with-compat --with-http_ssl_module --with-cc-opt=-O0 \\
            $options && env -u MAKEFLAGS make -j2 $target; } 2>&1`;
    is($?, 0, "$name builds") or diag(substr $said, -2000);
    return "$dir/objs";
}

sub runs {
    my ($name, $binary, @modules) = @_;
    local $ENV{GOIM_NGINX} = $binary;
    my $nginx = Goim::Nginx->new(modules => \@modules, tcp => 1,
        redis => '127.0.0.1:1', logic => '127.0.0.1:1');
    is($nginx->status->{server_id}, 'comet-1', "$name runs");
    $nginx->stop;
}

my $objs = site('modules', "--with-stream --add-dynamic-module='$root'",
    'modules');
runs('modules', "$build/newest/nginx-bin", "$objs/ngx_goim_module.so",
    "$objs/ngx_stream_goim_module.so");

$objs = site('static', "--with-stream --add-module='$root'", '');
runs('static', "$objs/nginx");

done_testing;
