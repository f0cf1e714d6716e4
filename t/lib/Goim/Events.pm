# The application that logic tells of sessions: it takes events, if their
# signature is right, or answers as it is told to.
#
#     my $told = Goim::Events->new;
#     my $c = Goim::Cluster->new(logic => { conf => { $told->conf } });
#     is_deeply [$told->events], [{ id => ..., type => 'connect', ... }];
#     $told->says(500);               # it takes none; 0: closes; 204: as before
#     $told->says('mute');            # takes them, and says nothing for 2 s
#     $told->line($event);            # "connect 7 k7 live://1"
#     $told->lines(sub { ... });      # of those for which it is true

package Goim::Events;

use strict;
use warnings;

use Digest::SHA ();
use JSON::PP ();

use Goim::App ();
use Goim::Test qw(folder slurp spew);

sub new {
    my ($class, %conf) = @_;
    my $secret = join '', map { chr 97 + rand 26 } 1 .. 40;
    my $dir = folder('events');
    my $self = bless { conf => \%conf, says => "$dir/says",
        taken => "$dir/taken", file => "$dir/secret", secret => $secret },
        $class;
    spew($self->{taken}, '');
    spew($self->{file}, "$secret\n");
    $self->says(204);
    $self->{app} = Goim::App->new(sub {
        my ($path, $head, $body) = @_;
        my $says = slurp($self->{says}) or return;
        $says = 403 if !$self->_signed($head, $body);
        $self->_take($body) if $says =~ /^(?:204|mute)$/;
        return ($says, '') if $says ne 'mute';
        sleep 2;
        return;
    });
    return $self;
}

# [events] of logic, or another section
sub conf {
    my ($self, $section) = @_;
    return ($section || 'events' => { url => $self->{app}->url('/events'),
        secret_file => $self->{file}, %{ $self->{conf} } });
}

sub app { return $_[0]{app} }

# what it answers from now on
sub says {
    my ($self, $status) = @_;
    spew("$self->{says}.new", $status);
    rename "$self->{says}.new", $self->{says} or die "rename: $!";
}

sub _signed {
    my ($self, $head, $body) = @_;
    my ($time) = $head =~ /^X-Goim-Timestamp: (\d+)\r?$/m or return 0;
    my ($mac) = $head =~ /^X-Goim-Signature: v1=([0-9a-f]{64})\r?$/m
        or return 0;
    return abs(time - $time) < 60
        && $mac eq Digest::SHA::hmac_sha256_hex("$time.$body", $self->{secret});
}

sub _take {
    my ($self, $body) = @_;
    open my $fh, '>>', $self->{taken} or die "$self->{taken}: $!";
    print {$fh} "$body\n";
    close $fh;
}

# the bodies of the requests that it took, decoded
sub bodies {
    my ($self) = @_;
    return map { JSON::PP::decode_json($_) } split /\n/,
        slurp($self->{taken});
}

# each event once, by its id, in the order in which they came first
sub events {
    my ($self) = @_;
    my %seen;
    return grep { !$seen{ $_->{id} }++ } map { @{ $_->{events} } }
        $self->bodies;
}

sub line {
    my ($e) = $_[-1];
    return join ' ', $e->{type}, map { length $_ ? $_ : '-' }
        grep { defined } @$e{qw(mid key room)},
        $e->{restored} ? 'restored' : $e->{reason};
}

# of those events
sub lines {
    my ($self, $want) = @_;
    return map { line($_) } grep { !$want || $want->($_) } $self->events;
}

1;
