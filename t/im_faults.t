# Messages between people while their database is away, and records of their bus
# that are no commands: nothing is lost or stored twice, and pushes go on.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::Postgres;
use Goim::Test;

allow_log(qr/\[error\] \d+: (?:postgresql: |im: a record of the bus)/);

my $pg = Goim::Postgres->new;
my $db = $pg->url;
my $c = Goim::Cluster->new(logic => { conf => { im => { db => $db,
    insecure => 1 } } }, job => { conf => { im => { db => $db } } });
my $api = $c->api;
my $client = $c->client(mid => 2, key => 'k', accepts => [20, 1000]);

sub send_to {
    my ($id) = @_;
    return $api->post('/goim/im/send', [mid => 1, to => 2, id => $id], $id);
}

is(send_to('before')->{code}, 0, 'stored');
like($client->push->{body}, qr/\nbefore$/, 'and brought');

$pg->stop;
is($api->get('/goim/im/sync', mid => 2)->{code}, -503, 'nothing is read');
is(send_to('away')->{code}, -504, 'nor stored in time');
is($api->keys(1000, ['k'], 'push')->{code}, 0, 'a push');
is($client->push->{body}, 'push', 'goes on');
eventually { $c->job->metrics->{goim_job_im_retries_total} > 0 } 20,
    'job tries again';

$pg->start;
eventually { send_to('away')->{code} == 0 } 30, 'the same again';
like($client->push(20)->{body}, qr/\naway$/, 'comes');
is(send_to('after')->{code}, 0, 'and the next');
like($client->push->{body}, qr/\nafter$/, 'once, in order');
is($pg->sql('SELECT count(*) FROM message'), "3\n", 'each is stored once');

# what is no command
my @keys = sort grep { /^goim:bus:im:\d+$/ } @{ $c->redis->cmd('KEYS', '*') };
cmp_ok(scalar @keys, '>=', 1, 'commands have streams of their own');
my ($life) = ($c->redis->xrange($keys[0]))[-1]
    ? ($c->redis->xrange($keys[0]))[-1][0] =~ /^(\d+)-/
    : $c->redis->cmd('HGET', 'goim:life', 'n');
$c->redis->cmd('XADD', $keys[0], "$life-*", 'k', 'x', 'v', "\xff\xff");
eventually { $c->job->metrics->{goim_job_im_skipped_total} == 1 } 20,
    'a record that is no command is left out, and counted';
is(send_to('last')->{code}, 0, 'those behind it are carried out');

done_testing;
