#!/bin/sh
# The whole system on this machine, until Ctrl-C: installs what is needed,
# builds, runs. Ports and more: tools/demo-run.sh --help

set -eu
cd "$(dirname "$0")"

case ${1-} in
-h|--help) exec tools/demo-run.sh --help ;;
esac

tools/demo-run.sh --check
tools/install-deps.sh demo
make -s -j"$(nproc)" all
exec tools/demo-run.sh
