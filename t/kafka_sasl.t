# ASAN: no
#
# A Kafka that asks who comes, and speaks TLS alone: logic and job tell it by
# librdkafka's properties, the password from a file. Everything is delivered; what
# is wrong is said, and the password never.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::TLS;
use Goim::Test;

my $secret = 'k4fka-Secret';
my $ca = Goim::TLS->new;
my $kafka = Goim::Kafka->new(sasl => { user => 'goim', password => $secret,
    ca => $ca });
my $file = spew(folder('password') . '/kafka', "$secret\r\n");
my %kafka = ('security.protocol' => 'sasl_ssl', 'sasl.username' => 'goim',
    'sasl.password_file' => $file, 'ssl.ca.location' => $ca->file);

sub conf {
    my ($mechanism, %over) = @_;
    return (conf => { kafka => { %kafka, 'sasl.mechanism' => $mechanism,
        %over } });
}

my $c = Goim::Cluster->new(bus => 'kafka', kafka => $kafka,
    logic => { conf('SCRAM-SHA-512') },
    job => { conf('PLAIN', debug => 'all') });
$c->job->stop;
$c->job->configure({ job => { log_level => 'debug' } })->start;

my $client = $c->client(mid => 7, key => 'one', room => 'live://1',
    accepts => [1000]);

sub delivered {
    my ($name) = @_;
    eventually { ($c->api->room(1000, 'live', 1, $name)->{code} // 1) == 0 }
        30, "$name: accepted";
    eventually { $client->pump; grep { $_->{body} eq $name }
        @{ $client->{pushes} } } 30, "$name: arrives";
}

delivered('by SCRAM and PLAIN');

# ---- what is wrong -----------------------------------------------------------

my $wrong = spew(folder('password') . '/kafka', "n0t-Secret\n");
my %redis = (redis => $c->redis->addr, bus => 'kafka', kafka => $kafka->addr);

sub refused {
    my ($what, $said, %over) = @_;
    my @both = map { $_->new(%redis, conf('SCRAM-SHA-512', %over)) }
        qw(Goim::Logic Goim::Job);

    for (@both) {
        my $one = $_;
        eventually { $one->logs =~ $said } 20, "$what: $one->{name} says so"
            or diag $one->logs;
        is $one->health->{status}, 503, "$what: $one->{name} is not healthy";
    }
    $_->stop for @both;
}

refused('a wrong password', qr/SASL authentication error: .*credentials/i,
    'sasl.password_file' => $wrong);
refused('another authority', qr/SSL handshake failed: .*certificate/,
    'ssl.ca.location' => Goim::TLS->new('another')->file);
refused('another name', qr/SSL handshake failed: .*certificate/,
    'bootstrap.servers' => "localhost:$kafka->{sasl_port}");
refused('no TLS', qr/incorrect security\.protocol configuration/,
    'security.protocol' => 'sasl_plaintext');

# ---- it comes back -----------------------------------------------------------

$kafka->kill9;
$kafka->start;
delivered('after its end');

# ---- files -------------------------------------------------------------------

for my $class (qw(Goim::Logic Goim::Job)) {
    my $one = $class->new(%redis, conf('SCRAM-SHA-512'), stopped => 1);
    my ($rc, $said) = $one->test_conf;
    is $rc, 0, "$one->{name}: taken" or diag $said;

    for (['sasl.password_file' => '/nonexistent/file', qr{\[kafka\]
            \ sasl\.password_file\ =\ "/nonexistent/file":\ No\ such}x],
        ['ssl.ca.location' => '/nonexistent/file', qr/ssl\.ca\.location/],
        ['sasl.pasword' => $secret, qr/did you mean "sasl\.password"/],
        ['sasl.mechanism' => 'SCRAM-MD5', qr/Unsupported SASL mechanism/])
    {
        my ($key, $value, $like) = @$_;
        ($rc, $said) = $one->test_with({ kafka => { $key => $value } });
        is $rc, 1, "$one->{name}: $key = $value";
        like $said, $like, 'says so';
        unlike $said, qr/\Q$secret\E/, 'without the password';
    }
}

# ---- the password ------------------------------------------------------------

for my $one ($c->logic, $c->job) {
    my $logs = $one->logs;
    unlike $logs, qr/k4fka|n0t-Secret/, "$one->{name}: no password in the log";
    unlike $one->get('/metrics')->{content}, qr/k4fka/, 'nor in metrics';
}
like $c->job->logs, qr/\[debug\].*kafka: CONF:/, 'though it logs everything';

done_testing;
