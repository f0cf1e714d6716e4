#!/bin/sh
# Break the code as t/mutants/*.patch do, and see the tests catch each.
# usage: mutants.sh BUILD [PATCH...]
#
# A patch says what it breaks, and the tests of which one has to fail, those of
# t/unit by their names, others (of scripts) by their paths:
#
#     # Live items are sent whatever they follow.
#     # tests: timeline_rule_test timeline_test
#
# The tree is copied, and built there. A patch that does not apply any more, a
# test that fails without one, and a mutant that no test catches are failures.

set -eu

build=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(mkdir -p "$build/mutants" && cd "$build/mutants" && pwd)
log=$tree/build/mutant.log

export GOIM_WORLDS="${GOIM_WORLDS:-200000}"
export GOIM_SEED="${GOIM_SEED:-11}" GOIM_ROUNDS="${GOIM_ROUNDS:-4000}"

[ $# -gt 0 ] || set -- "$root"/t/mutants/*.patch

# all is built anew: what is there may be a mutant's
rm -rf "$tree"
mkdir -p "$tree/build"
cd "$root"
tar cf - Makefile common proto svc job logic ngx_goim_module tools t \
    | tar xf - -C "$tree"

tests_of() {
    sed -n 's/^# tests: //p' "$@" | tr ' ' '\n' | sort -u
}

make_tests() {
    for t in "$@"; do
        case $t in
            */*) ;;
            *) make -s -C "$tree" BUILD=build WARN=-w "build/t/$t" ;;
        esac || return 1
    done
}

# 0: all pass
run_tests() {
    for t in "$@"; do
        case $t in
            */*) (cd "$tree" && timeout 300 prove "$t") ;;
            *) timeout 300 "$tree/build/t/$t" ;;
        esac >"$log" 2>&1 || return 1
    done
}

all=$(tests_of "$@")
make_tests $all
run_tests $all || {
    cat "$log"
    echo "not ok: fails without a mutant"
    exit 1
}

failed=0

for patch in "$@"; do
    name=$(basename "$patch" .patch)
    tests=$(tests_of "$patch")

    if ! patch -s -f -p1 -d "$tree" <"$patch"; then
        echo "not ok $name: does not apply"
        exit 1
    fi

    if ! make_tests $tests >"$log" 2>&1; then
        cat "$log"
        echo "not ok $name: does not build"
        failed=1
    elif run_tests $tests; then
        echo "not ok $name: nobody noticed"
        failed=1
    else
        echo "ok $name"
    fi

    patch -s -f -R -p1 -d "$tree" <"$patch"
done

exit $failed
