# A small disk that can be filled: a tmpfs, in a namespace of mounts of the test's
# own (so the test runs again from its beginning, with all that it starts in it).
#
#     use Goim::Disk;             # before all else that starts anything
#     my $disk = Goim::Disk->new(32);     # MB
#     $disk->fill; ... $disk->free;

package Goim::Disk;

use strict;
use warnings;

use Goim::Test qw(folder);

my ($owner, @mounted) = ($$);

BEGIN {
    if (!$ENV{GOIM_DISK}) {
        $ENV{GOIM_DISK} = 1;
        exec 'unshare', $> ? '-rm' : '-m', $^X, $0, @ARGV
            or die "unshare: $!";
    }
}

sub new {
    my ($class, $mb) = @_;
    my $dir = folder('disk');
    system('mount', '-t', 'tmpfs', '-o', "size=${mb}m", 'tmpfs', $dir) == 0
        or die "mount: $?\n";
    push @mounted, $dir;
    return bless { dir => $dir }, $class;
}

sub dir { return $_[0]{dir} }

# nothing more can be written
sub fill {
    my ($self) = @_;
    open my $fh, '>>', "$self->{dir}/full" or die "full: $!\n";
    for my $size (65536, 1) {
        1 while syswrite $fh, "\0" x $size;
    }
    return $self;
}

sub free { unlink "$_[0]{dir}/full"; return $_[0] }

# before its folder is removed, and behind those who write there
END {
    local $?;
    system('umount', '-l', $_) for $$ == $owner ? @mounted : ();
}

1;
