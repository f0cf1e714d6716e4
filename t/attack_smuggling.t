# A request hidden in another, at every listener: HTTP whose end can be read in two
# ways, directly and through a proxy of nginx's that denies the hidden one; and a
# page's HTTP request to ports that do not speak it, with what they do speak inside.
#
# ASAN: no (http_wire.t, tcp.t, read_rpc.t take these ways there)

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Cluster;
use Goim::HTTP;
use Goim::Packet qw(pack_packet);
use Goim::RPC;
use Goim::Socket;
use Time::HiRes ();

my $public = free_port();
my $c = Goim::Cluster->new(nginx => { tcp => 1 }, logic => { conf => {
    logic => { threads => 1 }, http => { public => "127.0.0.1:$public" } } });
my ($node, $logic, $job) = ($c->node, $c->logic, $c->job);
my $victim = $c->client(mid => 1, key => 'victim', room => 'live://1',
    accepts => [1000]);

my $push = "POST /goim/push/room?operation=1000&type=live&room=1 HTTP/1.1\r\n"
    . "Host: localhost\r\nContent-Length: 6\r\n\r\nhidden";

# [name, request]: $line is its first line, without the end
sub ambiguous {
    my ($line, $hidden) = @_;
    my $head = "$line\r\nHost: localhost\r\n";
    my $n = length $hidden;
    my $chunks = "0\r\n\r\n$hidden";
    my $length = "Content-Length: $n\r\n";

    return (
        ['two lengths', "${head}Content-Length: 0\r\n$length\r\n$hidden"],
        ['length and chunked',
            "${head}${length}Transfer-Encoding: chunked\r\n\r\n$chunks"],
        ['chunked and length',
            "${head}Transfer-Encoding: chunked\r\n$length\r\n$chunks"],
        map({ ["a coding of $_->[0]", "${head}Transfer-Encoding:$_->[1]\r\n"
            . "$length\r\n$chunks"] }
            ['a tab', "\tchunked"], ['a vertical tab', "\x0bchunked"],
            ['two', ' identity, chunked'], ['x', ' xchunked'],
            ['quotes', ' "chunked"'], ['a NUL', " chunked\0"]),
        ['a blank before the colon',
            "${head}Transfer-Encoding : chunked\r\n$length\r\n$chunks"],
        ['a folded header',
            "${head}Transfer-Encoding:\r\n chunked\r\n$length\r\n$chunks"],
        ['a bare CR', "${head}X: y\rTransfer-Encoding: chunked\r\n$length\r\n"
            . $chunks],
        ['a chunk of size 0x0', "${head}Transfer-Encoding: chunked\r\n\r\n"
            . "0x0\r\n\r\n$hidden"],
        ['a chunk of size 2^64', "${head}Transfer-Encoding: chunked\r\n\r\n"
            . "10000000000000000\r\n\r\n$hidden"],
        ['a line end in the target', $line =~ s/(?= HTTP)/%0d%0a\r\n$push/r
            . "\r\nHost: localhost\r\n\r\n"],
    );
}

# what a proxy may pass on as it is, or make anew
sub passed {
    my ($line, $hidden) = @_;
    my $head = "$line\r\nHost: localhost\r\n";
    my $n = length $hidden;
    my $chunk = sprintf("%x\r\n", $n) . "$hidden\r\n0\r\n";

    return (
        ['a body that is one', "${head}Content-Length: $n\r\n\r\n$hidden"],
        ['bare LFs', "$line\nHost: localhost\nContent-Length: $n\n\n$hidden"],
        ['a chunk that is one',
            "${head}Transfer-Encoding: chunked\r\n\r\n$chunk\r\n"],
        ['a length in a trailer', "${head}Transfer-Encoding: chunked\r\n\r\n"
            . "0\r\nContent-Length: $n\r\n\r\n$hidden"],
        ['a chunk extension', "${head}Transfer-Encoding: chunked\r\n\r\n"
            . "0;x=\"\r\n\r\n$hidden"],
        ['HTTP/1.0', ($line =~ s/1\.1$/1.0/r) . "\r\nConnection: keep-alive\r\n"
            . "Content-Length: $n\r\n\r\n$hidden"],
    );
}

