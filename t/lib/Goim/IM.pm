# A database of messages between people, of either kind, which tests look into.
#
#     my $db = Goim::IM->new('sqlite');           # or 'postgresql'
#     ... conf => { im => { db => $db->url } } ...
#     is $db->sql('SELECT count(*) FROM message'), "3\n";

package Goim::IM;

use strict;
use warnings;

use Goim::Postgres;
use Goim::Test qw(folder);

# disk => a folder in which its data is to be
sub new {
    my ($class, $kind, %arg) = @_;
    return Goim::Postgres->new(%arg) if $kind eq 'postgresql';
    return bless { file => ($arg{disk} || folder('db')) . '/im.db' }, $class;
}

sub url { return "sqlite:$_[0]{file}" }

sub sql {
    my ($self, $sql) = @_;
    open my $out, '-|', 'sqlite3', '-cmd', '.timeout 10000', $self->{file}, $sql
        or die "sqlite3: $!\n";
    local $/;
    my $said = <$out>;
    close $out or die "sqlite3: $?\n";
    return $said;
}

1;
