#!/bin/sh
# Install the Debian packages ngx_goim needs. usage: install-deps.sh demo|test
#
# Quick when everything is there. Services that come with the packages (nginx,
# redis-server) are neither started nor enabled; one that was installed before
# is not touched.

set -eu
PATH=$PATH:/usr/sbin:/sbin

demo="make gcc libc6-dev nginx nginx-dev libnginx-mod-stream libhiredis-dev
    librdkafka-dev libprotobuf-c-dev libjansson-dev libevent-dev libinih-dev
    libcurl4-openssl-dev libsqlite3-dev libpq-dev libssl-dev libpcre2-dev
    zlib1g-dev redis-server openssl curl ca-certificates
    perl-base"

test="$demo perl libio-socket-ssl-perl libcmocka-dev libnginx-mod-nchan
    clang libclang-rt-14-dev dpkg-dev protobuf-c-compiler kcat maven
    default-jre-headless chromium debootstrap systemd buildah strace postgresql
    sqlite3 iproute2"

case ${1-} in
demo) packages=$demo ;;
test) packages=$test ;;
*)
    echo "usage: $0 demo|test" >&2
    exit 2
    ;;
esac

missing() {
    for p in $packages; do
        case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || :) in
        'install ok installed') ;;
        *) echo "$p" ;;
        esac
    done
}

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian system: taking for granted what corresponds to" \
        $packages >&2
    exit 0
fi

need=$(missing)
[ -n "$need" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "missing packages, to be installed as root:" >&2
    echo "    apt-get install --no-install-recommends" $need >&2
    exit 1
fi

echo "installing:" $need

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made=

cleanup() {
    rm -f "$log"
    [ -z "$made" ] || rm -f "$policy"
}

trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# says that no service may be started; a machine that has its own knows better
if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

services=
for s in nginx redis-server; do
    case " $(echo $need) " in *" $s "*) services="$services $s" ;; esac
done

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

# the lists may be missing or too old for the archive: a second try with new
# ones
if ! apt install --no-install-recommends $need >"$log" 2>&1; then
    apt update >"$log" 2>&1 || cat "$log" >&2

    if ! apt install --no-install-recommends $need >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        for p in $(missing); do
            apt install -s --no-install-recommends "$p" >/dev/null 2>&1 \
                || echo "cannot be installed: $p" >&2
        done
        echo "not installed:" $(missing) >&2
        exit 1
    fi
fi

# not at the next boot either
if [ -n "$services" ] && command -v systemctl >/dev/null; then
    for s in $services; do
        systemctl disable --quiet "$s" >/dev/null 2>&1 || :
    done
fi
