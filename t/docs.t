# What is documented is there, what is there is documented, and examples work.

use strict;
use warnings;

use File::Basename ();

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::TLS;
use Goim::Test;

my $root = root_dir();
my $stream = have('ngx_stream_goim_module.so');

sub text { return slurp("$root/$_[0]") }

# ---- directives --------------------------------------------------------------

# [title, syntax, context, example]
my @directives;
{
    my ($title, $syntax, $context, @example);
    my $add = sub {
        push @directives, [$title, $syntax, $context, join "\n", @example]
            if defined $syntax;
        ($syntax, $context, @example) = ();
    };

    for my $line (split /\n/, text('docs/directives.md')) {
        if ($line =~ /^##+ (.+)$/) {
            $add->();
            $title = $1;
        } elsif ($line =~ /^    Syntax:   (.+)$/) {
            $syntax = $1;
        } elsif ($line =~ /^    Context:  (.+)$/) {
            $context = $1;
        } elsif ($line =~ /^    (?!Default:)(.*)$/ && defined $context) {
            push @example, $1;
        }
    }
    $add->();
}

# of the source: the name of its table and the directive
my %source;
for my $file (glob "$root/ngx_goim_module/*.c") {
    my $code = slurp($file);
    while ($code =~ /ngx_command_t\s+(\w+)\[\] = \{(.*?)ngx_null_command/sg) {
        my ($table, $list) = ($1, $2);
        my $where = $table =~ /stream/ ? 'stream server'
            : $table =~ /http/ ? 'location'
            : $table =~ /block/ ? 'goim' : 'main';
        $source{"$where: $_"} = 1 for $list =~ /ngx_string\("(\w+)"\)/g;
    }
}

my %documented;
for my $d (@directives) {
    my ($name) = $d->[1] =~ /^(\w+)/;
    $documented{"$d->[2]: $name"}++;
    is($d->[0] =~ s/ \(stream\)$//r, $name, "$d->[0]: its title");
}
is_deeply([sort keys %documented], [sort keys %source],
    'each directive is documented, and no other');
is(scalar(grep { $_ != 1 } values %documented), 0, 'once');

# what examples name
my $ca = Goim::TLS->new;
my %files = ('redis-ca.pem' => $ca->file, 'redis.password' => spew(
    folder('password') . '/redis', "secret\n"));
@files{qw(redis.pem redis.key)} = $ca->cert('own');

sub takes {
    my ($what, $conf, %arg) = @_;
    my $n = Goim::Nginx->new(conf => $conf, stopped => 1, %arg);
    my ($rc, $said) = $n->test_conf;
    is($rc, 0, "$what: nginx -t") or diag("$conf\n$said");
}

sub example {
    my ($d) = @_;
    my ($name) = $d->[1] =~ /^(\w+)/;
    my %line = (zone => 'zone goim 16m;', redis => 'redis 127.0.0.1:1;',
        logic => 'logic 127.0.0.1:1;');
    my ($http, $tcp) = ('', '');
    my $goim;

    if ($d->[2] eq 'main') {
        $goim = $d->[3];
    } else {
        delete $line{$name};
        $line{own} = $d->[3] if $d->[2] eq 'goim';
        $goim = join "\n", 'goim {', values %line, '}';
    }
    $http = $d->[3] if $d->[2] eq 'location';
    $tcp = "stream {\n" . ($d->[3] =~ s/listen \d+/listen %%TCP_PORT%%/r)
        . "\n}" if $d->[2] eq 'stream server';

    $goim =~ s{/var/log/nginx/}{%%DIR%%/}g;
    $goim =~ s{goim/(redis[-.]\w+(?:\.pem)?)}{$files{$1} // $1}ge;
    return "%%MODULES%%\npid %%DIR%%/nginx.pid;\n$goim\nevents { }\n"
        . "http { access_log off; server { listen 127.0.0.1:%%PORT%%;\n"
        . "$http\n} }\n$tcp\n";
}

for my $d (@directives) {
    ok($d->[3] =~ /\S/, "$d->[0]: an example");

    SKIP: {
        my $tcp = $d->[2] eq 'stream server';
        skip 'no stream front was built', 1 if $tcp && !$stream;
        takes("$d->[0]: its example", example($d), tcp => $tcp);
    }
}

# ---- conf/nginx.conf ---------------------------------------------------------

{
    my $conf = text('conf/nginx.conf');
    # with the modules: t/debian.t
    $conf =~ s/^include .*\n//mg;
    $conf =~ s/^user .*\n//mg;
    $conf =~ s{/var/log/nginx/|/run/}{%%DIR%%/}g;
    $conf =~ s/^worker_rlimit_nofile .*\n//mg;
    $conf =~ s/\nstream \{.*//s if !$stream;
    takes('conf/nginx.conf', "%%MODULES%%$conf", tcp => $stream);
}

# ---- keys of logic's and job's configuration ---------------------------------

sub keys_of {
    my ($source) = @_;
    my %key;
    $key{"[$1] $2"} = 1 while $source =~ /\{ "(\w+)", "(\w+)", CONF_/g;
    $key{"[$1] $2"} = 1
        while $source =~ /LOGIC_(?:CONF|WORD)\("(\w+)", "(\w+)", /g;
    for my $section ($source =~ /LOGIC_HOOK_CONF\("(\w+)",/g) {
        $key{"[$section] $_"} = 1 for $source =~ /LOGIC_CONF\(section, "(\w+)"/g;
    }
    return %key;
}

my %shared = keys_of(text('svc/redis.h') . text('svc/bus.h'));
cmp_ok(scalar keys %shared, '>', 8, 'keys of both are found');

for my $service (['logic', 'logic/conf.c'], ['job', 'job/main.c']) {
    my ($name, $file) = @$service;
    my %key = (%shared, keys_of(text($file)));
    my $doc = text("docs/$name.conf.md");

    my %said;
    my @part = split /^### (\w+)$/m, $doc;
    shift @part;
    while (my ($key, $body) = splice @part, 0, 2) {
        my ($section) = $body =~ /^    Section:  (\w+)$/m;
        if ($body !~ /^    Syntax:   (\Q$key\E|NAME) = /m) {
            fail("$name: $key: its syntax");
        }
        $said{"[$section] $key"}++ if defined $section;
    }
    is_deeply([sort keys %said], [sort keys %key],
        "$name: each key is documented, and no other");

    # the example shows each, if only as a comment
    my ($section, %shown);
    for (split /\n/, text("conf/$name.conf")) {
        $section = $1 if /^(?:; )?\[(\w+)\]/;
            $shown{"[$section] $1"} = 1 if /^(?:; )?(\w+) =/;
    }
    is_deeply([grep { !$shown{$_} } sort keys %key], [],
        "conf/$name.conf shows each");

    my $class = $name eq 'job' ? 'Goim::Job' : 'Goim::Logic';
    my ($rc, $said) = $class->new(redis => '127.0.0.1:1', stopped => 1)
        ->run('--config', "$root/conf/$name.conf", '--test');
    is($rc, 0, "conf/$name.conf: --test") or diag($said);

    # metrics
    my @metrics = map { split /\n/ } map { slurp($_) } glob "$root/$name/*.[ch]";
    my %metric = map { $_ => 1 } map { /"(goim_${name}_\w+)"/g } @metrics;
    my %told = map { $_ => 1 } $doc =~ /`(goim_${name}_\w+)/g;
    is_deeply([sort keys %told], [sort keys %metric],
        "$name: each metric is documented, and no other");
}

# ---- the status page ---------------------------------------------------------

my $operations = text('docs/operations.md');

sub table {
    my ($title) = @_;
    my ($part) = $operations =~ /^## \Q$title\E\n(.*?)(?=^## )/ms;
    return map { /`(\w+)`/g } map { /^\| (`[^|]*) \|/ } split /\n/, $part;
}

my ($list) = text('ngx_goim_module/ngx_goim_stats.h')
    =~ /define NGX_GOIM_COUNTERS\(X\)(.*?)\n\n/s;
my @counters = $list =~ /X\((\w+),/g;
cmp_ok(scalar @counters, '>', 30, 'counters are found');
is_deeply([sort(table('Counters'))], [sort @counters],
    'each counter is documented, and no other');

my $page = text('ngx_goim_module/ngx_http_goim_status.c');
my %figure = map { $_ => 1 } $page =~ /X\("(\w+)"/g,
    $page =~ /\\"(\w+)\\":\\?"/g;
is_deeply([sort(table('Status page'))], [sort keys %figure],
    'each figure of the page is documented, and no other');

# ---- links -------------------------------------------------------------------

# as GitHub makes them from headings
sub anchors {
    my ($text) = @_;
    my %anchor;
    $text =~ s/^```.*?^```//msg;
    for my $title ($text =~ /^#+ (.+)$/mg) {
        my $name = lc $title;
        $name =~ s/[^\w\- ]//g;
        $name =~ tr/ /-/;
        my $n = $anchor{$name}++;
        $anchor{"$name-$n"} = 1 if $n;
    }
    return \%anchor;
}

my @pages = grep { !m{^(?:build|\.git)/} }
    split /\n/, `cd '$root' && find . -name '*.md' -not -path './build/*' -not -path './.git/*' | sed 's,^\\./,,'`;
cmp_ok(scalar @pages, '>', 8, 'pages are found');

for my $page (sort @pages) {
    my $text = text($page);
    my $dir = File::Basename::dirname($page);
    my @broken;

    $text =~ s/^    .*$//mg;
    while ($text =~ /\]\(([^)\s]+)\)/g) {
        my $link = $1;
        next if $link =~ /^[a-z]+:/;
        my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
        my $file = $path eq '' ? "$root/$page" : "$root/$dir/$path";

        push @broken, $link if !-e $file
            || (defined $anchor && $file =~ /\.md$/
                && !anchors(slurp($file))->{$anchor});
    }
    is_deeply(\@broken, [], "$page: links");
}

# the tests are named where people look
like(text('README.md'), qr{\./test\.sh}, 'README.md: how to test');
like(text('README.md'), qr{\./demo\.sh}, 'README.md: how to run it');

# ---- how to write a bus driver -----------------------------------------------

{
    my $page = text('docs/bus-driver.md');

    # members of a struct of functions
    my $members = sub {
        my ($file, $name) = @_;
        my ($body) = text($file) =~ /^typedef struct \{((?:(?!^\}).)*)^\} \Q$name\E;/ms
            or die "$name in $file";
        return $body =~ /\(\*(\w+)\)\(/g;
    };
    my @names = map { $members->(@$_) } ['svc/bus_int.h', 'bus_driver_t'],
        ['svc/lease.h', 'lease_events_t'], ['svc/done.h', 'done_events_t'];

    cmp_ok(scalar @names, '>', 25, 'what a driver is made of');
    is_deeply([grep { $page !~ /`(?:events\.)?$_(?:\(\))?`/ } @names], [],
        'docs/bus-driver.md speaks of each');

    my $code = join '', map { slurp($_) } glob "$root/{svc,common}/*.[ch]";
    is_deeply([grep { $code !~ /\b$_\(/ } $page =~ /`(?:\w+\.)?(\w+)\(\)`/g],
        [], 'and of nothing that is not there');
}

# ---- docs/security.md --------------------------------------------------------

ok(-e "$root/$_", "docs/security.md: $_")
    for text('docs/security.md') =~ m{`(t/\w+\.t)`}g;

# ---- docs/guarantees.md ------------------------------------------------------

# Each promise names tests that judge it, and they are there.
{
    my $text = text('docs/guarantees.md');
    my @named = $text =~ m{`(t/\w+\.t)`}g;

    for my $table ($text =~ /((?:^\|.*\n)+)/mg) {
        my ($head, undef, @rows) = map { [split /\s*\|\s*/] }
            split /\n/, $table;
        my @judged = $head->[-1] eq 'judged by' ? map { [@$_[1, -1]] } @rows
            : map { [@$_[1 .. $#$_]] } grep { $_->[1] eq 'judged by' } @rows;

        ok(scalar @judged, 'a table of what is judged');
        for my $row (@judged) {
            my @tests = map { /`(\w+)`/g } @$row[1 .. $#$row];
            ok(scalar @tests, "by a test: $row->[0]");
            push @named, map { /_test$/ ? "t/unit/$_.c" : "t/$_.t" } @tests;
        }
    }
    ok(-e "$root/$_", "docs/guarantees.md: $_") for @named;
}

# ---- systemd -----------------------------------------------------------------

SKIP: {
    skip 'no systemd-analyze here', 3
        if system('command -v systemd-analyze >/dev/null 2>&1');

    my $dir = folder('systemd');
    my $build = build_dir();

    for my $name (qw(goim-logic goim-job)) {
        my $unit = text("conf/systemd/$name.service");
        $unit =~ s,/usr/local/bin/,$build/,g;
        spew("$dir/$name.service", $unit);
        my $said = `systemd-analyze verify '$dir/$name.service' 2>&1`;
        is($?, 0, "$name.service") or diag($said);
    }

    my ($base) = grep { -e } '/lib/systemd/system/nginx.service';
    skip 'no unit of nginx', 1 if !$base;
    spew("$dir/nginx.service", slurp($base));
    mkdir "$dir/nginx.service.d";
    spew("$dir/nginx.service.d/goim.conf",
        text('conf/systemd/nginx.service.d/goim.conf'));
    my $said = `systemd-analyze verify '$dir/nginx.service' 2>&1`;
    is($?, 0, 'nginx.service with the drop-in') or diag($said);
}

# ---- generated code ----------------------------------------------------------

{
    my $dir = folder('proto');
    my $rc = system("cd '$root/proto' && protoc-c --c_out='$dir' goim.proto");
    is($rc, 0, 'protoc-c');
    for my $name (qw(goim.pb-c.c goim.pb-c.h)) {
        ok(slurp("$dir/$name") eq text("proto/$name"),
            "proto/$name is what protoc-c makes");
    }
}

done_testing;
