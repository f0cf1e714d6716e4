# What can be wrong between nginx, logic, job and a Redis with TLS: each says it
# by its name, once a minute, tries again, and is there when it is mended.

use strict;
use warnings;

use lib 't/lib';
use Goim::Job;
use Goim::Logic;
use Goim::Nginx;
use Goim::Redis;
use Goim::TLS;
use Goim::Test;

my $ca = Goim::TLS->new('ours');
my $other = Goim::TLS->new('another');
my ($cert, $key) = $ca->cert('redis', ips => ['127.0.0.1'],
    names => ['redis.test', '*.wild.test']);
my ($old, $old_key) = $ca->cert('expired', ips => ['127.0.0.1'],
    expired => 1);
my ($own, $own_key) = $ca->cert('goim');
my ($strange, $strange_key) = $other->cert('stranger');

my $redis = Goim::Redis->new(tls => { ca => $ca->file, cert => $cert,
    key => $key });
my %good = (ca_file => $ca->file, cert_file => $own, key_file => $own_key);

# each of the three with these parameters; undef leaves one out
sub three {
    my ($addr, $tls, %over) = @_;
    my %tls = (%good, %over);
    %tls = () if !$tls;
    my %conf = (conf => { redis => { addr => $addr, timeout => '500ms',
        tls => $tls ? 'on' : 'off', %tls } });
    return (Goim::Logic->new(%conf), Goim::Job->new(%conf),
        Goim::Nginx->new(logic => '127.0.0.1:1', goim => { redis_timeout =>
            '500ms' }, redis => join ' ', $addr, $tls ? 'tls' : (),
            map { "$_=$tls{$_}" } grep { defined $tls{$_} } sort keys %tls));
}

sub name { return $_[0]{name} }

sub is_up {
    my ($one) = @_;
    return $one->error_log =~ /redis "\S+": connected to/
        if name($one) eq 'nginx';
    return $one->metrics->{goim_redis_connections} > 0;
}

sub stop { $_->stop for @_ }

# all three say so, in words of this pattern
sub says {
    my ($what, $said, @three) = @_;
    for my $one (@three) {
        eventually { $one->logs =~ $said } 10, "$what: " . name($one)
            or diag $one->logs;
    }
}

sub refused {
    my ($what, $said, @how) = @_;
    my @three = three(@how);
    says($what, $said, @three);
    is scalar(grep { is_up($_) } @three), 0, "$what: nobody is up";
    stop(@three);
}

my $addr = $redis->addr;
my $plain = "127.0.0.1:$redis->{port}";
my $unknown = qr/TLS: its certificate is refused: (?:unable to get local issuer|self-signed) certificate/;

refused('another authority', $unknown, $addr, 1, ca_file => $other->file);
refused('the system\'s', $unknown, $addr, 1, ca_file => undef);
refused('another name', qr/TLS: its certificate is not for "other\.test"/,
    $addr, 1, server_name => 'other.test');
refused('another address', qr/TLS: its certificate is not for "127\.0\.0\.2"/,
    $addr, 1, server_name => '127.0.0.2');
refused('a part of a name', qr/TLS: its certificate is not for "wild\.test"/,
    $addr, 1, server_name => 'wild.test');
refused('no certificate of ours', qr/certificate required|want a certificate/,
    $addr, 1, cert_file => undef, key_file => undef);
refused('a stranger\'s certificate', qr/unknown ca|want a certificate/i,
    $addr, 1, cert_file => $strange, key_file => $strange_key);
refused('a port without TLS',
    qr/is this its port for TLS\?|the other side does not speak TLS/,
    $plain, 1);
refused('TLS where there is none here', qr/does this port want TLS\?/, $addr,
    0);

# names, and wild ones
for my $name (qw(redis.test one.wild.test)) {
    my @three = three($addr, 1, server_name => $name);
    eventually { 3 == grep { is_up($_) } @three } 10, "up by $name";
    stop(@three);
}

# expired: until it has another one
$redis->cmd('CONFIG', 'SET', 'tls-cert-file', $old, 'tls-key-file', $old_key);
my @three = three($addr, 1);
says('expired', qr/TLS: its certificate is refused: certificate has expired/,
    @three);

# it is tried again all the time, and said once for each connection
my $tried = sub {
    return scalar(() = slurp("$redis->{dir}/redis.log")
        =~ /Error accepting a client connection/g);
};
my $n = $tried->();
eventually { $tried->() >= $n + 12 } 20, 'they try again';
cmp_ok scalar(() = $_->logs =~ /certificate has expired/g), '<=', 2,
    'said once: ' . name($_) for @three;

$redis->cmd('CONFIG', 'SET', 'tls-cert-file', $cert, 'tls-key-file', $key);
eventually { 3 == grep { is_up($_) } @three } 20, 'mended: all are up';

done_testing;
