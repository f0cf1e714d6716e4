# goim-job in a folder of its own.

package Goim::Job;

use strict;
use warnings;

use parent -norequire, 'Goim::Service';

use Goim::Service ();
use Goim::Test qw(free_port);

# as Goim::Logic
sub new {
    my ($class, %arg) = @_;
    my $http = free_port();
    my %conf = (
        job   => { http => "127.0.0.1:$http" },
        redis => { addr => $arg{redis} },
        bus   => { driver => $arg{bus} || 'redis' },

        # a new system waits two renewals before it believes its set of nodes
        registry => { ttl => '10s', renew => '1s' },
    );
    $conf{kafka} = { 'bootstrap.servers' => $arg{kafka} } if $arg{kafka};

    my $self = $class->SUPER::new(%arg, name => 'job',
        conf => Goim::Service::merge(\%conf, $arg{conf}));
    $self->{http_port} = $http;

    $self->start if !$arg{stopped};
    return $self;
}

1;
