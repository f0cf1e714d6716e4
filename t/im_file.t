# A file of SQLite that logic and job can't share: each says why, when it starts and
# with --test. A file that is not job's looks like any other: logic says so, too, and
# so does a job that stands by.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Job;
use Goim::Logic;
use Goim::Redis;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:sqlite |im: this is not the database)/);

# ---- what can't be shared ----------------------------------------------------

# as somebody whom modes concern
my @as;
if ($> == 0) {
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
    @as = ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups');
}

my $redis = Goim::Redis->new;
my $where = folder('shared');
my $file = "$where/im.db";

sub says {
    my ($what, $why, $path) = @_;
    for my $class (qw(Goim::Logic Goim::Job)) {
        my $s = $class->new(redis => $redis->addr, bus => 'redis',
            stopped => 1, conf => { im => { db => "sqlite:$path",
            $class eq 'Goim::Logic' ? (insecure => 1) : () } });
        my $cmd = $s->{cmd};
        my $said = run_as(@$cmd, '--test');
        like($said, qr/warning: \[im\] db: $why/, "$what: $s->{name} --test");
        like($said, qr/configuration .* is ok/, 'the configuration is none of it');
        $s->{cmd} = [@as, @$cmd];
        $s->start;
        eventually { $s->logs =~ /\[error\] \d+: sqlite "[^"]+": $why/ } 20,
            'and when it starts';
        $s->stop;
    }
}

sub run_as {
    open my $out, '-|', 'sh', '-c', '"$@" 2>&1', 'sh', @as, @_ or die $!;
    local $/;
    return scalar <$out>;
}

my $user = qr/ is of user \S+ with mode \d+, and this is user \S+: logic and job/;

says('no folder', qr/there is no folder "\Q$where\E\/none\/"/,
    "$where/none/im.db");
system('sqlite3', $file, 'CREATE TABLE x (y)') == 0 or die 'sqlite3';
chmod 0777, $where or die $!;
chmod 0400, $file or die $!;
says('a file of another', qr/the file "\Q$file\E"$user/, $file);
chmod 0666, $file or die $!;
spew("$file-wal", '');
chmod 0400, "$file-wal" or die $!;
says('its -wal', qr/the file "\Q$file\E-wal"$user/, $file);
unlink "$file-wal" or die $!;
chmod 0555, $where or die $!;
says('a folder', qr/the folder "\Q$where\E\/"$user/, $file);
chmod 0777, $where or die $!;
$redis->stop;

# ---- what is not the same ----------------------------------------------------

{
    my ($db, $other) = map { Goim::IM->new('sqlite') } 1, 2;
    my $c = Goim::Cluster->new(jobs => 2,
        logic => { conf => { im => { db => $db->url, insecure => 1 } } },
        job => { conf => { im => { db => $db->url } } });
    my $send = sub { $c->api->post('/goim/im/send', [mid => 1, to => 2,
        id => 'a'], 'x')->{code} };
    wait_for { $send->() == 0 } 20, 'a message is stored';

    my $logic = $c->logic;
    my ($standby) = grep { $_->metrics->{goim_job_im_commands_total} == 0 }
        @{ $c->{jobs} };
    is($_->metrics->{"goim_$_->{name}_im_other_database"}, 0,
        "$_->{name}: the same") for $logic, $standby;

    for my $s ($logic, $standby) {
        $s->configure({ im => { db => $other->url } })->stop;
    }
    system('sqlite3', $db->{file}, ".backup $other->{file}") == 0 or die;
    system('sqlite3', $other->{file},
        "UPDATE meta SET value = 'other' WHERE name = 'instance'") == 0 or die;
    for my $s ($logic, $standby) {
        $s->start;
        eventually { $s->metrics->{"goim_$s->{name}_im_other_database"} == 1 } 20,
            "$s->{name}: another";
        like($s->logs, qr/this is not the database that job writes: that is "\w+", this "other"/,
            'and said');
    }

    $logic->configure({ im => { db => $db->url } })->stop;
    $logic->start;
    eventually { $logic->metrics->{goim_logic_im_other_database} == 0
        && $send->() == 0 } 20, 'the right one again';
}

done_testing;
