# Keys that sign tokens, made by openssl.
#
#     my $key = Goim::JWT->new('ES256', kid => 'a');
#     my $token = $key->token({ sub => '7', exp => time + 60 });
#     ... keys => $key->file ...                  # HS256: the secret
#     my $set = Goim::JWT::jwks($key, $other);    # JSON
#
# token takes header => { ... } over its own, and alg => ANOTHER for a header
# that is not true.

package Goim::JWT;

use strict;
use warnings;

use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();

use Goim::Test qw(folder slurp spew);

my $json = JSON::PP->new->canonical;
my %make = (
    RS256 => '-algorithm RSA -pkeyopt rsa_keygen_bits:2048',
    ES256 => '-algorithm EC -pkeyopt ec_paramgen_curve:P-256',
    EdDSA => '-algorithm ED25519',
);

sub new {
    my ($class, $alg, %arg) = @_;
    my $self = bless { alg => $alg, dir => folder('key'), %arg }, $class;

    if ($alg eq 'HS256') {
        $self->{secret} //= join '', map { sprintf '%02x', rand 256 } 1 .. 32;
        spew($self->file, "$self->{secret}\n");
        return $self;
    }
    $self->_openssl("genpkey $make{$alg} -out key");
    $self->_openssl('pkey -in key -pubout -out public');
    return $self;
}

sub _openssl {
    my ($self, $what) = @_;
    system("cd '$self->{dir}' && openssl $what 2>said") == 0
        or die "openssl $what: " . slurp("$self->{dir}/said");
}

# what logic is given: of the public key, or the secret
sub file { return "$_[0]{dir}/public" }

sub base64url { return MIME::Base64::encode_base64url($_[0]) }

sub token {
    my ($self, $claims, %arg) = @_;
    my $header = { alg => $arg{alg} || $self->{alg}, typ => 'JWT',
        defined $self->{kid} ? (kid => $self->{kid}) : (),
        %{ $arg{header} || {} } };
    my $signed = join '.', map { base64url(ref $_ ? $json->encode($_) : $_) }
        $header, $claims;
    return "$signed." . base64url($self->sign($signed));
}

sub sign {
    my ($self, $text) = @_;
    return Digest::SHA::hmac_sha256($text, $self->{secret})
        if $self->{alg} eq 'HS256';

    spew("$self->{dir}/text", $text);
    $self->_openssl($self->{alg} eq 'EdDSA'
        ? 'pkeyutl -sign -inkey key -rawin -in text -out signature'
        : 'dgst -sha256 -sign key -out signature text');
    my $signature = slurp("$self->{dir}/signature");
    return $signature if $self->{alg} ne 'ES256';

    # DER: a sequence of two integers
    my ($r, $s) = unpack 'x2 xC/a* xC/a*', $signature;
    return join '', map { substr(("\0" x 32) . $_, -32) } $r, $s;
}

# the public key as a JWK, or the secret
sub jwk {
    my ($self, %more) = @_;
    my %jwk = (defined $self->{kid} ? (kid => $self->{kid}) : ());

    if ($self->{alg} eq 'HS256') {
        @jwk{qw(kty k)} = ('oct', base64url($self->{secret}));
    } elsif ($self->{alg} eq 'RS256') {
        $self->_openssl('rsa -pubin -in public -modulus -noout -out modulus');
        my ($n) = slurp("$self->{dir}/modulus") =~ /=([0-9A-F]+)/;
        @jwk{qw(kty n e)} = ('RSA', base64url(pack 'H*', $n), 'AQAB');
    } else {
        $self->_openssl('pkey -pubin -in public -outform DER -out der');
        my $der = slurp("$self->{dir}/der");
        @jwk{qw(kty crv x)} = ('OKP', 'Ed25519', base64url(substr $der, -32));
        @jwk{qw(kty crv x y)} = ('EC', 'P-256',
            map { base64url(substr $der, $_, 32) } -64, -32)
            if $self->{alg} eq 'ES256';
    }
    return { %jwk, %more };
}

sub jwks { return $json->encode({ keys => [map { $_->jwk } @_] }) }

1;
