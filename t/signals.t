# LONG
#
# Signals at any time of a service's start: SIGTERM ends it in order, SIGHUP
# never.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Proc;
use Goim::Redis;
use Goim::Test;

use POSIX ();
use Time::HiRes ();

my $redis = Goim::Redis->new;

# What has begun says how it ends. Only what the system's loader still works
# on does not know signals: it has done nothing.
sub ends {
    my ($service, $name) = @_;
    my $status = $service->wait_exit(30);
    my $said = -s "$service->{dir}/$service->{name}.log" ? $service->logs : '';

    return ok(0, "$name: ends") if !defined $status;
    return is($status, 15, "$name: before it began") if $said eq '';
    is($status, 0, "$name: ends well") or diag($said);
    like($said, qr/ stopped$/m, "$name: and says so");
}

sub start {
    my ($service) = @_;
    unlink "$service->{dir}/$service->{name}.log";
    $service->Goim::Proc::start;        # and does not wait
}

my %common = (redis => $redis->addr, stopped => 1);
my @services = (
    ['logic', Goim::Logic->new(%common)],
    ['job', Goim::Job->new(%common)],
    ['job without Redis', Goim::Job->new(%common, redis => '127.0.0.1:1')],
    ['logic without a broker', Goim::Logic->new(%common, bus => 'kafka',
        kafka => '127.0.0.1:1')],
    ['job without a broker', Goim::Job->new(%common, bus => 'kafka',
        kafka => '127.0.0.1:1')],
);

for my $s (@services) {
    my ($name, $service) = @$s;

    for my $ms (map { $_ * $_ } 0 .. 12) {
        start($service);
        Time::HiRes::sleep($ms / 1000);
        $service->signal('TERM');
        ends($service, "$name, SIGTERM after $ms ms");
    }

    # both are there before the program is
    my $early = POSIX::SigSet->new(POSIX::SIGTERM, POSIX::SIGHUP);
    POSIX::sigprocmask(POSIX::SIG_BLOCK, $early);
    start($service);
    POSIX::sigprocmask(POSIX::SIG_UNBLOCK, $early);
    $service->signal('HUP');
    $service->signal('TERM');
    ends($service, "$name, held signals");
    like($service->logs, qr/log opened again/, "$name: SIGHUP was heard");
}

done_testing;
