# A page that an operator visits can't push, though their browser reaches the
# HTTP API on loopback: neither by its address from a page of another site, nor
# by a name of the site's own that leads there (DNS rebinding). A real Chromium
# tries both.

# ASAN: no

use strict;
use warnings;

use lib 't/lib';
use Goim::Chromium;
use Goim::Logic;
use Goim::Nginx;
use Goim::RPC;
use Goim::Redis;
use Goim::Test;

my $redis = Goim::Redis->new;
my $logic = Goim::Logic->new(redis => $redis->addr,
    conf => { logic => { threads => 1 } });
my $site = Goim::Nginx->new(redis => $redis->addr, logic => $logic->rpc_addr,
    server => 'location /evil { return 200 "<p>evil"; default_type text/html; }');
my $page = Goim::Chromium->new(
    args => ['--host-resolver-rules=MAP *.test 127.0.0.1'])->page;
my $port = $logic->{http_port};

sub records { return scalar(() = Goim::RPC::pushes($redis)) }

sub refused {
    return Goim::HTTP::get("http://127.0.0.1:$port/metrics")->{content}
        =~ /^goim_logic_api_forbidden_total (\d+)/m ? $1 : undef;
}

# From a page at $from push to $to, as a script and as a form do: how many of
# both went into the bus, when both were answered.
sub pushes {
    my ($from, $to) = @_;
    my ($had, $none) = (records(), refused());
    my $url = "$to/goim/push/all?operation=9";

    $page->open($from);
    my ($origin) = $from =~ m{^(\w+://[^/]+)};
    is $page->eval('document.location.origin'), $origin, "at $from";
    $page->eval("fetch('$url', { method: 'POST', mode: 'no-cors', body: 'x' })"
        . '.then(() => 1, () => 0)');
    $page->eval(<<"JS");
        new Promise(done => {
            const form = document.createElement('form');
            const frame = document.createElement('iframe');
            frame.name = 'f';
            form.target = 'f';
            form.method = 'POST';
            form.action = '$url';
            document.body.append(frame, form);
            form.submit();
            setTimeout(done, 0);
        })
JS
    eventually { records() - $had + refused() - $none == 2 } 20,
        'both were answered';
    return records() - $had;
}

# that the browser does push where it may: a page of the API's own origin
is pushes("http://127.0.0.1:$port/health", "http://127.0.0.1:$port"), 2,
    'a page of its own pushes';
is pushes("http://localhost:$port/health", "http://localhost:$port"), 2,
    'also as localhost';

for my $to ("http://127.0.0.1:$port", "http://localhost:$port") {
    is pushes("http://evil.test:$site->{port}/evil", $to), 0,
        "another site to $to";
    is pushes("http://127.0.0.1:$site->{port}/evil", $to), 0,
        "another port of this machine to $to";
}
is pushes("http://evil.test:$port/health", "http://evil.test:$port"), 0,
    'a name that leads here';
is pushes("http://evil.test:$site->{port}/evil", "http://api.test:$port"), 0,
    'another one';

done_testing;
