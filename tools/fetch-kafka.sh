#!/bin/sh
# Fetch Kafka's jars from Maven, once, into the cache; prints their folder.
# With KAFKA_LIBS set to a folder that has them, that one is used.

set -eu

version=3.9.1

if [ -n "${KAFKA_LIBS-}" ]; then
    echo "$KAFKA_LIBS"
    exit 0
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ngx_goim/kafka
libs=$cache/$version

mkdir -p "$cache"
exec 9>"$cache/lock"
flock -w 900 9

if [ ! -f "$libs/complete" ]; then
    for need in mvn java; do
        command -v $need >/dev/null || {
            echo "$need: not found (Debian: maven, default-jre-headless)" >&2
            exit 1
        }
    done

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP

    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ngx-goim</groupId>
  <artifactId>kafka-libs</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-reload4j</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM

    # a network that stumbles is asked again
    for try in 1 2 3; do
        rm -rf "$libs"
        if timeout 600 mvn -B -q -f "$work/pom.xml" \
            -Dmaven.repo.local="$cache/repository" \
            org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$libs" \
            >"$work/log" 2>&1 9>&-
        then
            touch "$libs/complete"
            rm -rf "$cache/repository"
            break
        fi
        [ $try = 3 ] || sleep 5
    done

    [ -f "$libs/complete" ] || {
        tail -n 20 "$work/log" >&2
        echo "Kafka's jars could not be fetched from Maven" >&2
        exit 1
    }
fi

echo "$libs"
