# Headless Chromium, driven over its DevTools protocol.
#
#     my $page = Goim::Chromium->new->page("http://127.0.0.1:$port/");
#     $page->fill('#room', 'live://1');
#     $page->click('#enter');
#     $page->wait_js('document.querySelector("#state").textContent == "open"');
#     is_deeply [$page->errors], [];

package Goim::Chromium;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Goim::HTTP ();
use Goim::Proc ();
use Goim::Test qw(folder wait_for slurp);

# args => [more command line options]
sub new {
    my ($class, %arg) = @_;
    my $dir = folder('chromium');

    my $self = $class->SUPER::new(name => 'chromium', dir => $dir,
        log => "$dir/chromium.out",
        env => { HOME => $dir, XDG_CONFIG_HOME => "$dir/config",
            XDG_CACHE_HOME => "$dir/cache" },
        cmd => ['chromium', '--headless=new', '--no-sandbox',
            '--disable-gpu', '--disable-dev-shm-usage',
            '--disable-background-networking', '--disable-sync',
            '--disable-component-update', '--no-first-run',
            '--no-default-browser-check', '--mute-audio',
            '--disable-background-timer-throttling',
            '--disable-renderer-backgrounding',
            '--disable-backgrounding-occluded-windows',
            '--ignore-certificate-errors', '--remote-debugging-port=0',
            "--user-data-dir=$dir/profile", @{ $arg{args} || [] },
            'about:blank']);

    $self->start;
    my $file = "$dir/profile/DevToolsActivePort";
    wait_for {
        die "chromium ended:\n" . slurp("$dir/chromium.out")
            if !$self->alive;
        -s $file && slurp($file) =~ /^(\d+)\n/ and $self->{port} = $1;
    } 60, 'chromium starts';
    return $self;
}

# a new tab that shows $url
sub page {
    my ($self, $url) = @_;
    my $base = "http://127.0.0.1:$self->{port}";
    my $res = Goim::HTTP::request('PUT', "$base/json/new?about:blank");
    die "chromium: $res->{status} $res->{content}\n" if !$res->{json};
    my $page = Goim::Chromium::Page->new($self->{port},
        $res->{json}{webSocketDebuggerUrl});
    $page->open($url) if defined $url;
    return $page;
}


package Goim::Chromium::Page;

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes ();

use Goim::Test qw(slow wait_for);
use Goim::WS ();

my $json = JSON::PP->new->utf8->allow_nonref;

sub new {
    my ($class, $port, $url) = @_;
    my ($path) = $url =~ m{^ws://[^/]+(/.*)};
    my $self = bless { id => 0, events => [], errors => [], console => [] },
        $class;
    $self->{ws} = Goim::WS->new(port => $port, path => $path, timeout => 30);
    $self->cmd($_) for qw(Page.enable Runtime.enable Log.enable
        Network.enable);
    return $self;
}

# one command of the protocol; its result
sub cmd {
    my ($self, $method, %params) = @_;
    my $id = ++$self->{id};
    my $end = Time::HiRes::time() + 30 * slow();

    $self->{ws}->send_text($json->encode({ id => $id, method => $method,
        params => \%params }));

    while (1) {
        my $left = $end - Time::HiRes::time();
        my $m = $left > 0 && $self->{ws}->recv($left)
            or die "chromium: no answer to $method\n";
        my $data = $json->decode($m->{data});
        if (!defined $data->{id}) {
            $self->_event($data);
        } elsif ($data->{id} == $id) {
            die "chromium: $method: $data->{error}{message}\n"
                if $data->{error};
            return $data->{result};
        }
    }
}

sub _event {
    my ($self, $e) = @_;
    my $p = $e->{params};

    if ($e->{method} eq 'Runtime.exceptionThrown') {
        my $d = $p->{exceptionDetails};
        push @{ $self->{errors} }, $d->{exception}{description} || $d->{text};
    } elsif ($e->{method} eq 'Log.entryAdded') {
        push @{ $self->{errors} }, "$p->{entry}{text} "
            . ($p->{entry}{url} || '') if $p->{entry}{level} eq 'error';
    } elsif ($e->{method} eq 'Runtime.consoleAPICalled') {
        my $text = join ' ', map { defined $_->{value} ? $_->{value}
            : $_->{description} || $_->{type} } @{ $p->{args} };
        push @{ $self->{console} }, "$p->{type}: $text";
        push @{ $self->{errors} }, $text if $p->{type} eq 'error';
    } elsif ($e->{method} eq 'Page.loadEventFired') {
        $self->{loaded} = 1;
    }
}

sub open {
    my ($self, $url) = @_;
    $self->{loaded} = 0;
    my $r = $self->cmd('Page.navigate', url => $url);
    die "chromium: $url: $r->{errorText}\n" if $r->{errorText};
    wait_for {
        $self->{loaded} || $self->eval('document.readyState') eq 'complete';
    } 30, "$url is loaded";
    return $self;
}

# The value of an expression (promises are awaited); dies with its exception.
sub eval {
    my ($self, $expr) = @_;
    my $r = $self->cmd('Runtime.evaluate', expression => $expr,
        awaitPromise => JSON::PP::true(), returnByValue => JSON::PP::true(),
        userGesture => JSON::PP::true());
    if (my $d = $r->{exceptionDetails}) {
        die 'JavaScript: ' . ($d->{exception}{description} || $d->{text})
            . "\n";
    }
    return $r->{result}{value};
}

# Wait until an expression is true; its value.
sub wait_js {
    my ($self, $expr, $timeout, $what) = @_;
    return wait_for { $self->eval($expr) } $timeout || 20, $what || $expr;
}

sub _element { return 'document.querySelector(' . $json->encode($_[0]) . ')' }

sub text {
    my ($self, $selector) = @_;
    return $self->eval(_element($selector) . '.textContent');
}

sub click {
    my ($self, $selector) = @_;
    return $self->eval(_element($selector) . '.click()');
}

# set a form field as a person would: with its events
sub fill {
    my ($self, $selector, $value) = @_;
    my $v = JSON::PP->new->ascii->allow_nonref->encode("$value");
    return $self->eval("{ const e = @{[_element($selector)]}; e.value = $v;"
        . " e.dispatchEvent(new Event('input', { bubbles: true }));"
        . " e.dispatchEvent(new Event('change', { bubbles: true })); }");
}

# exceptions and errors of the console so far
sub errors {
    my ($self) = @_;
    $self->eval('1');
    return @{ $self->{errors} };
}

sub close { my ($self) = @_; $self->cmd('Page.close'); $self->{ws}->drop }

1;
