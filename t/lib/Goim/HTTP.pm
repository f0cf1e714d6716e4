# HTTP requests of the tests, and the readers of what comes back. A request is
# one write, as of most backends' clients; connections are kept.

package Goim::HTTP;

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes ();

use Goim::Socket ();

my %idle;           # "$$ host:port" => Goim::Socket

# { status, content, headers, json (when it is JSON) }; status 599: no answer,
# content says why. Parameters: headers => { }, content, timeout => s (30)
sub request {
    my ($method, $url, %arg) = @_;
    my ($host, $port, $path) = $url =~ m{^http://([^/:]+):(\d+)(/.*)?$}
        or die "not an address: $url\n";
    my $end = Time::HiRes::time() + ($arg{timeout} || 30);
    my $text = "$method " . ($path || '/') . " HTTP/1.1\r\n";
    my %header = (Host => "$host:$port", %{ $arg{headers} || {} });

    $text .= "$_: $header{$_}\r\n" for sort keys %header;
    $text .= 'Content-Length: ' . length($arg{content}) . "\r\n"
        if defined $arg{content};
    $text .= "\r\n";
    $text .= $arg{content} if defined $arg{content};

    my $s = delete $idle{"$$ $host:$port"};

    # a connection that was kept may have been closed meanwhile
    undef $s if $s && ($s->fill || $s->eof);

    my $res = eval {
        $s ||= Goim::Socket->new(host => $host, port => $port);
        exchange($s, $text, $method, $end);
    };
    return { status => 599, content => $@ || "no answer\n", headers => {} }
        if !$res;

    $idle{"$$ $host:$port"} = $s
        if !$s->eof && lc($res->{headers}{connection} || '') ne 'close';
    my $json = eval { JSON::PP->new->utf8->allow_nonref->decode(
        $res->{content}) };
    $res->{json} = $json if defined $json;
    return $res;
}

sub exchange {
    my ($s, $text, $method, $end) = @_;
    $s->write($text);

    my $head = until_match($s, qr/\r\n\r\n/, $end);
    die "closed without an answer\n" if !defined $head;
    my ($status) = $head =~ m{^HTTP/1\.[01] (\d+)} or die "no HTTP: $head\n";
    my %headers = map { lc($_->[0]) => $_->[1] }
        map { [split /:\s*/, $_, 2] } grep { /:/ } split /\r\n/, $head;
    my $body = '';

    if ($method eq 'HEAD' || $status == 204 || $status == 304) {
        # none
    } elsif (lc($headers{'transfer-encoding'} || '') eq 'chunked') {
        while (1) {
            my $line = until_match($s, qr/\r\n/, $end);
            die "cut off\n" if !defined $line;
            my $n = hex(($line =~ /^([0-9a-f]+)/i)[0] // die "chunk: $line");
            $body .= take($s, $n, $end);
            take($s, 2, $end);
            last if !$n;
        }
    } elsif (defined $headers{'content-length'}) {
        $body = take($s, $headers{'content-length'}, $end);
    } else {
        1 while !$s->eof && $s->wait_read($end);
        ($body, $s->{buf}) = ($s->{buf}, '');
    }
    return { status => $status, headers => \%headers, content => $body };
}

# everything up to and with the match, taken away; undef: it ended before
sub until_match {
    my ($s, $re, $end) = @_;
    while (1) {
        return substr $s->{buf}, 0, $+[0], '' if $s->{buf} =~ $re;
        return undef if $s->eof;
        $s->wait_read($end) or die "no answer in time\n";
    }
}

sub take {
    my ($s, $n, $end) = @_;
    while (length $s->{buf} < $n) {
        die "cut off\n" if $s->eof;
        $s->wait_read($end) or die "no answer in time\n";
    }
    return substr $s->{buf}, 0, $n, '';
}

sub get  { return request('GET', @_) }
sub post { return request('POST', @_) }

sub escape {
    my ($text) = @_;
    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

# (a => 1, keys => ['x', 'y']) -> "a=1&keys=x&keys=y"
sub query {
    my @args = @_;
    my @parts;
    while (my ($name, $value) = splice @args, 0, 2) {
        next if !defined $value;
        push @parts, map { "$name=" . escape($_) }
            ref $value ? @$value : $value;
    }
    return join '&', @parts;
}

# Prometheus text as { 'name' or 'name{labels}' => value }
sub metrics {
    my ($url) = @_;
    my $res = get($url);
    die "metrics: $res->{status} $res->{content}\n" if $res->{status} != 200;
    return parse_metrics($res->{content});
}

sub parse_metrics {
    my ($text) = @_;
    my %m;
    for my $line (split /\n/, $text) {
        next if $line =~ /^(?:#|$)/;
        $line =~ /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/
            or die "not a metric: $line\n";
        $m{$1} = $2;
    }
    return \%m;
}

1;
