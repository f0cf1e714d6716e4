# Records as some producer writes them to the bus, into partitions of the
# test's choice.
#
#     my $bus = Goim::Bus->new(redis => $redis);              # or
#     my $bus = Goim::Bus->new(kafka => $kafka);
#     $bus->write(3, { type => 'ROOM', room => 'a://1', msg => 'hello' });
#
# A record is a hash (goim.PushMsg) or a string of any bytes.

package Goim::Bus;

use strict;
use warnings;

use Goim::Proto qw(proto_encode);
use Goim::Test qw(spew);

my $script = <<'LUA';
local life = redis.call('HGET', KEYS[2], 'n')
for i = 1, #ARGV do
    redis.call('XADD', KEYS[1], life .. '-*', 'k', '', 'v', ARGV[i])
end
return #ARGV
LUA

my $delim = "\x01--goim-record--\x02";

sub new {
    my ($class, %arg) = @_;
    return bless { prefix => '', topic => 'goim-push-topic', %arg }, $class;
}

# Where a producer of goim puts a key: FNV-1a, 32 bits, as a signed number
# without its sign, of so many partitions.
sub partition {
    my ($key, $partitions) = @_;
    my $h = 0x811c9dc5;
    $h = (($h ^ $_) * 0x01000193) & 0xffffffff for unpack 'C*', $key;
    $h = (1 << 32) - $h if $h & 0x80000000;
    return $h % $partitions;
}

# their number when all of them were acknowledged, or it dies
sub write {
    my ($self, $partition, @records) = @_;
    my @bytes = map { ref $_ ? proto_encode('PushMsg', $_) : $_ } @records;
    return 0 if !@bytes;

    if (!$self->{kafka}) {
        my $p = $self->{prefix};
        $self->{redis}->cmd('EVAL', $script, 2, "${p}goim:bus:$partition",
            "${p}goim:life", @bytes);
        return scalar @bytes;
    }

    die "a record holds the delimiter\n" if grep { /\Q$delim/ } @bytes;
    my $file = spew("$self->{kafka}{dir}/records", join $delim, @bytes);
    open my $in, '<', $file or die "$file: $!";
    my @cmd = ('kcat', '-b', $self->{kafka}->addr, '-t', $self->{topic}, '-p',
        $partition, '-P', '-q', '-D', $delim, '-X', 'enable.idempotence=true',
        '-X', 'topic.message.timeout.ms=20000');
    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDIN, '<&', $in;
        { exec @cmd }
        POSIX::_exit(127);
    }

    waitpid $pid, 0;
    die "kcat: $?\n" if $?;
    return scalar @bytes;
}

1;
