# logic's HTTP API as a backend calls it. Each call returns the decoded JSON
# answer; ->{http} holds the HTTP status.
#
#     my $api = Goim::API->new($port);
#     is $api->room(1000, 'live', '1', 'hello')->{code}, 0;

package Goim::API;

use strict;
use warnings;

use Goim::HTTP ();

sub new {
    my ($class, $port, %arg) = @_;
    return bless { base => "http://127.0.0.1:$port", %arg }, $class;
}

sub request {
    my ($self, $method, $path, $query, %arg) = @_;
    my $q = $query && @$query ? '?' . Goim::HTTP::query(@$query) : '';
    my $res = Goim::HTTP::request($method, "$self->{base}$path$q",
        timeout => $self->{timeout} || 30, %arg);
    my $json = ref $res->{json} eq 'HASH' ? $res->{json} : {};
    return { %$json, http => $res->{status}, text => $res->{content},
        headers => $res->{headers} };
}

sub post {
    my ($self, $path, $query, $body) = @_;
    return $self->request('POST', $path, $query,
        content => defined $body ? $body : '');
}

sub get {
    my ($self, $path, @query) = @_;
    return $self->request('GET', $path, \@query);
}

sub keys {
    my ($self, $op, $keys, $body) = @_;
    return $self->post('/goim/push/keys',
        [operation => $op, keys => $keys], $body);
}

sub mids {
    my ($self, $op, $mids, $body) = @_;
    return $self->post('/goim/push/mids',
        [operation => $op, mids => $mids], $body);
}

sub room {
    my ($self, $op, $type, $room, $body) = @_;
    return $self->post('/goim/push/room',
        [operation => $op, type => $type, room => $room], $body);
}

sub all {
    my ($self, $op, $body, $speed) = @_;
    return $self->post('/goim/push/all',
        [operation => $op, speed => $speed], $body);
}

sub online_top {
    my ($self, $type, $limit) = @_;
    return $self->get('/goim/online/top', type => $type, limit => $limit);
}

sub online_room {
    my ($self, $type, $rooms) = @_;
    return $self->get('/goim/online/room', type => $type, rooms => $rooms);
}

sub online_mids     { return $_[0]->get('/goim/online/mids', mids => $_[1]) }
sub online_total    { return $_[0]->get('/goim/online/total') }
sub nodes_weighted  { return $_[0]->get('/goim/nodes/weighted',
                        platform => $_[1]) }
sub nodes_instances { return $_[0]->get('/goim/nodes/instances') }

1;
