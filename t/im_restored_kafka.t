# A database that goes back, and a bus that still has what it lost: job goes back, too,
# to the database's place, and nothing is lost.

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:im: |sqlite )/);

my $db = Goim::IM->new('sqlite');
my %im = (im => { db => $db->url });
my $c = Goim::Cluster->new(bus => 'kafka',
    logic => { conf => { im => { %{ $im{im} }, insecure => 1 } } },
    job => { conf => { %im } });

sub message {
    my ($id) = @_;
    wait_for { $c->api->post('/goim/im/send', [mid => 1, to => 2, id => $id],
        $id)->{code} == 0 } 30, "$id is stored";
}

sub history {
    return join ' ', map { $_->{body} } @{ ($c->api->get('/goim/im/history',
        mid => 2, conv => 'p1.2')->{data} || {})->{items} || [] };
}

sub restore {
    system('cp', "$db->{file}.copy", "$db->{file}.new") == 0 or die 'cp';
    unlink "$db->{file}-wal", "$db->{file}-shm";
    rename "$db->{file}.new", $db->{file} or die "rename: $!";
}

message('a');
$db->sql("VACUUM INTO '$db->{file}.copy'");
message($_) for qw(b c);
is(history(), 'a b c', 'stored');

# under those who use it
restore();
is(history(), 'a', 'the database went back');
message('d');
eventually { history() eq 'a b c d' } 30, 'what it lost is there again, in order';
my $m = $c->job->metrics;
is("$m->{goim_job_im_epochs_total} $m->{goim_job_im_missing_total}", '1 0',
    'a new epoch, and nothing is missing');
like($c->job->logs, qr/partition \d+: what the database lost is taken from the bus/,
    'the log says so');

# while job is away
$c->job->kill9;
restore();
$c->job->start;
eventually { history() eq 'a b c d' } 30, 'restored while job was away: the same';
message('e');
is(history(), 'a b c d e', 'it goes on');
is($db->sql('SELECT count(*), count(DISTINCT cid) FROM message'), "5|5\n",
    'each is stored once');
is($c->job->metrics->{goim_job_im_missing_total}, 0, 'nothing is missing');

done_testing;
