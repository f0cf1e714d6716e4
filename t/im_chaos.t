# Messages between people while each part is killed, stopped and started again:
# each that was accepted is stored once, all members see one order, each device has
# every entry of its user's inbox once, nothing is seen that is not stored, cursors
# never go back, what is unread is what a recount says, and nobody is told of a loss.

# ASAN: no

use strict;
use warnings;

use IO::Select ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Sender;
use Goim::Test;

my $json = JSON::PP->new->canonical;
my $inbox = 'im://inbox';
my @users = 1 .. 6;
my $group = 'g1.all';
my ($c, $pg);

allow_log(qr/exited on signal 9/);
allow_log(qr/\[error\] \d+: (?:postgresql|sqlite): /);

# ---- who sends: a process of its own -----------------------------------------

# each until it is accepted, and how far somebody has read; what was accepted goes
# to $file
sub poster {
    my ($n, $file, $end) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;

    srand $n;
    open my $out, '>', $file or POSIX::_exit(2);
    $out->autoflush;
    my @apis = map { $_->api } @{ $c->{logics} };
    for (my $i = 1; !-e $end; $i++) {
        my $from = $users[rand @users];
        my ($to) = rand() < 0.4 ? $group
            : grep { $_ != $from } @users[rand @users, rand @users], 1, 2;
        my %send = (mid => $from, to => $to, id => "$n.$i");
        my $said;
        for (1 .. 100) {
            $said = eval { $apis[rand @apis]->post('/goim/im/send', [%send],
                "from $from, $n.$i") };
            last if $said && defined $said->{code} && $said->{code} == 0;
            sleep 0.1;
        }
        POSIX::_exit(3) if !$said || $said->{code} != 0;
        print $out $json->encode({ %send, %{ $said->{data} } }), "\n";
        eval { $apis[0]->post('/goim/im/read', [mid => $users[rand @users],
            conv => $said->{data}{conv}, read => 1 + int rand
            $said->{data}{seq}], '') } if rand() < 0.3;
        sleep 0.01;
    }
    POSIX::_exit(0);
}

# ---- devices -----------------------------------------------------------------

# connects, perhaps where it was; its answer is heard like the rest
sub begin {
    my ($d) = @_;
    my $recover = { $inbox => $d->{at} };
    my $token = token(mid => $d->{mid}, key => $d->{key}, im => {});
    $d->{client} = eval { $c->client(node => $d->{turn}++ % 2, auth => 0,
        transport => $d->{transport}, recover => $recover) } or return;
    eval { $d->{client}->send(7, $json->encode({ token => $token,
        recover => $recover })) };
}

# what has come: an item follows, a position moves
sub hear {
    my ($d) = @_;
    for my $e (eval { $d->{client}->arrived }) {
        my ($what, $p) = @$e;
        if ($what eq 'positions' && $p->{$inbox}) {
            my $at = $p->{$inbox};
            push @{ $d->{wrong} }, 'told: ' . $json->encode($at)
                if exists $at->{recovered} && !$at->{recovered};
            push @{ $d->{wrong} }, "back to $at->{seq} from $d->{at}{seq}"
                if $at->{seq} < $d->{at}{seq};
            $d->{at} = { epoch => $at->{epoch}, seq => $at->{seq} };
        } elsif ($what eq 'pushes' && $p->{op} == 20) {
            push @{ $d->{wrong} }, "$p->{seq} behind $d->{at}{seq}"
                if $p->{seq} != $d->{at}{seq} + 1;
            $d->{at}{seq} = $p->{seq};
            my ($line, $body) = split /\n/, $p->{body}, 2;
            $d->{has}{ $p->{seq} } = { %{ $json->decode($line) },
                body => $body };
        }
    }
}

sub listen_to {
    my ($seconds, @devices) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        for my $d (@devices) {
            begin($d) if !$d->{client} || $d->{client}{t}->socket->eof;
            hear($d) if $d->{client};
        }
        my $s = IO::Select->new(grep { $_ } map { $_->{client}
            && $_->{client}->fileno } @devices);
        $s->can_read(0.1);
    }
}

# ---- faults ------------------------------------------------------------------

my %fault = (
    'job is killed' => sub { $c->job(rand 2)->kill9; sub { $_->start for
        grep { !$_->pid } @{ $c->{jobs} } } },
    'logic is killed' => sub { my $l = $c->logic(rand 2); $l->kill9;
        sub { $l->start } },
    'a worker is killed' => sub { hit KILL => ($c->node(rand 2)->workers)[0];
        sub { } },
    'the reader is killed' => sub { hit KILL => $c->node(1)->reader; sub { } },
    'a node is killed' => sub { my $n = $c->node(rand 2);
        hit KILL => $n->pid, $n->workers; $n->wait_exit(5); sub { $n->start } },
    'Redis is killed' => sub { $c->redis->kill9; sub { $c->redis->start } },
    'job is stopped' => sub { my $j = $c->job(rand 2); $j->pause;
        sub { $j->signal('CONT') } },
    'a node is reloaded' => sub { $c->node(rand 2)->reload; sub { } },
    'the database is killed' => sub {
        return sub { } if !$pg;
        hit QUIT => $pg->pid;
        $pg->wait_exit(10);
        sub { $pg->start };
    },
);

# ---- judged ------------------------------------------------------------------

