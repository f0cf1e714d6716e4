#!/bin/sh
# An nginx other than the installed one, and the module for it.
# usage: build-nginx.sh asan|newest BUILD
#
# asan: the installed version under AddressSanitizer, the module under ASan
# and UBSan. Pools are made of single malloc()s, so that a read past the end
# of one allocation shows. newest: the newest stable version Debian has.
#
# nginx itself is built once and stays in the cache; BUILD/nginx-bin becomes a
# link to it, BUILD/*.so the module.

set -eu

kind=$1
build=$2
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim/nginx
flags="-g -O1 -fno-omit-frame-pointer"
link=

case $kind in
asan)
    which=installed
    cache=$cache/asan-$(dpkg-query -W -f '${Version}' nginx-dev)
    flags="$flags -fsanitize=address -DNGX_DEBUG_PALLOC=1"
    link=-fsanitize=address
    export ASAN_OPTIONS=detect_leaks=0
    export MODULE_CFLAGS="-U_FORTIFY_SOURCE -O1 -fsanitize=address,undefined \
-fno-sanitize-recover=undefined"
    export MODULE_LDFLAGS="-fsanitize=address,undefined"
    ;;
newest)
    which=newest
    cache=$cache/newest
    # it may no longer be the newest
    find "$cache" -maxdepth 0 -mtime +30 -exec rm -rf {} + 2>/dev/null || :
    ;;
*)
    sed -n '3p' "$0" >&2
    exit 2
    ;;
esac

if [ ! -x "$cache/nginx" ] || [ "$(cat "$cache/flags" 2>/dev/null)" != "$flags" ]
then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP

    "$root/tools/fetch-nginx.sh" "$work" $which >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        echo "nginx's source could not be fetched" >&2
        exit 1
    }

    cd "$work"/nginx-*/
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
    } >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        exit 1
    }

    rm -rf "$cache"
    mkdir -p "$cache"
    cp -R auto configure src "$cache"
    echo "$flags" >"$cache/flags"
    cp objs/nginx "$cache/nginx.new"
    mv "$cache/nginx.new" "$cache/nginx"
    cd "$root"
fi

mkdir -p "$build"
ln -sf "$cache/nginx" "$build/nginx-bin"

# a changed header or description builds everything anew
so=$build/ngx_goim_module.so
fresh=
[ -f "$so" ] && [ -z "$(find "$root/config" "$root/ngx_goim_module" \
    "$root/common" "$root/proto" "$root/tools/build-module.sh" \
    \( -name '*.h' -o -name '*.map' -o -name config -o -name '*.sh' \) \
    -newer "$so" | head -n 1)" ] || fresh=fresh

CC=gcc "$root/tools/build-module.sh" "$cache" "$build" $fresh
