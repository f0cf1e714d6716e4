# Sessions that may send, by tokens; what they send and are answered.
#
#     my %logic = Goim::Sender::logic(send => { envelope => 'on' });
#     my $c = Goim::Cluster->new(logic => { %logic });
#     my $client = enters($c, mid => 7, send => { rooms => ['live://*'] });
#     is send_to($client, { to => 'live://1' }, 'hello')->{code}, 0;
#     restart($c, send => { envelope => 'off' });
#
# Others of the token's claims: room (live://1), rooms, accepts, key.

package Goim::Sender;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

use Goim::JWT ();
use Goim::Service ();
use Goim::Test qw(wait_for);

our @EXPORT = qw(enters restart send_to sent say token);

my $json = JSON::PP->new->canonical->allow_nonref;
my $signer;

# of Goim::Logic->new(); more sections of its configuration
sub logic {
    my (%conf) = @_;
    $signer ||= Goim::JWT->new('HS256');
    return (conf => Goim::Service::merge({
        auth => { mode => 'jwt', algorithms => 'HS256',
            secret_file => $signer->file },
        send => { rate => 0, mid_rate => 0 },
    }, \%conf));
}

sub token {
    my (%arg) = @_;
    my $mid = delete $arg{mid};
    $arg{room_id} = delete $arg{room} if exists $arg{room};
    return $signer->token({ defined $mid ? (sub => "$mid") : (), %arg });
}

# a session of that token
sub enters {
    my ($c, %arg) = @_;
    my %more = map { exists $arg{$_} ? ($_ => delete $arg{$_}) : () }
        qw(transport node recover);
    my $token = token(room => 'live://1', accepts => [1000], %arg);
    my %packet = (token => $token,
        exists $more{recover} ? (recover => $more{recover}) : ());
    return $c->client(%more, token => $json->encode(\%packet));
}

# the cluster's logic goes by these sections from now on
sub restart {
    my ($c, %conf) = @_;
    $c->logic->configure(\%conf);
    $c->logic->kill9;
    $c->logic->start;
    wait_for { $c->logic->metrics->{goim_logic_registers_total} } 20,
        'the node has logic again';
}

# the body of operation 4
sub say {
    my ($line, $payload) = @_;
    $line = $json->encode({ operation => 1000, %$line }) if ref $line;
    my $body = "$line\n" . ($payload // '');
    utf8::downgrade($body);
    return $body;
}

# the answer of a reply
sub sent {
    my ($reply) = @_;
    die "operation $reply->{op} in reply to a message\n" if $reply->{op} != 5;
    return $json->decode($reply->{body});
}

sub send_to {
    my ($client, $line, $payload) = @_;
    return sent($client->call(4, say($line, $payload)));
}

1;
