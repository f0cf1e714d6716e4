#!/bin/sh
# The Autobahn|Testsuite, WebSocket's conformance tests.
# usage: autobahn.sh setup | run URL OUTDIR [CASES [EXCLUDED]]
#
# It needs Python 2.7, which Debian 12 has no more: it lives in a small Debian
# 11 tree in the cache, made once by debootstrap (root, a minute). `run` leaves
# the reports in OUTDIR; CASES and EXCLUDED are like 1.*,2.3
#
# Exit code 3: it cannot be set up here (not root, no debootstrap).

set -eu
PATH=$PATH:/usr/sbin:/sbin

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim/autobahn
tree=$cache/tree
packages=python2.7,python2.7-dev,python-setuptools,python-pip-whl,gcc
packages=$packages,libc6-dev,libffi-dev,libssl-dev,ca-certificates

cannot() {
    echo "Autobahn cannot be set up here: $*" >&2
    exit 3
}

# where this machine gets its packages from
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null \
        | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1
}

in_tree() {
    env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 \
        ${https_proxy:+https_proxy="$https_proxy"} \
        ${http_proxy:+http_proxy="$http_proxy"} \
        ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        PIP_CERT=/etc/host-ca.crt SSL_CERT_FILE=/etc/host-ca.crt \
        PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        PIP_RETRIES=5 "$@"
}

# (called where set -e does not hold)
install_suite() {
    cp /etc/resolv.conf /etc/hosts "$tree/etc/" || return 1
    cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/host-ca.crt" || return 1

    # Debian's wheel of pip runs from its archive, but builds nothing there
    wheels=$(cd "$tree" && printf '/%s:' usr/share/python-wheels/*.whl)

    in_tree PYTHONPATH="$wheels" chroot "$tree" python2.7 -m pip install \
        --ignore-installed pip==20.3.4 \
        && in_tree chroot "$tree" python2.7 -m pip install \
            autobahntestsuite==25.10.1 \
        && in_tree chroot "$tree" wstest --help \
        && chroot "$tree" apt-get clean
}

setup() {
    [ "$(id -u)" = 0 ] || cannot "not root"
    command -v debootstrap >/dev/null || cannot "no debootstrap"

    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock -w 900 9
    [ ! -f "$cache/complete" ] || return 0

    log=$cache/setup.log
    rm -rf "$tree"
    : >"$log"

    # what debootstrap mounted must be gone before anything is removed
    url=$(mirror)
    for m in "${url:-http://deb.debian.org/debian}" \
        http://deb.debian.org/debian http://archive.debian.org/debian
    do
        rm -rf "$tree"
        timeout 900 debootstrap --variant=minbase --include="$packages" \
            bullseye "$tree" "$m" >>"$log" 2>&1 9>&- && break
        umount "$tree/proc" "$tree/sys" 2>/dev/null || :
    done

    [ -x "$tree/usr/bin/python2.7" ] || {
        tail -n 20 "$log" >&2
        cannot "debootstrap failed"
    }

    install_suite >>"$log" 2>&1 9>&- || {
        tail -n 20 "$log" >&2
        echo "Autobahn could not be installed from PyPI" >&2
        exit 1
    }

    touch "$cache/complete"
}

run() {
    url=$1
    out=$2
    work=$(mktemp -d "$tree/tmp/run.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP

    quote() { printf '"%s"' "$1" | sed 's/,/","/g'; }

    cat >"$work/spec.json" <<JSON
{
    "outdir": "/tmp/$(basename "$work")/reports",
    "servers": [{ "agent": "goim", "url": "$url" }],
    "cases": [$(quote "${3:-*}")],
    "exclude-cases": [$(quote "${4:-12.*,13.*}")],
    "exclude-agent-cases": {}
}
JSON

    in_tree timeout 900 chroot "$tree" wstest -m fuzzingclient \
        -s "/tmp/$(basename "$work")/spec.json"
    mkdir -p "$out"
    cp -R "$work/reports/." "$out/"
}

case ${1-} in
setup)
    setup
    ;;
run)
    shift
    [ $# -ge 2 ] || exit 2
    setup
    run "$@"
    ;;
*)
    sed -n '3p' "$0" >&2
    exit 2
    ;;
esac
