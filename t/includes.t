# Who includes whom in the module: what lies in shared memory knows nothing of
# the worker that uses it, the core nothing of its fronts, and a front in
# another .so no more of the core than one header. And in job. And how long
# a file may be.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

my $dir = root_dir() . '/ngx_goim_module';

# the listing: group => its files
my %group;
{
    my ($part) = slurp(root_dir() . '/docs/internals.md')
        =~ /^## The module's files\n(.*?)^## /ms;
    my $name;

    for (split /\n/, $part) {
        $name = $1 if /^\| \*([\w ]+)\* \|/;
        next unless /^\| (`[^|]*) \|/;
        for my $file ($1 =~ /`([^`]+)`/g) {
            $group{$file =~ s/\[ch\]$/$_/r} = $name
                for $file =~ /\[ch\]$/ ? qw(c h) : '';
        }
    }
}

is_deeply([sort keys %group],
    [sort map { s{.*/}{}r } glob "$dir/*.c $dir/*.h"],
    'the listing has each file, and no other');

# file => [what it includes, directly]
my %includes;
for my $file (keys %group) {
    $includes{$file} = [slurp("$dir/$file") =~ /^\s*#\s*include\s+[<"]([^>"]+)/mg];
}

# all that a file gets, of ours; nginx's headers only if asked for
sub gets {
    my ($file, $seen) = @_;
    $seen //= {};
    for (@{ $includes{$file} // [] }) {
        gets($_, $seen) unless $seen->{$_}++;
    }
    return $seen;
}

sub of_group {
    my ($file, @groups) = @_;
    my $gets = gets($file);
    return [grep { my $g = $group{$_}; $g && grep { $_ eq $g } @groups }
        sort keys %$gets];
}

my %is;
$is{ $group{$_} }++ for keys %group;
is_deeply([sort keys %is], ['fronts', 'one worker', 'shared memory'],
    'three groups');

for my $file (sort keys %group) {
    if ($group{$file} eq 'shared memory') {
        is_deeply(of_group($file, 'one worker', 'fronts'), [],
            "$file: nothing of one worker");
    } elsif ($group{$file} eq 'one worker') {
        is_deeply(of_group($file, 'fronts'), [], "$file: nothing of the fronts");
    }
}

for my $file (grep { /^ngx_goim_ring\.|^ngx_goim_record\.h/ } sort keys %group) {
    is_deeply([grep { /^ngx_(?!goim_)/ } sort keys %{ gets($file) }], [],
        "$file: no nginx");
}

is_deeply([grep { /goim/ && !/^common\// } @{ $includes{'ngx_stream_goim_module.c'} }],
    ['ngx_goim.h'], 'the TCP front knows of the core what ngx_goim.h says');

# a header names what it needs
for my $file (grep { /\.h$/ } sort keys %group) {
    my $code = slurp("$dir/$file");
    like($code, qr/^#ifndef _\U\Q@{[$file =~ s{\.}{_}r]}\E_INCLUDED_$/m,
        "$file: its guard");
}

# job's files, as job.h lists them: each knows those below it
{
    my $job = root_dir() . '/job';
    my @order = slurp("$job/job.h") =~ /^ \*     (\w+)\.c /mg;
    is_deeply([sort @order, 'main', 'http'],
        [sort map { m{(\w+)\.c$} } glob "$job/*.c"], 'job.h lists its files');

    my %at = map { $order[$_] => $_ } 0 .. $#order;
    for my $file (@order) {
        my @up = grep { exists $at{$_} && $at{$_} < $at{$file} }
            map { slurp("$job/$_") =~ /^#include "(\w+)\.h"/mg }
            "$file.c", "$file.h";
        is "@up", '', "job/$file: nothing of those above it";
    }
}

# nginx builds the same groups
{
    my $config = slurp(root_dir() . '/config');
    my ($list) = $config =~ /^goim_shared_srcs="([^"]+)"/m;
    is_deeply([sort $list =~ m{\$goim_src/(\S+)}g],
        [grep { /\.c$/ && $group{$_} eq 'shared memory' } sort keys %group],
        'config: shared memory');
    ($list) = $config =~ /^goim_worker_srcs="([^"]+)"/m;
    is_deeply([sort $list =~ m{\$goim_src/(\S+)}g],
        [grep { /\.c$/ && $group{$_} eq 'one worker' } sort keys %group],
        'config: one worker');
}

# what was written by hand
{
    my $root = root_dir();
    my @files = grep { !/\.pb-c\./ } map { glob "$root/$_" }
        qw(common/*.[ch] svc/*.[ch] logic/*.[ch] job/*.[ch] bench/*.*
           ngx_goim_module/*.[ch] */lua/*.lua web/*.js t/*.t t/lib/Goim/*.pm
           t/fuzz/*.c t/unit/*.[ch] t/web/*.js tools/*.*);
    cmp_ok scalar(@files), '>', 250, 'there are files';
    is_deeply([map { m{^$root/(.*)} } grep { slurp($_) =~ tr/\n// > 800 } @files],
        [], 'none has more than 800 lines');
}

done_testing;
