# HTTP requests of the tests, and the readers of what comes back.

package Goim::HTTP;

use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP ();

my %agents;

# { status, content, headers, json (when it is JSON) }
sub request {
    my ($method, $url, %arg) = @_;
    my $timeout = delete $arg{timeout} || 30;
    my $http = $agents{"$$/$timeout"} ||= HTTP::Tiny->new(
        timeout => $timeout, keep_alive => 1, max_redirect => 0,
        verify_SSL => 0);
    my $res = $http->request($method, $url, \%arg);
    my $json = eval { JSON::PP->new->utf8->allow_nonref->decode(
        $res->{content}) };
    $res->{json} = $json if defined $json;
    return $res;
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
