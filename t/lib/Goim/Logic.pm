# goim-logic in a folder of its own.

package Goim::Logic;

use strict;
use warnings;

use parent -norequire, 'Goim::Service';

use Goim::API ();
use Goim::Service ();
use Goim::Test qw(free_port);

# redis => ADDR, bus => 'redis' | 'kafka', kafka => BROKERS, conf => { ... }
sub new {
    my ($class, %arg) = @_;
    my ($http, $rpc) = (free_port(), free_port());
    my %conf = (
        logic => { http => "127.0.0.1:$http", rpc => "127.0.0.1:$rpc",

            # tests count records; t/ready.t has them
            canary => 0 },
        auth  => { mode => 'trust' },
        redis => { addr => $arg{redis} },
        bus   => { driver => $arg{bus} || 'redis' },

        # a new system waits two renewals before it believes its set of nodes
        registry => { ttl => '10s', renew => '1s' },
    );
    $conf{kafka} = { 'bootstrap.servers' => $arg{kafka} } if $arg{kafka};

    my $self = $class->SUPER::new(%arg, name => 'logic',
        conf => Goim::Service::merge(\%conf, $arg{conf}));
    @$self{qw(http_port rpc_port)} = ($http, $rpc);
    $self->{api} = Goim::API->new($http);

    $self->start if !$arg{stopped};
    return $self;
}

sub rpc_addr { return "127.0.0.1:$_[0]{rpc_port}" }
sub api      { return $_[0]{api} }

1;
