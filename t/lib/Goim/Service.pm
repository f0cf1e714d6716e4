# goim-logic and goim-job: processes with an INI file.

package Goim::Service;

use strict;
use warnings;

use parent -norequire, 'Goim::Proc';

use Goim::HTTP ();
use Goim::Proc ();
use Goim::Test qw(folder wait_for spew slurp build_dir);

# conf => { section => { key => value } }: undef leaves a key out
sub new {
    my ($class, %arg) = @_;
    my $name = $arg{name};
    my $dir = folder($name);

    my $self = $class->SUPER::new(%arg, dir => $dir,
        cmd => [build_dir() . "/goim-$name", '--config', "$dir/$name.conf"],
        env => { UBSAN_OPTIONS => 'print_stacktrace=1:halt_on_error=1' });
    $self->configure;
    return $self;
}

sub merge {
    my ($base, $over) = @_;
    my %conf = map { $_ => { %{ $base->{$_} } } } keys %$base;
    for my $section (keys %{ $over || {} }) {
        $conf{$section} = { %{ $conf{$section} || {} },
            %{ $over->{$section} } };
    }
    return \%conf;
}

# Write the file anew; what is given here stays for the next time.
sub configure {
    my ($self, $over) = @_;
    $self->{conf} = merge($self->{conf}, $over);
    my $text = '';

    for my $section (sort keys %{ $self->{conf} }) {
        my $keys = $self->{conf}{$section};
        $text .= "[$section]\n";
        $text .= "$_ = $keys->{$_}\n"
            for grep { defined $keys->{$_} } sort keys %$keys;
        $text .= "\n";
    }
    spew("$self->{dir}/$self->{name}.conf", $text);
    return $self;
}

# start and wait until it answers /health or /metrics
sub start {
    my ($self) = @_;
    $self->SUPER::start;
    wait_for {
        die "$self->{name} ended:\n" . $self->logs if !$self->alive;
        eval { $self->metrics };
    } 20, "$self->{name} answers";
    return $self;
}

sub logs { return slurp("$_[0]{dir}/$_[0]{name}.log") }

sub get {
    my ($self, $path, %arg) = @_;
    return Goim::HTTP::get("http://127.0.0.1:$self->{http_port}$path", %arg);
}

sub metrics {
    my ($self) = @_;
    return Goim::HTTP::metrics("http://127.0.0.1:$self->{http_port}/metrics");
}

sub health { return $_[0]->get('/health') }

# (exit code, what it said) of the program with these options
sub run {
    my ($self, @options) = @_;
    my $cmd = join ' ', map { "'$_'" } $self->{cmd}[0], @options;
    my $said = `$cmd 2>&1 </dev/null`;
    return ($? >> 8, $said);
}

# what --test says of the configuration with this over it, for this time alone
sub test_with {
    my ($self, $over) = @_;
    local $self->{conf} = merge($self->{conf}, $over);
    $self->configure;
    return $self->test_conf;
}

sub test_conf {
    my ($self) = @_;
    return $self->run('--config', "$self->{dir}/$self->{name}.conf",
        '--test');
}

1;
