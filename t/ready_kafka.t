# ASAN: no
#
# A broker that stands still: neither logic nor job is ready, each names the bus;
# and both are again when it goes on. As t/ready.t.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Test;

my $c = Goim::Cluster->new(bus => 'kafka',
    logic => { conf => { logic => { canary => '500ms' } } });

sub said {
    my ($service) = @_;
    my $res = eval { $service->get('/ready') } || return '';
    return "$res->{status} $res->{content}" =~ s/\s+\z//r;
}

sub all_ready {
    my ($when) = @_;
    eventually { said($c->logic) eq '200 {"status":"ok"}' } 30,
        "$when: logic is ready" or diag said($c->logic);
    eventually { said($c->job) eq '200 ok' } 30, "$when: job is ready"
        or diag said($c->job);
    eventually { $c->node->status->{ready} } 15, "$when: the node is ready";
}

all_ready('at first');

$c->kafka->pause;
eventually { said($c->logic) =~ /^503 .*"bus: kafka / } 40, 'logic is not ready'
    or diag said($c->logic);
eventually { said($c->job) =~ /^503 (?:the bus is away: kafka|bus: )/ } 40,
    'nor is job' or diag said($c->job);
is $c->node->status->{unready}, '', 'the node is, it has its Redis';

$c->kafka->resume;
all_ready('afterwards');

done_testing;
