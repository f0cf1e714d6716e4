# A command that the database refuses is kept for whoever looks after it, in a topic
# of Kafka's or in Redis: not before that does the bus move past it, whoever is
# killed. It can be looked at, and sent again, as docs/operations.md has it.
#
# ASAN: no (im_bounds.t and send_kafka.t take these ways there)

use strict;
use warnings;

use IO::Socket::INET ();

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Proto qw(proto_decode);
use Goim::Sender;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:im: a command of 1 is given up: .*poison
    |bus:\ not\ written\ to\ the-dead: )/x);

my ($c, $db);

# until they are allowed none can be kept
my %refuse = (
    redis => sub { $c->redis->cmd('SET', 'goim:dead', 'x') },
    kafka => sub { wait_for { eval { $c->kafka->admin('limit', 'the-dead', 1); 1 } }
        20, 'the topic is there' },
);
my %allow = (
    redis => sub { $c->redis->cmd('DEL', 'goim:dead') },
    kafka => sub { $c->kafka->admin('limit', 'the-dead', 1 << 20) },
);

sub kcat {
    my (@args) = @_;
    my $said = `timeout 20 kcat -b @{[$c->kafka->plain]} @args`;
    die "kcat: $?\n" if $?;
    return $said;
}

# what is kept: where it lies, where it was, why, whose it was, the command
my %kept = (
    redis => sub {
        return map { my %e = %{ $_->[1] };
            { at => $_->[0], from => "goim:bus:im:$e{partition} $e{offset}",
                partition => $e{partition}, why => $e{why}, key => $e{conv},
                v => $e{v} } } $c->redis->xrange('goim:dead');
    },
    kafka => sub {
        my %of = map { my ($at, $key, $why, @from)
            = m{^(\d+\ \d+)\ (\S+)\ goim-why=(.*),goim-topic=(.*)
                ,goim-partition=(\d+),goim-offset=(\d+)$}x;
            $at => { at => $at, key => $key, why => $why,
                from => "@from[0 .. 2]", partition => $from[1] } }
            split /\n/, kcat("-C -q -e -t the-dead -f '%p %o %k %h\\n'");
        $of{"$_->[0] $_->[1]"}{v} = $_->[3] for $c->kafka->records('the-dead');
        return values %of;
    },
);

# where the newest commands are
my %places = (
    redis => sub { return map { my $key = $_;
        map { "$key $_->[0]" } $c->redis->xrange($key) } grep { /^goim:bus:im:\d+$/ }
        @{ $c->redis->cmd('KEYS', '*') } },
    kafka => sub { return map { "the-commands $_->[0] $_->[1]" }
        $c->kafka->records('the-commands') },
);

# by the words of the documentation
my $words = slurp('docs/operations.md');
my ($script) = $words =~ /redis-cli EVAL "(.*?)"/s;
my @kcat = $words =~ /^ {4}kcat -b \S+ (-C -q -t goim-dead .*|-P -t goim-im-topic .*)$/mg;

my %again = (
    redis => sub {
        my ($kept) = @_;
        $c->redis->cmd('EVAL', $script, 3, 'goim:dead', 'goim:bus:im:', 'goim:life',
            $kept->{at});
    },
    kafka => sub {
        my ($kept) = @_;
        my %is = ('goim-dead' => 'the-dead', 'goim-im-topic' => 'the-commands',
            command => "$c->{kafka}{dir}/command", 'p1.2' => $kept->{key});
        @is{qw(0 12)} = split / /, $kept->{at};
        for (@kcat) {
            $is{3} = $kept->{partition};
            kcat(s/(?<= |>)([\w.-]+)(?= |$)/$is{$1} \/\/ $1/gre);
        }
    },
);

sub refused {
    my ($bus) = @_;
    my %before = map { $_ => 1 } $places{$bus}->();
    $refuse{$bus}->();

    # nobody waits for the answer
    my $socket = IO::Socket::INET->new("127.0.0.1:$c->{logics}[0]{http_port}")
        or die "connect: $@\n";
    print $socket "POST /goim/im/send?mid=1&to=2&id=poison HTTP/1.1\r\n"
        . "Host: localhost\r\nContent-Length: 5\r\n\r\nhello";

    eventually { $c->job->metrics->{goim_job_im_retries_total} > 0 } 20,
        'it can not be kept: job tries again';
    $c->job->kill9;
    $c->job->start;
    eventually { $c->job->metrics->{goim_job_im_retries_total} > 0 } 30,
        'so does the job after it';
    is($c->job->metrics->{goim_job_im_given_up_total}, 0, 'it is not given up yet');
    my ($from) = grep { !$before{$_} } $places{$bus}->();

    $allow{$bus}->();
    eventually { $c->job->metrics->{goim_job_im_given_up_total} == 1 } 30,
        'it is, as soon as it is kept';
    my ($kept, @more) = $kept{$bus}->();
    is(scalar @more, 0, 'once');
    is($kept->{from}, $from, 'with where it was');
    is($kept->{key}, 'p1.2', 'and whose');
    like($kept->{why}, qr/poison/, 'and why it was refused');
    my $command = proto_decode('ImCommand', $kept->{v});
    is("$command->{mid} $command->{id} $command->{body}", '1 poison hello',
        'as it is');
    is($c->api->post('/goim/im/send', [mid => 1, to => 2, id => 'next'],
        'next')->{data}{seq}, 2, 'those behind it are stored');
    return $kept;
}

sub sent_again {
    my ($bus, $kept) = @_;
    my $poison = [mid => 1, to => 2, id => 'poison'];
    is($c->api->post('/goim/im/send', $poison, 'hello')->{code}, -500,
        'the same again is answered');
    is(scalar(() = $kept{$bus}->()), 2, 'and kept');

    $db->sql('DROP TRIGGER poison');
    $again{$bus}->($_) for $kept{$bus}->();
    eventually { $db->sql("SELECT body FROM message WHERE cid = 'poison'")
        =~ /^hello$/ } 30, 'one that is sent again is stored';
    is($c->api->post('/goim/im/send', $poison, 'hello')->{data}{seq}, 3, 'once');
    is($c->api->post('/goim/im/send', [mid => 1, to => 2, id => 'last'],
        'last')->{data}{seq}, 4, 'and those behind it');
}

for my $bus (qw(redis kafka)) {
    subtest $bus => sub {
        $db = Goim::IM->new('sqlite');
        my %im = (im => { db => $db->url, topic => 'the-commands' });
        $c = Goim::Cluster->new(bus => $bus, logic => { Goim::Sender::logic(%im) },
            job => { conf => { im => { %{ $im{im} }, dead_topic => 'the-dead' } } });
        eventually { $c->api->post('/goim/im/send', [mid => 1, to => 2,
            id => 'x'], 'x')->{code} == 0 } 20, 'it is ready';

        $db->sql("CREATE TRIGGER poison BEFORE INSERT ON message WHEN "
            . "NEW.cid = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END");
        sent_again($bus, refused($bus));
    };
}

done_testing;
