# Payloads over sockets may be as large as [im] max_body says, and no larger.

use strict;
use warnings;

use lib 't/lib';
use Goim::Cluster;
use Goim::IM;
use Goim::Sender;
use Goim::Test;

my $im = { db => Goim::IM->new('sqlite')->url };
my $c = Goim::Cluster->new(workers => 1, nginx => { max_body => '32k' },
    logic => { Goim::Sender::logic(im => { %$im, max_body => '16k' }) },
    job => { conf => { im => $im } });
my ($one, $two) = map { enters($c, mid => $_, key => "k$_", room => '', im => {},
    accepts => [20]) } 1, 2;

sub sends { return sent($one->call(4, qq({"to":2,"id":"$_[0]"}\n) . 'x' x $_[1])) }

is(sends('first', 16_384)->{code}, 0, 'as many as may be');
my ($p) = $two->pushes(1);
is(length((split /\n/, $p->{body}, 2)[1]), 16_384, 'come');
my $said = sends('more', 16_385);
is($said->{code}, -413, 'one more does not');
like($said->{message}, qr/16384 bytes/, 'it is said how many may');

done_testing();
