#!/bin/sh
# An nginx other than the installed one, and the module for it.
# usage: build-nginx.sh asan|newest BUILD, or build-nginx.sh source
#
# asan: the installed version under AddressSanitizer, the module under ASan
# and UBSan. Pools are made of single malloc()s, so that a read past the end
# of one allocation shows. newest: the newest stable version Debian has.
# source: only fetch the installed version's source, and print where it is.
#
# nginx itself is built once and stays in the cache; BUILD/nginx-bin becomes a
# link to it, BUILD/*.so the module.

set -eu

kind=$1
build=${2-}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim/nginx
flags="-g -O1 -fno-omit-frame-pointer"
link=

case $kind in
asan|source)
    which=installed
    version=$(dpkg-query -W -f '${Version}' nginx-dev)
    source=$cache/source-$version
    binary=$cache/asan-$version/nginx
    ;;
newest)
    which=newest
    source=$cache/source-newest
    binary=$cache/newest/nginx
    ;;
*)
    sed -n '3p' "$0" >&2
    exit 2
    ;;
esac

if [ $kind = asan ]; then
    flags="$flags -fsanitize=address -DNGX_DEBUG_PALLOC=1"
    link=-fsanitize=address
    export ASAN_OPTIONS=detect_leaks=0
    export MODULE_CFLAGS="-U_FORTIFY_SOURCE -O1 -fsanitize=address,undefined \
-fno-sanitize-recover=undefined"
    export MODULE_LDFLAGS="-fsanitize=address,undefined"
fi

# others may want the same at the same time
mkdir -p "$cache"
exec 9>"$cache/lock-$which"
flock -w 900 9

trap '[ -z "${work-}" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

failed() {
    tail -n 30 "$work/log" >&2
    echo "$1" >&2
    exit 1
}

# it may no longer be the newest
if [ $kind = newest ]; then
    find "$source" -maxdepth 0 -mtime +30 -exec rm -rf {} + 2>/dev/null || :
fi

if [ ! -x "$source/configure" ]; then
    work=$(mktemp -d)
    "$root/tools/fetch-nginx.sh" "$work" $which >"$work/log" 2>&1 \
        || failed "nginx's source could not be fetched"

    rm -rf "$work"/nginx-*/debian "$source" "$source.new"
    cp -R "$work"/nginx-*/. "$source.new"
    mv "$source.new" "$source"
    rm -rf "$work"
fi

if [ $kind = source ]; then
    echo "$source"
    exit
fi

if [ ! -x "$binary" ] || [ "$(cat "$binary.flags" 2>/dev/null)" != "$flags" ] \
    || [ "$source" -nt "$binary" ]
then
    work=$(mktemp -d)
    cd "$work"
    ln -s "$source"/* .

    {
        ./configure --prefix=/usr/share/nginx --with-cc=gcc \
            --modules-path=/usr/lib/nginx/modules \
            --with-compat --with-debug --with-threads --with-pcre-jit \
            --with-http_ssl_module --with-http_v2_module \
            --with-http_realip_module --with-http_stub_status_module \
            --with-http_auth_request_module --with-http_slice_module \
            --with-stream --with-stream_ssl_module \
            --with-stream_realip_module --with-stream_ssl_preread_module \
            --with-cc-opt="$flags" --with-ld-opt="$link" \
            && env -u MAKEFLAGS -u MFLAGS make -j"$(nproc)"
    } >log 2>&1 || failed "nginx could not be built"

    mkdir -p "$(dirname "$binary")"
    cp objs/nginx "$binary.new"
    echo "$flags" >"$binary.flags"
    mv "$binary.new" "$binary"
    cd "$root"
    rm -rf "$work"
fi

exec 9>&-

mkdir -p "$build"
ln -sf "$binary" "$build/nginx-bin"

# a changed header or description builds everything anew
so=$build/ngx_goim_module.so
fresh=
[ -f "$so" ] && [ -z "$(find "$root/config" "$root/ngx_goim_module" \
    "$root/common" "$root/proto" "$root/tools/build-module.sh" \
    \( -name '*.h' -o -name '*.map' -o -name config -o -name '*.sh' \) \
    -newer "$so" | head -n 1)" ] || fresh=fresh

CC=gcc "$root/tools/build-module.sh" "$source" "$build" $fresh
