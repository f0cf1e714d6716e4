#!/usr/bin/perl
# The application of ./demo.sh, which says who its users are: it signs the tokens
# that they show to ngx_goim, which has the public key alone.
#
#     demo-app.pl SOCKET KEY SECONDS
#
# GET /token?mid=7 answers a token of user 7, good for SECONDS. Whoever asks is
# believed: a real application would look here who has logged in to it. It needs
# perl-base and openssl, and writes beside KEY.

use strict;
use warnings;

use IO::Socket::UNIX;

my ($socket, $key, $seconds) = @ARGV;
die "usage: $0 SOCKET KEY SECONDS\n" if !defined $seconds;

$| = 1;
$SIG{PIPE} = 'IGNORE';


sub base64url {
    my $text = pack 'u', $_[0];

    $text =~ s/^.//mg;
    $text =~ tr{` -_\n}{AA-Za-z0-9\-_}d;
    return substr $text, 0, int((length($_[0]) * 4 + 2) / 3);
}


sub token {
    my ($mid) = @_;
    my $now = time;
    my $end = $now + $seconds;

    # who it is and what it may: docs/logic.conf.md has all claims
    my $claims = <<"JSON";
{
    "sub": "$mid",
    "aud": "goim-demo",
    "iat": $now,
    "exp": $end,
    "rooms": ["live://*"],
    "ops": [22, "1000-1999"],
    "send": { "rooms": ["live://*"], "ops": ["1000-1999"], "mids": true },
    "im": {}
}
JSON

    my $text = base64url('{"alg":"EdDSA","typ":"JWT"}') . '.'
        . base64url($claims);

    open my $file, '>', "$key.text" or die "$key.text: $!";
    print $file $text;
    close $file or die "$key.text: $!";

    open my $openssl, '-|', qw(openssl pkeyutl -sign -rawin -inkey), $key,
        '-in', "$key.text" or die "openssl: $!";
    local $/;
    my $signature = <$openssl>;
    close $openssl or die "openssl failed\n";

    return "$text." . base64url($signature);
}


sub answer {
    my ($request) = @_;
    my ($method, $path, $query)
        = $request =~ m{^(\S+) ([^\s?]+)(?:\?(\S*))? HTTP/1};

    return (400, 'not understood') if !defined $path;
    return (404, 'not found') if $path ne '/token';
    return (405, 'it is to be a GET') if $method ne 'GET';

    my ($mid) = ($query // '') =~ /(?:^|&)mid=([1-9][0-9]{0,17})(?:&|$)/;

    return (400, 'mid is missing or no number') if !defined $mid;

    my $token = eval { token($mid) };

    if (!defined $token) {
        print "no token for $mid: $@";
        return (500, 'no token can be made');
    }

    print "token for $mid\n";
    return (200, $token);
}


# The head of a request, as nginx passes one on: whole, and soon.
sub head {
    my ($client) = @_;
    my $head = '';

    eval {
        local $SIG{ALRM} = sub { die "too slow\n" };
        alarm 5;

        while ($head !~ /\r\n\r\n/ && length $head < 16384) {
            sysread $client, $head, 4096, length $head or last;
        }
    };

    alarm 0;
    return $head;
}


my $listener = IO::Socket::UNIX->new(Local => $socket, Listen => 64)
    or die "$socket: $!\n";

while (1) {
    my $client = $listener->accept or next;
    my ($status, $body) = answer(head($client));

    print $client "HTTP/1.0 $status -\r\nContent-Type: text/plain\r\n",
        "Cache-Control: no-store\r\nContent-Length: ", length $body,
        "\r\n\r\n$body";
}
