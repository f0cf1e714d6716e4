# ASAN: no
# LONG
#
# Redis is full: of memory, of memory by far, of disk. What was accepted is
# there for everybody, and nobody who recovers is told that anything is gone but
# where Redis, whose disk is full, ends, and the bus with it. And scripts that
# Redis forgets.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Audience;
use Goim::Beside;
use Goim::Proc;
use Goim::Redis;
use Goim::Test;

each_bus(\&over);

sub over {
    my ($bus) = @_;
    my $disk = disk();
    my $redis = Goim::Redis->new(stopped => 1);
    $redis->{cmd} = [inside($disk), @{ $redis->{cmd} }, '--dir', '/mnt'];
    $redis->start;
    my $c = with_history(bus => $bus, redis => $redis);

    through('scripts are forgotten', $c, fault => sub {
        for (1 .. 20) {
            $redis->cmd('SCRIPT', 'FLUSH');
            sleep 0.05;
        }
    });
    through('memory is full', $c, fault => sub { memory($redis, 0.97) });
    through('memory is full by far', $c, fault => sub { memory($redis, 0.6) });

    my $audience = through('the disk is full', $c, lost => $bus eq 'redis',
        fault => sub {
            on_disk($disk, 'cat /dev/zero >/mnt/else 2>/dev/null');
            ok defined $redis->wait_exit(20 * slow()), 'Redis ends';
            on_disk($disk, 'rm /mnt/else');
            $redis->start;
        });
    is $audience->told_false > 0, $bus eq 'redis', 'who is told';
    $_->stop for $c->node, $c->job, $c->logic, $c->kafka || (), $redis, $disk;
}

sub memory {
    my ($redis, $part) = @_;
    my ($used) = $redis->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
    $redis->cmd('CONFIG', 'SET', 'maxmemory', int $used * $part);
    sleep 2;
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
}

# a small one, at /mnt of a namespace, which goes with it
sub disk {
    my $dir = folder('disk');
    my $disk = Goim::Proc->new(name => 'disk', dir => $dir, stop => 'KILL',
        cmd => ['unshare', $> ? '-rm' : '-m', 'sh', '-c',
            'mount -t tmpfs -o size=8m tmpfs /mnt && echo ready'
            . ' && exec sleep 1000'])->start;
    wait_for { slurp("$dir/disk.log") =~ /ready/ } 10, 'the disk is there';
    return $disk;
}

sub inside {
    my ($disk) = @_;
    return ('nsenter', '-t', $disk->pid, '-m',
        $> ? ('-U', '--preserve-credentials') : ());
}

sub on_disk {
    my ($disk, $command) = @_;
    return system(inside($disk), 'sh', '-c', $command);
}

done_testing;
