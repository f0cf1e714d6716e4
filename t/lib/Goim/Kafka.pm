# A real Kafka broker (one KRaft node), and kcat to look into it.

package Goim::Kafka;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Config;

use Goim::Proc ();
use Goim::Test qw(free_port folder wait_for spew slurp root_dir);

# What kcat can't: `grow TOPIC N` to so many partitions, `empty TOPIC N`: all
# records of the first N partitions are deleted, `limit TOPIC N`: it takes no
# records of more bytes.
my $admin = <<'C';
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
    int                   i, n;
    char                  err[512];
    rd_kafka_t           *rk;
    rd_kafka_conf_t      *conf = rd_kafka_conf_new();
    rd_kafka_event_t     *ev;
    rd_kafka_queue_t     *queue;
    rd_kafka_ConfigResource_t         *limit;
    rd_kafka_NewPartitions_t          *grow;
    rd_kafka_DeleteRecords_t          *del;
    rd_kafka_topic_partition_list_t   *list;

    if (argc != 5) {
        return 2;
    }

    n = atoi(argv[4]);
    rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], err, sizeof(err));
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, err, sizeof(err));
    queue = rd_kafka_queue_new(rk);

    if (strcmp(argv[2], "grow") == 0) {
        grow = rd_kafka_NewPartitions_new(argv[3], n, err, sizeof(err));
        rd_kafka_CreatePartitions(rk, &grow, 1, NULL, queue);

    } else if (strcmp(argv[2], "limit") == 0) {
        limit = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, argv[3]);
        rd_kafka_ConfigResource_set_config(limit, "max.message.bytes", argv[4]);
        rd_kafka_AlterConfigs(rk, &limit, 1, NULL, queue);

    } else {
        list = rd_kafka_topic_partition_list_new(n);

        for (i = 0; i < n; i++) {
            rd_kafka_topic_partition_list_add(list, argv[3], i)->offset =
                RD_KAFKA_OFFSET_END;
        }

        del = rd_kafka_DeleteRecords_new(list);
        rd_kafka_DeleteRecords(rk, &del, 1, NULL, queue);
    }

    ev = rd_kafka_queue_poll(queue, 20000);

    if (ev == NULL || rd_kafka_event_error(ev)) {
        fprintf(stderr, "%s\n", ev == NULL ? "no answer"
                : rd_kafka_event_error_string(ev));
        return 1;
    }

    /* each resource has an answer of its own */

    if (strcmp(argv[2], "limit") == 0) {
        const rd_kafka_ConfigResource_t  **done;
        size_t                             ndone;

        done = rd_kafka_AlterConfigs_result_resources(
                   rd_kafka_event_AlterConfigs_result(ev), &ndone);

        return ndone != 1 || rd_kafka_ConfigResource_error(done[0]) != 0;
    }

    return 0;
}
C

# partitions => 4 of topics that come into being; host => its address; sasl => { user, password, ca
# (Goim::TLS) }: its address is then one for SASL_SSL, by SCRAM-SHA-512 and PLAIN;
# the test itself speaks to it without
sub new {
    my ($class, %arg) = @_;
    my $libs = fetch();
    my $dir = folder('kafka');
    my ($port, $control) = (free_port(), free_port());
    my $host = $arg{host} || '127.0.0.1';
    my ($listen, $sasl, @scram) = ("PLAINTEXT://$host:$port", '');

    if (my $s = $arg{sasl}) {
        $arg{sasl_port} = free_port();
        $listen .= ",SASL_SSL://127.0.0.1:$arg{sasl_port}";
        $sasl = sasl_conf($dir, $s);
        @scram = ('--add-scram',
            "SCRAM-SHA-512=[name=$s->{user},password=$s->{password}]");
    }

    spew("$dir/server.properties", <<"CONF");
process.roles=broker,controller
node.id=1
controller.quorum.voters=1\@127.0.0.1:$control
controller.listener.names=CONTROLLER
listeners=$listen,CONTROLLER://127.0.0.1:$control
advertised.listeners=$listen
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
$sasl
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
num.partitions=@{[$arg{partitions} || 4]}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
log.flush.interval.messages=1000000
auto.create.topics.enable=true
@{[$arg{conf} || '']}
CONF
    spew("$dir/log4j.properties", <<'CONF');
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %m (%c)%n
CONF

    my $classes = classes();
    my @java = ('java', '-Xmx256m', '-XX:+UseSerialGC',
        -e $classes ? "-XX:SharedArchiveFile=$classes" : (),
        '-XX:TieredStopAtLevel=1', "-Dlog4j.configuration=file:"
        . "$dir/log4j.properties", '-cp', "$libs/*");
    my $self = $class->SUPER::new(name => 'kafka', dir => $dir,
        stop => 'KILL', cmd => [@java, 'kafka.Kafka',
        "$dir/server.properties"]);
    @$self{qw(host port sasl_port)} = ($host, $port, $arg{sasl_port});

    my $format = join ' ', map { "'$_'" } @java, 'kafka.tools.StorageTool',
        'format', '-t', 'AAAAAAAAAAAAAAAAAAAAAQ', '-c',
        "$dir/server.properties", @scram;
    system("$format >'$dir/format.log' 2>&1")
        and die "Kafka's format failed: " . slurp("$dir/format.log");

    $self->start if !$arg{stopped};
    return $self;
}

