#!/bin/sh
# Break the code as t/mutants/*.patch do, and see the tests catch each.
# usage: mutants.sh BUILD [PATCH...]
#
# A patch says what it breaks, what make has to build for its tests (module,
# services, or nothing: scripts are read as they are), and the tests of which
# one has to fail: those of t/unit by their names, others by their paths:
#
#     # Job saves its place before the effects.
#     # build: services
#     # tests: job_place_test t/job_faults.t
#
# The tree is copied, and built there. A patch that does not apply any more, a
# test that fails without one, and a mutant that no test catches are failures.
# Tests of both buses run over Redis alone, or what GOIM_BUS says.

set -eu

build=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(mkdir -p "$build/mutants" && cd "$build/mutants" && pwd)
log=$tree/build/mutant.log

export GOIM_WORLDS="${GOIM_WORLDS:-200000}"
export GOIM_SEED="${GOIM_SEED:-11}" GOIM_ROUNDS="${GOIM_ROUNDS:-4000}"
export GOIM_BUS="${GOIM_BUS:-redis}"

[ $# -gt 0 ] || set -- "$root"/t/mutants/*.patch

# what tests leave behind when they fail
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# all is built anew: what is there may be a mutant's
rm -rf "$tree"
mkdir -p "$tree/build"
cd "$root"
tar cf - Makefile config bench common conf docs job logic ngx_goim_module proto \
    svc t tools web | tar xf - -C "$tree"

said() {
    what=$1
    shift
    sed -n "s/^# $what: //p" "$@" | tr ' ' '\n' | sort -u
}

# build and run in a tree whose paths are its own, whoever calls
build() {
    targets=$(said build "$@")
    for t in $(said tests "$@"); do
        case $t in
            */*) ;;
            *) targets="$targets build/t/$t" ;;
        esac
    done
    [ -z "$targets" ] || make -s -C "$tree" BUILD=build WARN=-w $targets
}

# 0: it passes
run() {
    case $1 in
        */*) (cd "$tree" && GOIM_BUILD=build timeout 600 perl "$1") ;;
        *) timeout 300 "$tree/build/t/$1" ;;
    esac >"$log" 2>&1
}

# what services and module are tested with is all of them
[ -z "$(said build "$@")" ] || make -s -C "$tree" BUILD=build WARN=-w all

build "$@"
failed=0
sound=' '

for t in $(said tests "$@"); do
    if run "$t"; then
        sound="$sound$t "
    else
        cat "$log"
        echo "not ok $t: fails without a mutant"
        failed=1
    fi
done

# Of a mutant the first failure is enough. 0: none
noticed() {
    for t in $(said tests "$1"); do
        case $sound in
            *" $t "*) run "$t" || return 1 ;;
        esac
    done
}

export GOIM_ONE_FAILURE=1

for patch in "$@"; do
    name=$(basename "$patch" .patch)

    if ! patch -s -f -p1 --dry-run -d "$tree" <"$patch" >"$log"; then
        echo "not ok $name: does not apply"
        failed=1
        continue
    fi

    patch -s -f -p1 -d "$tree" <"$patch"

    if ! build "$patch" >"$log" 2>&1; then
        cat "$log"
        echo "not ok $name: does not build"
        failed=1
    elif noticed "$patch"; then
        echo "not ok $name: nobody noticed"
        failed=1
    else
        echo "ok $name: $t: $(grep -a -m1 -E \
            '^ *not ok|FAILED|took too long|timed out' "$log" || :)"
    fi

    patch -s -f -R -p1 -d "$tree" <"$patch"
    rm -rf "$TMPDIR"/*
done

exit $failed
