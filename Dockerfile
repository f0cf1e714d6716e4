# nginx with the module, goim-logic or goim-job, by the command:
#
#     docker build -t ngx_goim .
#     docker run ngx_goim                     nginx, /etc/nginx/nginx.conf
#     docker run ngx_goim goim-logic --config /etc/ngx_goim/logic.conf
#     docker run ngx_goim goim-job --config /etc/ngx_goim/job.conf
#
# The configurations are those of conf/, for one machine: mount your own, with
# addresses of Redis and logic, and with logic listening on more than loopback.

FROM debian:bookworm-slim AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends make gcc libc6-dev nginx-dev \
       libhiredis-dev librdkafka-dev libprotobuf-c-dev libjansson-dev \
       libevent-dev libinih-dev libcurl4-openssl-dev libssl-dev \
       libsqlite3-dev libpq-dev libpcre2-dev zlib1g-dev

COPY . /src
WORKDIR /src
RUN make -j"$(nproc)" && make install DESTDIR=/out


FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx libnginx-mod-stream \
       librdkafka1 libhiredis0.14 libprotobuf-c1 libjansson4 \
       libevent-2.1-7 libevent-pthreads-2.1-7 libinih1 \
       libcurl4 libssl3 libsqlite3-0 libpq5 ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log

COPY --from=build /out/ /
COPY conf/nginx.conf /etc/nginx/nginx.conf
COPY conf/modules-enabled/ /etc/nginx/modules-enabled/
COPY conf/logic.conf conf/job.conf /etc/ngx_goim/

EXPOSE 3101 3102 3103 3111 3112 3119
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
