#!/bin/sh
# An nginx under AddressSanitizer, and the module for it under ASan and UBSan.
# usage: build-asan-nginx.sh BUILD
#
# nginx is built from Debian's source of the installed nginx-dev, once: it
# stays in the cache. BUILD/nginx-bin becomes a link to it, BUILD/*.so the
# module. Pools are made of single malloc()s, so that reading past the end of
# one allocation shows.

set -eu

build=$1
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim}
version=$(dpkg-query -W -f '${Version}' nginx-dev)
flags="-fsanitize=address -fno-omit-frame-pointer -g -O1 -DNGX_DEBUG_PALLOC=1"
dir=$cache/nginx-asan/$version

export ASAN_OPTIONS=detect_leaks=0

# the source package of this version, by an apt configuration of our own: the
# machine's sources as deb-src, its lists elsewhere
fetch() {
    apt=$1/apt
    mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"

    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$f" ] && sed -n 's/^deb /deb-src /p' "$f" \
            >"$apt/sources/$(basename "$f" .list).list"
    done

    for f in /etc/apt/sources.list.d/*.sources; do
        [ -f "$f" ] && sed 's/^Types:.*/Types: deb-src/' "$f" \
            >"$apt/sources/$(basename "$f")"
    done

    set -- -q -o Dir::Etc::SourceList=/dev/null \
        -o Dir::Etc::SourceParts="$apt/sources" \
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User= -o Acquire::Retries=3

    # a source without deb-src is no obstacle as long as nginx is found
    apt-get "$@" update || :
    apt-get "$@" source "nginx=$version" || apt-get "$@" source nginx
}

if [ ! -x "$dir/nginx" ] || [ "$(cat "$dir/flags" 2>/dev/null)" != "$flags" ]
then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP

    (cd "$work" && fetch "$work") >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        echo "nginx's source package could not be fetched" >&2
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
            --with-stream \
            --with-stream_ssl_module --with-stream_realip_module \
            --with-stream_ssl_preread_module \
            --with-cc-opt="$flags" --with-ld-opt=-fsanitize=address \
            && make -j"$(nproc)"
    } >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        exit 1
    }

    rm -rf "$dir"
    mkdir -p "$dir"
    cp -R auto configure src "$dir"
    echo "$flags" >"$dir/flags"
    cp objs/nginx "$dir/nginx.new"
    mv "$dir/nginx.new" "$dir/nginx"
    cd "$root"
fi

mkdir -p "$build"
ln -sf "$dir/nginx" "$build/nginx-bin"

so=$build/ngx_goim_module.so
fresh=
[ -f "$so" ] && [ -z "$(find "$root/config" "$root/ngx_goim_module" \
    "$root/common" "$root/proto" "$root/tools" \( -name '*.h' -o -name config \
    -o -name '*.sh' \) -newer "$so" | head -n 1)" ] || fresh=fresh

CC=gcc MODULE_CFLAGS="-U_FORTIFY_SOURCE -O1 -fsanitize=address,undefined \
-fno-sanitize-recover=undefined" \
MODULE_LDFLAGS="-fsanitize=address,undefined" \
    "$root/tools/build-module.sh" "$dir" "$build" $fresh
