#!/bin/sh
# Build the module's .so files against the headers of an installed nginx
# (Debian: nginx-dev). usage: build-module.sh NGINX_SRC BUILD [fresh]
#
# NGINX_SRC is only read: what nginx's configure writes goes to BUILD/nginx.

set -eu

src=$1
build=$2
fresh=${3-}
root=$(cd "$(dirname "$0")/.." && pwd)

[ -f "$src/configure" ] || {
    echo "$src/configure: not there; Debian's package is nginx-dev" >&2
    exit 1
}

mkdir -p "$build/nginx"
build=$(cd "$build" && pwd)
cd "$build/nginx"

stamp="$src $(cksum <"$src/src/core/nginx.h") ${CC-gcc} ${MODULE_CFLAGS-} ${MODULE_LDFLAGS-}"

if [ -n "$fresh" ] || [ ! -f objs/Makefile ] \
    || [ "$(cat stamp 2>/dev/null)" != "$stamp" ]
then
    rm -rf objs stamp auto src configure
    ln -s "$src/auto" "$src/src" "$src/configure" .

    cat >flags <<'BASH'
NGX_CONF_FLAGS=(--with-compat --with-debug --with-http_ssl_module
    --with-http_v2_module --with-http_realip_module --with-threads)
[ -f "$1/conf_flags" ] && . "$1/conf_flags"
shift
./configure "${NGX_CONF_FLAGS[@]}" "$@"
BASH

    # the flags of the packages lack the stream module's
    bash flags "$src" --with-cc="${CC-gcc}" --with-compat \
        --with-stream=dynamic --with-stream_ssl_module \
        --with-cc-opt="-g -O2 -fPIC -fno-omit-frame-pointer \
-fstack-protector-strong -Wformat -Werror=format-security \
-Wno-error=deprecated-declarations -D_FORTIFY_SOURCE=2 ${MODULE_CFLAGS-}" \
        --with-ld-opt="-Wl,-z,relro -Wl,-z,now -fPIC ${MODULE_LDFLAGS-}" \
        --add-dynamic-module="$root" >configure.log 2>&1 || {
        cat configure.log >&2
        exit 1
    }

    echo "$stamp" >stamp
fi

# not `modules`: nginx-dev has no sources for the stream module's own .so
targets=$(grep -oE '^objs/ngx_[a-z_]*goim[a-z_]*\.so' objs/Makefile)

env -u MAKEFLAGS -u MFLAGS make -f objs/Makefile -j"$(nproc)" $targets \
    >make.log 2>&1 || {
    # the compiler's words without the command lines
    sed '/ -c .*\\$/,/\.c$/d' make.log >&2
    exit 1
}

grep -n 'warning:' make.log >&2 || :

# a running nginx may have the old file mapped: a new one takes its place
for so in $targets; do
    cp "$so" "$build/$(basename "$so").new"
    mv "$build/$(basename "$so").new" "$build/$(basename "$so")"
done
