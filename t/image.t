# ASAN: no
#
# The image of Dockerfile: it builds, and what is in it starts.

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;

plan skip_all => 'buildah needs root' if $> && !$ENV{CI};

my $tag = "localhost/goim-test:$$";

sub image {
    my (@args) = @_;
    my $command = join ' ', map { "'$_'" } @args;
    my $said = `tools/image.sh $command 2>&1`;
    return ($?, $said);
}

alarm 1200 * slow();

my ($rc, $said) = image('build', $tag);
is $rc, 0, 'the image builds' or diag $said;

my %runs = (
    'nginx takes its configuration' => 'nginx -t',
    'logic takes its own' =>
        'goim-logic --config /etc/ngx_goim/logic.conf --test',
    'job too' => 'goim-job --config /etc/ngx_goim/job.conf --test',
    'the page is there' =>
        'test -s /usr/local/share/ngx_goim/web/index.html',
    'and the client' => 'test -s /usr/local/share/ngx_goim/web/goim.js',
);
my @names = sort keys %runs;

# in one container: each is a copy of the whole
(undef, $said) = image('run', $tag, 'sh', '-c', join '; ',
    map { "$runs{$names[$_]} && echo passed $_" } 0 .. $#names);
like $said, qr/^passed $_$/m, $names[$_] for 0 .. $#names;
diag $said if 5 > (() = $said =~ /^passed/mg);

image('remove', $tag);
done_testing;
