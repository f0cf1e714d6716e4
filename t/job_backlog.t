# ASAN: no (memory is measured)
#
# A backlog of large records, over a link that takes longer
# for it than Redis is waited for: job takes as much at a time as it can use.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my ($count, $size, $rate) = (120, 500_000, 10_000_000);

# Redis behind a link that carries so many bytes a second towards the client.
sub link_to {
    my ($port) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16)
        or die "listen: $!\n";
    my $pid = fork // die "fork: $!\n";
    return ($pid, $listen->sockport) if $pid;

    $SIG{PIPE} = 'IGNORE';
    my (%peer, %down);
    my $set = IO::Select->new($listen);
    while (1) {
        for my $s ($set->can_read) {
            if ($s == $listen) {
                my $client = $s->accept or next;
                my $server = IO::Socket::INET->new(
                    PeerAddr => "127.0.0.1:$port") or next;
                @peer{$client, $server} = ($server, $client);
                $down{$server} = 1;
                $set->add($client, $server);
                next;
            }
            next if !$peer{$s};
            my $n = sysread $s, my $data, 65536;
            if (!$n) {
                my $other = $peer{$s};
                $set->remove($s, $other);
                delete @peer{$s, $other};
                $_->close for $s, $other;
                next;
            }
            sleep $n / $rate if $down{$s} && $n > 4096;
            for (my $at = 0; $at < $n; ) {
                my $sent = syswrite $peer{$s}, $data, $n - $at, $at;
                last if !$sent;
                $at += $sent;
            }
        }
    }
}

my $redis = Goim::Redis->new(conf => { appendfsync => 'no' });
my ($link, $port) = link_to($redis->{port});
END { local $?; hit 9, $link if $link }

my $logic = Goim::Logic->new(redis => $redis->addr);
my $job = Goim::Job->new(redis => "127.0.0.1:$port");
my $api = Goim::RPC::ready($logic)->api;
my $node = Goim::RPC->new($logic->{rpc_port});

sub waiting {
    my $n = 0;
    $n += $redis->cmd('XLEN', "goim:bus:$_") for 0 .. 7;
    return $n;
}

eventually { $node->register; $job->metrics->{goim_job_nodes} } 20,
    'the node is in the fan-out';

$api->room(1000, 'live', $_, 'small') for 1 .. 300;
eventually { waiting() == 0 } 20, 'small records are done';

$job->stop;
my $body = 'x' x $size;
my @code = grep { $_ } map { $api->room(1000, 'live', $_, $body)->{code} }
    1 .. $count;
is scalar(@code), 0, "a backlog of $count large ones, job was away";
$node->register;
$job->start;

eventually { $node->register; waiting() == 0 } 30, 'is worked off';

is $job->metrics->{goim_redis_timeouts_total}, 0,
    'without a reply that does not fit its time';
my ($kb) = slurp('/proc/' . $job->pid . '/status') =~ /VmHWM:\s+(\d+)/;
cmp_ok $kb / 1024, '<', 45, 'and a part of it in memory';
is $job->metrics->{goim_job_appended_records_total}, $count,
    'each record once';

done_testing;
