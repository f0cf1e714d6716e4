# Certificates of a test: an authority of its own, and what it vouches for.
#
#     my $ca = Goim::TLS->new;
#     my ($cert, $key) = $ca->cert('redis', names => ['redis.test'],
#         ips => ['127.0.0.1']);
#     ... $ca->file ...

package Goim::TLS;

use strict;
use warnings;

use IO::Socket::SSL::Utils qw(CERT_create CERT_free KEY_free KEY_create_ec
    PEM_cert2file PEM_key2file);

use Goim::Test qw(folder);

my $made = 0;

sub new {
    my ($class, $name) = @_;
    my $self = bless { dir => folder('tls') }, $class;
    my $key = KEY_create_ec('prime256v1');

    @$self{qw(cert key)} = CERT_create(CA => 1, key => $key,
        serial => ++$made, subject => { CN => $name || 'ca' });
    PEM_cert2file($self->{cert}, $self->file);
    return $self;
}

sub file { return "$_[0]{dir}/ca.pem" }

# (certificate, key): files; names, ips => [...], expired => 1; of the same name
# again: the same files, anew
sub cert {
    my ($self, $name, %arg) = @_;
    my @files = map { "$self->{dir}/$name.$_" } qw(pem key);
    my @names = (map({ [DNS => $_] } @{ $arg{names} || [] }),
        map({ [IP => $_] } @{ $arg{ips} || [] }));
    my ($cert, $key) = CERT_create(
        key => KEY_create_ec('prime256v1'), serial => ++$made,
        issuer => [@$self{qw(cert key)}], subject => { CN => $name },
        @names ? (subjectAltNames => \@names) : (),
        purpose => 'server,client',
        not_before => time - 7200, not_after => time
            + ($arg{expired} ? -3600 : 86400));

    PEM_cert2file($cert, $files[0]);
    PEM_key2file($key, $files[1]);
    CERT_free($cert);
    KEY_free($key);
    return @files;
}

1;