# all that comes until the other side closes, or is silent for a while after an
# answer
sub talk {
    my ($s, $data) = @_;
    my $end = Time::HiRes::time() + 15 * slow();
    eval { $s->write($data) };
    while (!$s->eof && Time::HiRes::time() < $end) {
        $s->wait_read($s->{buf} =~ /^HTTP/ ? Time::HiRes::time() + 0.2 : $end)
            or last;
    }
    return $s->{buf};
}

sub answers { return [$_[0] =~ m{^HTTP/1\.[01] (\d{3}) }mg] }

# nothing that was hidden has come: what is pushed now is the next
sub nothing_hidden {
    my ($where) = @_;
    $c->api->room(1000, 'live', '1', "after $where");
    is $victim->push->{body}, "after $where", "$where: nothing hidden was done";
}

# the code of another one's answer, by the proxy
sub others {
    my $res = Goim::HTTP::get(
        "http://127.0.0.1:$node->{port}/goim/online/total");
    return $res->{json} && exists $res->{json}{data}{conn_count}
        ? $res->{json}{code} : $res->{content};
}

# ---- directly ----------------------------------------------------------------

for (['logic', $logic->{http_port}, 'POST /goim/push/all?operation=1000'],
    ['its public listener', $public, 'POST /goim/send'],
    ['job', $job->{http_port}, 'GET /health'])
{
    my ($where, $port, $line) = @$_;
    my $next = $where eq 'logic' ? $push
        : "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

    for (ambiguous("$line HTTP/1.1", $next)) {
        my ($name, $data) = @$_;
        my $said = answers(talk(Goim::Socket->new(port => $port), $data));
        ok @$said == 1 && $said->[0] =~ /^(400|501)$/,
            "$where, $name: refused, and nothing more"
            or diag explain $said;
    }
    nothing_hidden($where);
}

# ---- through a proxy ---------------------------------------------------------

my $proxy = 'proxy_pass http://back; proxy_http_version 1.1;'
    . ' proxy_set_header Connection ""; proxy_set_header Host $host;';
$node->configure(
    http => "upstream back { server 127.0.0.1:$logic->{http_port};"
        . ' keepalive 8; }',
    server => "location /goim/online/ { $proxy }"
        . " location /goim/nodes/ { $proxy proxy_request_buffering off; }"
        . ' location /goim/push/ { deny all; }');
$node->reload;
eventually { others() eq '0' } 20, 'the proxy is there';

for my $path ('/goim/online/total', '/goim/nodes/weighted') {
    for my $method (qw(GET POST)) {
        for (ambiguous("$method $path HTTP/1.1", $push),
            passed("$method $path HTTP/1.1", $push))
        {
            my ($name, $data) = @$_;
            my $said = answers(talk(Goim::Socket->new(port => $node->{port}),
                $data));
            ok @$said <= 2 && !grep({ $_ eq '200' } @$said[1 .. $#$said]),
                "$method $path, $name: the next is denied, if it is one"
                or diag explain $said;
        }

        # who uses the same connection to logic gets his own answer
        is others(), 0, 'others get their answers' for 1 .. 8;
    }
    nothing_hidden("behind $path");
}

# ---- HTTP where none is spoken -----------------------------------------------

my $auth = pack_packet(7, '{"mid":9,"key":"victim"}', seq => 1);
my $packed = Goim::RPC::frame(Goim::RPC::packed(
    { server => 'evil', zone => 'a1' }, 1, hello => {}))
    . Goim::RPC::frame(Goim::RPC::packed({ server => 'evil', zone => 'a1' }, 2,
        connect => { session => 1, token => '{"mid":9,"key":"victim"}' }));

for (['TCP', $node->{tcp_port}, $auth], ['RPC', $logic->{rpc_port}, $packed]) {
    my ($where, $port, $body) = @$_;

    for my $method (qw(POST GET OPTIONS)) {
        my $s = Goim::Socket->new(port => $port);
        is talk($s, "$method / HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n"
            . "Content-Length: " . length($body) . "\r\n\r\n$body"), '',
            "$where: no answer to $method";
        ok $s->eof, 'but an end';
    }
}
ok $victim->heartbeat, 'nobody has taken the key';
nothing_hidden('ports that are not HTTP');

done_testing;
