# A real PostgreSQL in a folder of its own. It refuses to be root's: where the test
# is, the user postgres of its package has it.

package Goim::Postgres;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Goim::Proc ();
use Goim::Test qw(folder free_port wait_for);

# disk => a folder in which tables are to be, apart from its log
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('postgres');
    my $port = free_port();
    my ($bin) = sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin';
    die "no PostgreSQL: tools/install-deps.sh test\n" if !$bin;

    my @as;
    if ($> == 0) {
        my ($uid, $gid) = (getpwnam 'postgres')[2, 3];
        chown $uid, $gid, $dir or die "$dir: $!";
        @as = ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups');
    }

    system("cd / && @as $bin/initdb -D $dir/data -A trust -U goim --no-sync "
        . '-E UTF8 --no-locale >/dev/null') == 0 or die "initdb: $?\n";

    my $self = $class->SUPER::new(name => 'postgres', dir => $dir, stop => 'INT',
        cmd => [@as, "$bin/postgres", '-D', "$dir/data", '-p', $port,
            '-k', $dir, '-h', '', '-c', 'fsync=off',
            '-c', 'max_connections=50']);
    @$self{qw(port dir bin as)} = ($port, $dir, $bin, \@as);
    $self->start;

    if ($arg{disk}) {
        my $there = "$arg{disk}/tables";
        mkdir $there or die "$there: $!";
        chown((stat $dir)[4, 5], $there) or die "$there: $!";
        $self->sql("CREATE TABLESPACE apart LOCATION '$there'");
        $self->sql('ALTER ROLE goim SET default_tablespace = apart');
    }
    return $self;
}

# what `db` is in a configuration
sub url {
    my ($self) = @_;
    return "postgresql:host=$self->{dir} port=$self->{port} user=goim "
        . 'dbname=postgres';
}

sub start {
    my ($self) = @_;
    $self->SUPER::start;
    wait_for {
        system("$self->{bin}/pg_isready -q -h $self->{dir} -p $self->{port}")
            == 0;
    } 30, 'PostgreSQL answers';
    return $self;
}

sub sql {
    my ($self, $sql) = @_;
    open my $out, '-|', "$self->{bin}/psql", '-h', $self->{dir}, '-p',
        $self->{port}, '-U', 'goim', '-qAtc', $sql, 'postgres' or die $!;
    local $/;
    my $said = <$out>;
    close $out or die "psql: $?\n";
    return $said;
}

1;
