# The demo page of a user whose token lets it send: its messages go by the
# connection, as that user, and what is refused is said. In headless Chromium.

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Test;
use Goim::Chromium;
use Goim::Cluster;
use Goim::Sender;
use JSON::PP ();

my $c = Goim::Cluster->new(logic => { Goim::Sender::logic(
    send => { max_size => 100, mid_rate => '0.01', mid_burst => 5 }) });
my $node = $c->node;
my $page = Goim::Chromium->new->page("http://127.0.0.1:$node->{port}/rooms.html");

sub joins {
    my ($room, %claims) = @_;
    my $token = token(%claims, accepts => [1000]);
    $page->open("http://127.0.0.1:$node->{port}/rooms.html");
    $page->fill('#room', $room);
    $page->fill('#token', $token);
    $page->click('#enter');
    $page->wait_js(
        q{document.documentElement.dataset.state === 'open'}, 20, 'it is in');
    return $token;
}

# what the page says of a message
sub says {
    my (%form) = @_;
    $page->eval(q{document.querySelector('#result').textContent = ''});
    $page->fill("#$_", $form{$_}) for grep { defined $form{$_} }
        qw(target who operation text);
    $page->click('#submit');
    return $page->wait_js(q{document.querySelector('#result').textContent});
}

my $listener = enters($c, mid => 999, room => 'live://7');
my $token = joins('live://7', mid => 7, rooms => ['live://*'],
    send => { rooms => ['live://7'], mids => JSON::PP::true });

is says(text => "it's me"), 'Sent', 'to the room';
is $listener->push->{body}, "it's me", 'arrives';
eventually { $page->text('#list') =~ /it's me/ } 20, 'here, too';
is says(target => 'mids', who => '999', text => 'you'), 'Sent', 'to a user';
is $listener->push->{body}, 'you', 'arrives';
is $c->logic->metrics->{'goim_logic_sends_total{result="ok"}'}, 2,
    'both as a client';

$page->fill('#target', 'room');
$page->fill('#text', q{by 'curl' $HOME});
my $command = $page->text('#command');
unlike $command, qr/\Q$token\E/, 'the command line does not show the token';
{
    local $ENV{TOKEN} = $token;
    $command =~ s{http://127\.0\.0\.1:$node->{port}/}
        {http://127.0.0.1:$c->{logics}[0]{http_port}/} or die $command;
    like `$command -s 2>&1`, qr/"code":0/, 'it does the same';
    is $listener->push->{body}, q{by 'curl' $HOME}, 'arrives';
}

is says(operation => 999, text => 'x'),
    'Not sent: it may not send this operation', 'what is refused is said';
like says(operation => 1000, text => 'x' x 101), qr/^Not sent: the payload/,
    'too long';
is says(text => "n$_"), 'Sent', 'so often' for 1, 2;
is says(text => 'n3'), 'Not sent: too often', 'too often';
is_deeply [map { $_->{body} } $listener->pushes(2)], [qw(n1 n2)],
    'nothing else came';

joins('live://7', mid => 8, rooms => ['live://*']);
is says(target => 'room', text => 'pushed'), 'Accepted',
    'who may not send pushes, as a backend';
is $listener->push->{body}, 'pushed', 'arrives';
is $c->logic->metrics->{'goim_logic_sends_total{result="ok"}'}, 5,
    'it was no message of a client';
is_deeply [$page->errors], [], 'no errors' or diag explain [$page->errors];

done_testing;
