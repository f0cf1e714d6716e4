# The table of docs/internals.md that owns the bounds of what may wait: its
# numbers are those of the code, and no large one is missing.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

my $root = root_dir();

my @sources = grep { !/\.pb-c\./ } map { glob "$root/$_/*.[ch]" }
    qw(common ngx_goim_module svc job logic);
my %text = map { $_ => slurp($_) } @sources;

# constants that are numbers
my (%expr, %file);
for my $file (@sources) {
    while ($text{$file} =~ /^#define\s+([A-Z]\w*)\s+(.+?)\s*(?:\/\*.*)?$/mg) {
        my ($name, $expr) = ($1, $2);
        $expr{$name} = $expr;
        $file{$name} = substr $file, 1 + length $root;
    }
}

sub value {
    my ($name, $depth) = @_;
    my $expr = $expr{$name};
    return undef if !defined $expr || ($depth // 0) > 5;

    $expr =~ s/\((?:size_t|uint64_t|ngx_uint_t)\)//g;
    $expr =~ s{\b([A-Z][A-Z0-9_]{2,})\b}
        {my $n = value($1, ($depth // 0) + 1); defined $n ? $n : 'x'}ge;
    return undef if $expr !~ /^[\d\s()*+<-]+$/;
    my $n = eval $expr;
    return $n;
}

# "16 KB", "1,024", "64m" as a number
sub number {
    my ($text) = @_;
    my ($n, $unit) = $text =~ /^([\d,]+) ?(k|m|g|KB|MB|GB|ms)?\b/ or return undef;
    $n =~ tr/,//d;
    return $n * { k => 1 << 10, m => 1 << 20, g => 1 << 30 }->{
        lc substr($unit // '', 0, 1) } if $unit && $unit ne 'ms';
    return $n;
}

# what a directive or a key is without one
my $module = $text{"$root/ngx_goim_module/ngx_goim_conf.c"};
my $keys = join '', map { $text{"$root/$_"} } qw(job/main.c logic/conf.c);

# what is told to librdkafka
my $kafka = $text{"$root/svc/bus_kafka.c"};

sub default_of {
    my ($name) = @_;

    if ($name =~ /^\[(\w+)\] (\w+)$/) {
        my ($value)
            = $keys =~ /(?:"$1"|section),\s+"$2",\s+CONF_\w+,[^"]*?"([^"]*)"/;
        return defined $value ? number($value) : undef;
    }
    my ($expr) = $module
        =~ /ngx_conf_init_\w+_value\(gcf->$name,\s+([\d* ]+)\)/ or return undef;
    return eval $expr;
}

my ($part) = slurp("$root/docs/internals.md")
    =~ /^## Flow control\n(.*?)^## /ms;
my %said;

for my $row (grep { /^\| / } split /\n/, $part) {
    my ($what, $most, $by) = (split /\s*\|\s*/, $row)[1, 2, 3];
    next if $what eq 'what may wait' || $what =~ /^-+$/;

    if ($by =~ /^`(\w+)`$/) {
        $said{$1}++;
        is(value($1), number($most), "$1: $most ($what)");
    } elsif ($by =~ /^\[(.+)\]\(\S+\)$/) {
        is(default_of($1), number($most), "$1: $most ($what)");
    } elsif ($by =~ /^`([a-z.]+)`$/) {
        my $name = $1;
        my ($value) = $kafka =~ /\{ "\Q$name\E", "(\d+)" \}/;
        $value *= 1024 if $value && $name =~ /kbytes/;
        is($value, number($most), "$name: $most ($what)");
    } else {
        fail("$what: by whom: $by");
    }
}

cmp_ok(scalar keys %said, '>', 25, 'constants are found');
is_deeply([grep { $said{$_} > 1 } sort keys %said], [], 'each once');

# what is no bound of messages, though it is large
my %other = map { $_ => 1 } qw(CONF_FILE_MAX SVC_MEMORY_MUCH);

is_deeply([grep { !$said{$_} && !$other{$_} && /^[A-Z]/
    && $expr{$_} =~ /1024 \* 1024/ } sort keys %expr], [],
    'no bound of a megabyte and more is missing')
    or diag(join ' ', map { "$_: $file{$_}" }
        grep { !$said{$_} && $expr{$_} =~ /1024 \* 1024/ } sort keys %expr);

done_testing;
