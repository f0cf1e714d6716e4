#!/bin/sh
# All tests: installs what is needed, builds, runs each test as built for use
# and once more under ASan and UBSan. ./test.sh t/main.t runs that one alone
# (with GOIM_ASAN=1: under the sanitizers).

set -eu
cd "$(dirname "$0")"

# they wait more than they compute
jobs=${JOBS:-$(($(nproc) * 2))}
export BUILD="${BUILD:-build}"
export GOIM_BUILD="${GOIM_BUILD:-$BUILD}"

tools/install-deps.sh test

if [ $# -gt 0 ]; then
    make -s -j"$(nproc)" ${GOIM_ASAN:+asan} all unit fuzzers
    exec prove -v "$@"
fi

# minutes the first time, so beside the build; both are kept in the cache
trap wait EXIT
tools/autobahn.sh setup &
autobahn=$!
{ tools/fetch-kafka.sh && { tools/kafka-classes.pl || :; }; } >/dev/null &
kafka=$!

tests=$(make -s list-tests)
make -s -j"$(nproc)" all unit fuzzers asan

wait $kafka
wait $autobahn || [ $? = 3 ]

export GOIM_FAILED="$(realpath "$BUILD")/failed"
rm -f "$GOIM_FAILED"
rc=0
prove --timer -j"$jobs" $tests || rc=$?
[ ! -e "$GOIM_FAILED" ] || { echo 'What failed:'; cat "$GOIM_FAILED"; }
exit $rc
