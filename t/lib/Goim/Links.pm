# A machine for each part, and links between them that can be cut: network
# namespaces, each with a link to a router, where the test is.
#
#     use Goim::Links;            # before all else that starts anything
#     my $net = Goim::Links->new(qw(redis node));
#     my $redis = $net->on(redis => sub { Goim::Redis->new(...) });
#     $net->addr('redis');        # of it, to the others
#     $net->cut('node', 'redis'); # nothing comes through, nobody is told
#     $net->mend('node', 'redis');
#     $net->down('node');         # its link to all
#     $net->up('node');
#
# What is started on a machine stays there; 127.0.0.1 is each machine's own. The
# test itself runs in a namespace of its own, again from its beginning.

package Goim::Links;

use strict;
use warnings;

use Config;

use Goim::Proc ();
use Goim::Test qw(folder slurp wait_for);

my $setns = $Config{archname} =~ /^aarch64/ ? 268 : 308;

BEGIN {
    if (!$ENV{GOIM_LINKS}) {
        $ENV{GOIM_LINKS} = 1;
        exec 'unshare', $> ? '-rn' : '-n', $^X, $0, @ARGV
            or die "unshare: $!";
    }
}

sub _ip { system('ip', @_) == 0 or die "ip @_: $?\n" }

sub new {
    my ($class, @names) = @_;
    my $self = bless { n => {}, ns => {} }, $class;

    open $self->{here}, '<', '/proc/self/ns/net' or die "namespace: $!";
    _ip(qw(link set lo up));
    open my $fh, '>', '/proc/sys/net/ipv4/ip_forward' or die "forward: $!";
    print $fh 1;
    close $fh or die "forward: $!";
    $self->_machine($_) for @names;
    return $self;
}

sub _machine {
    my ($self, $name) = @_;
    my $n = $self->{n}{$name} = 1 + keys %{ $self->{n} };
    my $dir = folder("machine-$name");
    my $proc = Goim::Proc->new(name => 'machine', dir => $dir, stop => 'KILL',
        cmd => ['unshare', '-n', 'sh', '-c', 'echo ready; exec sleep 10000'])
        ->start;

    wait_for { slurp("$dir/machine.log") =~ /ready/ } 10, 'a machine';
    open $self->{ns}{$name}, '<', '/proc/' . $proc->pid . '/ns/net'
        or die "namespace: $!";
    _ip('link', 'add', "to-$n", qw(type veth peer name link netns), $proc->pid);
    _ip('addr', 'add', "10.7.$n.1/24", 'dev', "to-$n");
    _ip(qw(link set), "to-$n", 'up');
    $self->on($name, sub {
        _ip(qw(link set lo up));
        _ip('addr', 'add', "10.7.$n.2/24", qw(dev link));
        _ip(qw(link set dev link up));
        _ip(qw(route add default via), "10.7.$n.1");
    });
    push @{ $self->{procs} }, $proc;
}

sub addr { return "10.7.$_[0]{n}{$_[1]}.2" }

sub _enter {
    my ($ns) = @_;
    syscall($setns, fileno $ns, 0) == 0 or die "setns: $!";
}

# what the code returns, called there
sub on {
    my ($self, $name, $code) = @_;
    _enter($self->{ns}{$name});
    my @rc = eval { $code->() };
    my $died = $@;
    _enter($self->{here});
    die $died if $died;
    return wantarray ? @rc : $rc[0];
}

# by the router: no end of a connection sees anything of it
sub _rules {
    my ($self, $what, @pair) = @_;
    my ($one, $two) = map { $self->addr($_) } @pair;
    _ip('rule', $what, 'from', @$_, 'blackhole')
        for [$one, 'to', $two], [$two, 'to', $one];
}

sub cut  { my ($self, @pair) = @_; $self->_rules('add', @pair) }
sub mend { my ($self, @pair) = @_; $self->_rules('del', @pair) }
sub down { _ip(qw(link set), "to-$_[0]{n}{$_[1]}", 'down') }
sub up   { _ip(qw(link set), "to-$_[0]{n}{$_[1]}", 'up') }

sub stop { $_->stop for @{ $_[0]{procs} } }

1;
