# LONG
#
# What the build made: loads, shows no foreign symbols, lives beside other
# modules; the services' options.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;

my $build = build_dir();
my $modules = '/usr/lib/nginx/modules';
my $closed = '127.0.0.1:' . free_port();

sub node {
    return Goim::Nginx->new(stopped => 1, redis => $closed, logic => $closed,
        @_);
}

sub conf_ok {
    my ($name, $nginx) = @_;
    my ($rc, $said) = $nginx->test_conf;
    is($rc, 0, $name) or diag($said);
}

# ---- symbols -------------------------------------------------------------------

for my $so (glob "$build/ngx_*.so") {
    my ($name) = $so =~ m{([^/]+)$};
    my @defined = map { (split)[-1] } `nm -D --defined-only '$so'`;
    my @undefined = map { (split)[-1] } `nm -D --undefined-only '$so'`;
    my @needed = grep { /NEEDED/ } `objdump -p '$so'`;

    ok(scalar @defined, "$name exports something");
    is_deeply([grep { !/^ngx_/ } @defined], [], "$name exports only ngx_*");
    is_deeply([grep { /redis|protobuf/ } @undefined, @needed], [],
        "$name needs no hiredis or protobuf-c from elsewhere");
    is_deeply([grep { /^ngx_stream_/ } @undefined], [],
        "$name loads without the stream module") if $name !~ /stream/;
}

# ---- configurations --------------------------------------------------------------

conf_ok('a configuration with all locations', node());
conf_ok('goim { } behind http { }', node(conf => <<'CONF'));
%%MODULES%%
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log;
events { }
http {
    access_log off;
    server { listen 127.0.0.1:%%PORT%%; location /sub { goim_subscribe; } }
}
%%GOIM%%
CONF
conf_ok('the module alone, without goim { }', node(conf => <<'CONF'));
%%MODULES%%
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log;
events { }
CONF

SKIP: {
    skip "Debian's modules are for Debian's nginx", 2 if asan();

    my $nchan = "$modules/ngx_nchan_module.so";
    ok(-e $nchan, 'nchan is there');

    for my $order ([$nchan, 'ngx_goim_module.so'],
        ['ngx_goim_module.so', $nchan])
    {
        my $redis = free_port();
        my $nginx = node(modules => $order, stopped => 0,
            http => "upstream redis { nchan_redis_server 127.0.0.1:$redis; }",
            server => 'location /nchan { nchan_subscriber; }');
        is($nginx->get('/goim/status')->{status}, 200,
            "runs beside nchan: @$order");
        $nginx->stop;
    }
}

# ---- options of the services -------------------------------------------------------

for my $s (Goim::Logic->new(stopped => 1, redis => $closed),
    Goim::Job->new(stopped => 1, redis => $closed))
{
    my $name = "goim-$s->{name}";
    my $conf = "$s->{dir}/$s->{name}.conf";
    my ($rc, $said) = $s->run('--version');
    is($rc, 0, "$name --version");
    like($said, qr/\b\d+\.\d+\.\d+\b/, "$name tells its version");

    ($rc, $said) = $s->run('--help');
    is($rc, 0, "$name --help");
    like($said, qr/--config.*--test/s, "$name explains its options");

    ($rc, $said) = $s->test_conf;
    is($rc, 0, "$name --test") or diag($said);

    ($rc) = $s->run('--nonsense');
    is($rc, 2, "$name refuses unknown options");

    ($rc, $said) = $s->run('--config', "$conf.missing", '--test');
    is($rc, 1, "$name without its file");
    like($said, qr/\Q$conf.missing\E/, "$name names the file");

    $s->configure({ redis => { timeout => 'soon' } });
    ($rc, $said) = $s->test_conf;
    is($rc, 1, "$name with a wrong value");
    like($said, qr/timeout.*soon/s, "$name names key and value");

    $s->configure({ redis => { timeout => undef },
        $s->{name} => { nonsense => 1 } });
    ($rc, $said) = $s->test_conf;
    is($rc, 1, "$name with an unknown key");
    like($said, qr/nonsense/, "$name names the key");
}

# the files that come with it
for my $name (qw(logic job)) {
    my $said = `'$build/goim-$name' --config conf/$name.conf --test 2>&1`;
    is($?, 0, "conf/$name.conf") or diag($said);
}

# ---- make install --------------------------------------------------------------

if (!asan()) {
    my $dest = folder('dest');
    my $said = `make -s install BUILD='$build' DESTDIR='$dest' 2>&1`;
    is($?, 0, 'make install') or diag($said);

    my $prefix = "$dest/usr/local";
    for my $name (qw(logic job)) {
        $said = `'$prefix/bin/goim-$name' --test --config '$prefix/share/ngx_goim/conf/$name.conf' 2>&1`;
        is($?, 0, "goim-$name, installed, takes the file installed")
            or diag($said);
    }
    my ($web) = slurp('web/README.md') =~ m{root (/\S+);};
    ok(-f "$dest$web/$_", "$_ is where web/README.md has it")
        for qw(index.html chat.js rooms.html rooms.js goim.js goim_im.js);

    (my $text = node()->conf_text) =~ s/\Q$build\E/$dest$modules/g;
    like($text, qr/load_module \Q$dest\E/, 'a configuration with it');
    conf_ok('nginx takes the module installed', node(conf => $text));
}

done_testing;
