# The application is told what clients have sent: to rooms and users, over
# sockets and HTTP; not what was refused.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Events;
use Goim::HTTP;
use Goim::Sender;
use Goim::Test;
use JSON::PP ();

my $told = Goim::Events->new(types => 'message');
my $c = Goim::Cluster->new(logic => { Goim::Sender::logic($told->conf) });
my $one = enters($c, mid => 7, key => 'k/7',
    send => { rooms => ['live://*'], mids => JSON::PP::true });

is send_to($one, { to => 'live://1', id => 'a1' }, 'hello')->{code}, 0,
    'to a room';
is send_to($one, { mids => [7, 8] }, 'hi')->{code}, 0, 'to users';
isnt send_to($one, { to => 'other://1' }, 'no')->{code}, 0, 'one is refused';
my $res = Goim::HTTP::request('POST',
    "http://127.0.0.1:" . $c->logic->{http_port} . '/goim/send',
    headers => { Authorization => 'Bearer '
        . token(mid => 9, send => { rooms => ['live://*'] }) },
    content => qq({"to":"live://2","operation":1001}\nover HTTP));
is $res->{json}{code}, 0, 'over HTTP' or diag $res->{content};

my @got;
eventually { @got = grep { $_->{type} ne 'reset' } $told->events; @got == 3 }
    20, 'three are told';
like delete $_->{id}, qr/^\d+-\d+$/, 'with an id' for @got;
ok abs(delete($_->{at}) / 1000 - time) < 60, 'when' for @got;
is_deeply \@got, [
    { type => 'message', mid => 7, key => 'k/7', room => 'live://1',
        operation => 1000, bytes => 5, message_id => 'a1' },
    { type => 'message', mid => 7, key => 'k/7', room => '', mids => [7, 8],
        operation => 1000, bytes => 2 },
    { type => 'message', mid => 9, key => '', room => 'live://2',
        operation => 1001, bytes => 9 },
], 'what, by whom, where';

done_testing;
