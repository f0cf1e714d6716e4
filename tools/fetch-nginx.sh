#!/bin/sh
# Fetch nginx's source as Debian packages it, into DIR/nginx-VERSION/.
# usage: fetch-nginx.sh DIR installed | newest
#
# installed: what nginx-dev on this machine was made of, or another package of
# the same nginx where that is no longer offered. newest: the newest
# stable version (an even second number) of Debian's newer suites.
#
# apt works with a configuration and lists of its own, in DIR/apt; the
# machine's are only read.

set -eu

dir=$1
which=$2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
apt=$dir/apt

mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
cd "$dir"

# apt-get or apt-cache, then what to do
run() {
    tool=$1
    shift
    "$tool" -q -o Dir::Etc::SourceList=/dev/null \
        -o Dir::Etc::SourceParts="$apt/sources" \
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User= -o Acquire::Retries=3 \
        -o Acquire::Languages=none "$@"
}

# where this machine gets its packages from
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null \
        | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1
}

# what the lists have, the newest first
versions() {
    run apt-cache showsrc nginx | sed -n 's/^Version: //p' | sort -uVr
}

# the first of these that comes: a mirror's lists may be ahead of its files, or
# its files ahead of what is installed
fetch() {
    for v in "$@"; do
        run apt-get source "nginx=$v" && exit 0
        rm -rf nginx*
    done
    echo "nginx's source cannot be fetched: ${*:-none offered}" >&2
    exit 1
}

case $which in
installed)
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$f" ] || sed -n 's/^deb /deb-src /p' "$f" \
            >"$apt/sources/$(basename "$f" .list).list"
    done
    for f in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$f" ] || sed 's/^Types:.*/Types: deb-src/' "$f" \
            >"$apt/sources/$(basename "$f")"
    done

    # a source without deb-src is no obstacle as long as nginx is found
    run apt-get update || :
    version=$(dpkg-query -W -f '${Version}' nginx-dev)
    fetch $version $(versions | grep -F "${version%-*}-")
    ;;

newest)
    url=$(mirror)
    url=${url:-http://deb.debian.org/debian}
    for suite in stable testing unstable; do
        echo "deb-src [signed-by=$keyring] $url $suite main"
    done >"$apt/sources/newer.list"

    run apt-get update || :
    fetch $(versions | grep -E '^([0-9]+:)?[0-9]+\.[0-9]*[02468]\.')
    ;;

*)
    exit 2
    ;;
esac
