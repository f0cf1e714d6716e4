# ASAN: no (it is about Kafka)
# LONG
#
# Clients that recover, and others, while Kafka's log changes under them: it gets
# more partitions, is emptied of what has been done and of what has not, goes
# back, is made anew.

use strict;
use warnings;

use Time::HiRes qw(sleep);

use lib 't/lib';
use Goim::Audience;
use Goim::Test;

my $topic = 'goim-push-topic';
my $c = with_history(bus => 'kafka', nodes => 2,
    broker => { partitions => 2 });
my ($kafka, $job) = ($c->kafka, $c->job);

# Nothing is posted, and all that was has been done, while `code` runs; or, with
# the broker away, this.
sub at_rest {
    my ($self, $code) = @_;
    $self->{traffic}->pause;
    sleep 0.5;
    eventually { $job->metrics->{goim_job_lag} == 0 } 20, 'all is read';
    sleep 1;
    $code->();
    $self->{traffic}->resume;
}

sub broken {
    my ($self, $code) = @_;
    at_rest($self, sub { $kafka->kill9; $code->(); $kafka->start });
}

sub partitions { return glob "$kafka->{dir}/data/$topic-*" }

sub cut {
    for my $log (partitions()) {
        my ($file) = reverse sort glob "$log/*.log";
        my $size = -s $file;
        truncate $file, $size > 6000 ? $size - 3000 : int($size / 2)
            or die "truncate: $!";
        unlink glob("$log/*.index"), glob("$log/*.timeindex"),
            glob("$log/*.snapshot");
    }
}

through('it gets more partitions', $c, lost => 1, fault => sub {
    $kafka->admin(grow => $topic, 4);
    eventually { $job->metrics->{goim_job_partitions} == 4 } 20,
        'job has all four';
});

through('its records are deleted once they are done', $c, fault => sub {
    at_rest($_[0], sub { $kafka->admin(empty => $topic, 4) });
    $job->kill9;
    $job->start;
});

# job, which goes on where it was, finds nothing there
my $audience = through('its records are deleted before they are done', $c,
    lost => 1, plain => 0, fault => sub {
        my ($self) = @_;
        hit STOP => $job->pid;
        $self->{traffic}->more(20);
        $self->{traffic}->pause;
        $kafka->admin(empty => $topic, 4);
        hit CONT => $job->pid;
        eventually { $job->metrics->{goim_bus_removed_total} > 0 } 30,
            'job sees that they are gone';
        $self->{traffic}->resume;
    });
is $audience->told_false, 8, 'all are told, once';

through('the log goes back', $c, lost => 1, fault => sub {
    my $before = $job->metrics->{goim_bus_logs_back_total};
    broken($_[0], \&cut);
    eventually { $job->metrics->{goim_bus_logs_back_total} > $before } 30,
        'job sees that it did';
});

through('the topic is made anew', $c, lost => 1, fault => sub {
    broken($_[0], sub {
        system('rm', '-rf', partitions()) == 0 or die;
    });
});

done_testing;
