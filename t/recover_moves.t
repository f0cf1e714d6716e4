# ASAN: no (it is about waiting)
#
# Clients that recover, and others, while nodes and jobs change places: a node is
# upgraded, one is drained, one is reloaded with a worker that stands still and
# five times with one that a request holds, and two jobs come and go every two
# seconds.

use strict;
use warnings;

use IO::Socket::INET ();
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Audience;
use Goim::HTTP;
use Goim::Socket;
use Goim::Test;

# nobody answers there
my $long = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
my $c = with_history(nodes => 2, jobs => 2, workers => 2,
    nginx => { tcp => 1, daemon => 1, goim => { drain => '1s' },
    server => 'location /long { proxy_pass http://127.0.0.1:'
        . $long->sockport . '; }',
    main => 'worker_shutdown_timeout 5s;' });

through('an upgrade, a drain, reloads with workers that stand still or are held',
    $c, fault => sub {
        my ($self) = @_;
        my $old = $c->node(0)->upgrade;
        sleep 0.5;
        hit QUIT => $old;

        my $url = "http://127.0.0.1:$c->{nodes}[1]{port}/goim/status";
        Goim::HTTP::request(POST => "$url?drain=on");
        sleep 1.5;
        Goim::HTTP::request(POST => "$url?drain=off");

        my ($held) = $c->node(1)->workers;
        hit STOP => $held;
        $c->node(1)->signal('HUP');
        sleep 2;
        hit CONT => $held;

        my $request = Goim::Socket->new(port => $c->node(1)->{port});
        $request->write("GET /long HTTP/1.0\r\n\r\n");
        my $answer = $long->accept;
        for (1 .. 5) {
            $c->node(1)->reload;
            sleep 0.3;
        }
        cmp_ok $c->node(1)->draining, '>', 0, 'a worker is held';
    });

through('jobs that come and go', $c, fault => sub {
    for my $turn (0 .. 3) {
        my $job = $c->job($turn % 2);
        $turn < 2 ? $job->stop : $job->kill9;
        sleep 0.5;
        $job->start;
        sleep 1.5;
    }
});

done_testing;