sub pages {
    my ($route, $list, %arg) = @_;
    my ($after, @items) = (0);
    while (1) {
        my $data = $c->api->get("/goim/im/$route", %arg, after => $after)
            ->{data};
        my @page = @{ $data->{items} } or return @items;
        push @items, @page;
        $after = $page[-1]{$list};
    }
}

sub judge {
    my ($devices, @accepted) = @_;
    my (%inbox, %conv, %twice, @missing, @unread);

    for my $mid (@users) {
        $inbox{$mid} = { map { $_->{inbox} => $_ } pages('sync', 'inbox',
            mid => $mid) };
        for (@{ $c->api->get('/goim/im/convs', mid => $mid)->{data} }) {
            my @items = pages('history', 'seq', mid => $mid,
                conv => $_->{conv});
            $conv{ $_->{conv} }{$mid} = $json->encode([map { [@$_{qw(seq n mid
                id kind body)}] } @items]);
            my @read = grep { $_->{kind} eq 'msg' } @items;
            my $last = $_->{read};
            push @unread, "$mid in $_->{conv}" if $_->{read_n}
                != grep { $_->{seq} <= $last } @read;
            $twice{"$_->{mid} $_->{id}"}{"$_->{conv} $_->{seq}"} = $_->{body}
                for map { { %$_, conv => $_->{conv} } } @read;
        }
    }

    is_deeply([grep { keys %{ $twice{$_} } != 1 } keys %twice], [],
        'each is stored once');
    for my $a (@accepted) {
        my $there = $twice{"$a->{mid} $a->{id}"} || {};
        push @missing, $a->{id} if !exists $there->{"$a->{conv} $a->{seq}"};
    }
    is_deeply(\@missing, [], 'and where it was said, of ' . @accepted);
    is_deeply([grep { my %of = reverse %{ $conv{$_} }; keys %of != 1 }
        keys %conv], [], 'all members have the same');
    is_deeply(\@unread, [], 'what is unread is what a recount says');

    for my $d (@$devices) {
        my $in = $inbox{ $d->{mid} };
        my (%cursor, @back, @lacks, @other);
        for my $seq (sort { $a <=> $b } keys %{ $d->{has} }) {
            my $has = $d->{has}{$seq};
            if ($has->{kind} eq 'read') {
                push @back, $seq if $has->{read}
                    < ($cursor{ $has->{conv} } || 0);
                $cursor{ $has->{conv} } = $has->{read};
            } elsif (!$in->{$seq} || $in->{$seq}{conv} ne $has->{conv}
                || $in->{$seq}{seq} != $has->{seq}
                || $in->{$seq}{body} ne $has->{body})
            {
                push @other, $seq;
            }
        }
        @lacks = grep { !$d->{has}{$_} } sort { $a <=> $b } keys %$in;
        is_deeply([$d->{wrong}, \@back, \@lacks, \@other], [[], [], [], []],
            "$d->{key}: " . keys(%{ $d->{has} }) . ' entries, each in its '
            . 'order, none lost, none else');
    }
}

# ---- all together ------------------------------------------------------------

sub chaos {
    my ($db, @names) = @_;
    my %im = (im => { db => $db });
    my %registry = (registry => { ttl => '6s', renew => '1s' });
    $c = Goim::Cluster->new(nodes => 2, workers => 2, logics => 2, jobs => 2,
        nginx => { tcp => 1 },
        logic => { Goim::Sender::logic(%im, %registry) },
        job => { conf => { %im, %registry } });

    is($c->api->post('/goim/im/group/create', [mid => 1, id => 'all',
        map { (mids => $_) } @users[1 .. $#users]], '')->{code}, 0, 'a group');
    my @devices = map { my $mid = $_; map { { mid => $mid,
        key => "$mid-$_", turn => $_, transport => $_ ? 'tcp' : 'ws',
        at => {}, has => {}, wrong => [] } } 0, 1 } @users;
    for my $d (@devices) {
        begin($d);
        my $p;
        do { $p = $d->{client}->position } until !$p || $p->{$inbox};
        $d->{at} = { epoch => $p->{$inbox}{epoch}, seq => 0 };
        $d->{client}->drop;
    }

    my $dir = folder('posters');
    my @pids = map { poster($_, "$dir/$_", "$dir/end") } 1, 2;
    listen_to(1, @devices);
    for my $name (@names) {
        my $end = $fault{$name}->();
        listen_to(0.2 + rand, @devices);
        $end->();
        listen_to(0.2 + rand 0.5, @devices);
        note($name);
    }
    spew("$dir/end", '');
    is_deeply([map { waitpid $_, 0; $? >> 8 } @pids], [0, 0],
        'all was accepted in the end');

    my @accepted = map { map { $json->decode($_) } split /\n/,
        slurp("$dir/$_") } 1, 2;
    my %head;
    for (1 .. 60) {
        %head = map { $_ => $c->api->get('/goim/im/sync', mid => $_,
            after => 0, limit => 1)->{data}{seq} } @users;
        last if !grep { $_->{at}{seq} < $head{ $_->{mid} } } @devices;
        listen_to(1, @devices);
    }
    listen_to(0.5, @devices);
    judge(\@devices, @accepted);
    $_->{client} && $_->{client}->drop for @devices;
}

my @order = sort keys %fault;

subtest sqlite => sub {
    chaos('sqlite:' . folder('db') . '/im.db', grep { !/database/ } @order);
    undef $c;
};

subtest postgresql => sub {
    $pg = Goim::Postgres->new;
    chaos($pg->url, 'the database is killed', reverse @order);
    undef $c;
};

done_testing;
