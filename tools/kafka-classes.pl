#!/usr/bin/env perl
# Kafka's classes as the JVM has them in memory, beside its jars in the cache: with
# them brokers of tests start in half the time, and without them, too. Once, by
# ./test.sh, from the root of the tree.

use strict;
use warnings;

use lib 't/lib';
use Goim::Kafka;
use Goim::Test;

my $archive = Goim::Kafka::classes();

if (!-e $archive) {
    my $kafka = Goim::Kafka->new(stopped => 1);
    my ($java, @cmd) = @{ $kafka->{cmd} };

    $kafka->{cmd} = [$java, "-XX:ArchiveClassesAtExit=$archive.$$", @cmd];
    $kafka->start;
    hit 'TERM', $kafka->pid;
    defined $kafka->wait_exit(120) or die "Kafka does not end\n";
    rename "$archive.$$", $archive or die "$archive: $!\n";
}

ok(-e $archive, 'classes are kept');
done_testing;