# the folder with Kafka's jars, fetched when they are not there
sub fetch {
    my $dir = `@{[root_dir()]}/tools/fetch-kafka.sh`;
    die "Kafka could not be fetched\n" if $?;
    chomp $dir;
    return $dir;
}

# what tools/kafka-classes.pl keeps of them
sub classes { return fetch() . '.jsa' }

# of the broker's properties: who may come, and its certificate
sub sasl_conf {
    my ($dir, $s) = @_;
    my ($cert, $key) = $s->{ca}->cert('kafka', ips => ['127.0.0.1'],
        names => ['127.0.0.1']);
    my $login = 'org.apache.kafka.common.security';

    spew("$dir/key.pem", slurp($key) . slurp($cert));
    return <<"CONF";
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_$s->{user}="$s->{password}";
ssl.keystore.type=PEM
ssl.keystore.location=$dir/key.pem
CONF
}

sub addr { return "$_[0]{host}:" . ($_[0]{sasl_port} || $_[0]{port}) }

# where nobody has to say who he is
sub plain { return "$_[0]{host}:$_[0]{port}" }

# start, again with the same data too, until it answers a metadata request
sub start {
    my ($self) = @_;
    $self->SUPER::start;
    wait_for {
        die "Kafka ended:\n" . slurp("$self->{dir}/kafka.log")
            if !$self->alive;
        !system("kcat -b @{[$self->plain]} -m 1 -L >/dev/null 2>&1");
    } 90, 'Kafka answers';
    return $self;
}

# Write a record as another producer would.
sub produce {
    my ($self, $topic, $key, $value, %arg) = @_;
    my $file = spew("$self->{dir}/record", $value);
    my @cmd = ('kcat', '-b', $self->plain, '-t', $topic, '-P', '-q',
        defined $key ? ('-k', $key) : (),
        defined $arg{partition} ? ('-p', $arg{partition}) : (), $file);
    system(@cmd) == 0 or die "kcat: $?\n";
}

sub admin {
    my ($self, $what, $topic, $n) = @_;
    my $program = "$self->{dir}/admin";
    if (!-x $program) {
        spew("$program.c", $admin);
        system("$Config{cc} -o '$program' '$program.c' -lrdkafka") == 0
            or die "no program for Kafka\n";
    }
    system($program, $self->addr, $what, $topic, $n) == 0
        or die "kafka: $what $topic: $?\n";
}

# all records so far: [partition, offset, key, value in hex]
sub records {
    my ($self, $topic) = @_;
    my @list;
    my $text = `kcat -b @{[$self->plain]} -t $topic -C -e -q \\
        -f '%p %o %K %S\\n%k%s\\n' 2>/dev/null`;
    while ($text =~ s/^(\d+) (\d+) (-?\d+) (-?\d+)\n//) {
        my ($p, $o, $kl, $vl) = ($1, $2, $3, $4);
        my $key = $kl > 0 ? substr $text, 0, $kl, '' : undef;
        my $value = $vl > 0 ? substr $text, 0, $vl, '' : '';
        substr $text, 0, 1, '';
        push @list, [$p, $o, $key, $value];
    }
    return @list;
}

1;
