#!/bin/sh
# The image of Dockerfile without Docker: buildah in a chroot, on a Debian from
# debootstrap. usage: image.sh build TAG | run TAG COMMAND... | remove TAG
#
# The Debian is made once and kept in the cache. No registry is asked.

set -eu
PATH=$PATH:/usr/sbin:/sbin

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim/image
base=docker.io/library/debian:bookworm-slim

# an image store of our own
export BUILDAH_ISOLATION=chroot CONTAINERS_STORAGE_CONF=$cache/storage.conf

tool() {
    buildah --root "$cache/store" --runroot "$cache/run" "$@"
}

# where this machine gets its packages from
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null \
        | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1
}

setup() {
    mkdir -p "$cache"

    # overlays where they can be mounted, else copies
    for driver in overlay vfs; do
        printf '[storage]\ndriver = "%s"\n' $driver >"$cache/storage.conf"
        ! tool info >/dev/null 2>&1 || break
    done

    exec 9>"$cache/lock"
    flock -w 900 9
    [ ! -f "$cache/complete" ] || return 0

    tree=$cache/tree
    log=$cache/setup.log
    url=$(mirror)
    rm -rf "$tree"
    timeout 900 debootstrap --variant=minbase --include=ca-certificates \
        bookworm "$tree" "${url:-http://deb.debian.org/debian}" \
        >"$log" 2>&1 9>&- || {
        umount "$tree/proc" "$tree/sys" 2>/dev/null || :
        tail -n 20 "$log" >&2
        exit 1
    }
    cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"

    container=$(tool from scratch 9>&-)
    tool add --quiet "$container" "$tree" / >>"$log" 9>&-
    tool config --cmd bash "$container" 9>&-
    tool commit --quiet "$container" "$base" >>"$log" 9>&-
    tool rm "$container" >>"$log" 9>&-
    rm -rf "$tree"
    : >"$cache/complete"
}

command=${1-}
tag=${2-}
[ -n "$tag" ] || { echo "usage: $0 build|run|remove TAG" >&2; exit 2; }
shift 2
setup

case $command in
build)
    tool build --quiet --pull-never --layers --tag "$tag" .
    ;;
run)
    container=$(tool from --pull-never "$tag" 9>&-)
    rc=0
    tool run "$container" -- "$@" || rc=$?
    tool rm "$container" >/dev/null
    exit $rc
    ;;
remove)
    tool rmi --force "$tag" >/dev/null
    ;;
*)
    echo "usage: $0 build|run|remove TAG" >&2
    exit 2
    ;;
esac
