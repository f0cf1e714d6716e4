#!/bin/bash
# Run the system that is in build/: Redis (the bus, too), logic, job, nginx and an
# application that signs tokens, in a temporary folder, until Ctrl-C or SIGTERM.
# Nothing stays behind.

set -eu
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")/.."

LISTEN=${LISTEN:-127.0.0.1}
PAGE_PORT=${PAGE_PORT:-3102}
TCP_PORT=${TCP_PORT:-3101}
WSS_PORT=${WSS_PORT:-3103}
HTTP_PORT=${HTTP_PORT:-3111}
JOB_PORT=${JOB_PORT:-3112}
RPC_PORT=${RPC_PORT:-3119}
REDIS_PORT=${REDIS_PORT:-0}
AUTH=${AUTH:-jwt}
TOKEN_SECONDS=${TOKEN_SECONDS:-600}
BUILD=$(realpath "${BUILD:-build}")

usage() {
    cat <<TXT
usage: ./demo.sh            (all of these come from the environment)

    LISTEN=127.0.0.1        where nginx listens; 0.0.0.0: everywhere
    PAGE_PORT=3102          the page, /sub, /echo, /goim/status
    WSS_PORT=3103           the same over TLS, certificate of its own
    TCP_PORT=3101           raw TCP
    HTTP_PORT=3111          logic's HTTP API, on loopback
    RPC_PORT=3119           logic's RPC, on loopback
    JOB_PORT=3112           job's /metrics, on loopback
    REDIS_PORT=0            0: a unix socket in the temporary folder
    AUTH=jwt                trust: for goim's own clients, no application, no tokens
    TOKEN_SECONDS=600       how long a token is good
TXT
}

ports="PAGE_PORT WSS_PORT TCP_PORT HTTP_PORT RPC_PORT JOB_PORT"
[ "$REDIS_PORT" = 0 ] || ports="$ports REDIS_PORT"

# whether anybody listens on a port, whatever the address
taken() {
    local hex
    hex=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null \
        | grep -qE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A "
}

check_ports() {
    local name port seen=" " bad=0

    case $AUTH in
    jwt|trust) ;;
    *) echo "AUTH=$AUTH: it is jwt or trust" >&2; bad=1 ;;
    esac

    case $TOKEN_SECONDS in
    ''|*[!0-9]*) echo "TOKEN_SECONDS=$TOKEN_SECONDS: no number" >&2; bad=1 ;;
    esac

    for name in $ports; do
        port=${!name}

        case $port in
        ''|*[!0-9]*) echo "$name=$port: not a port" >&2; bad=1; continue ;;
        esac

        if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
            echo "$name=$port: not a port" >&2
            bad=1
        elif [[ $seen == *" $port "* ]]; then
            echo "$name=$port: given twice" >&2
            bad=1
        elif taken "$port"; then
            echo "port $port is taken; choose another with $name=PORT" >&2
            bad=1
        fi
        seen="$seen$port "
    done
    return $bad
}

case ${1-} in
'') ;;
--check) check_ports; exit ;;
--help) usage; exit ;;
*) usage >&2; exit 2 ;;
esac

check_ports

# ---- the folder ---------------------------------------------------------------

dir=$(mktemp -d "${TMPDIR:-/tmp}/goim-demo.XXXXXX")
names=() pids=()

cleanup() {
    local i end
    trap '' INT TERM HUP

    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || continue
        end=$((SECONDS + 12))
        while kill -0 "${pids[i]}" 2>/dev/null; do
            [ $SECONDS -lt $end ] || kill -KILL "${pids[i]}" 2>/dev/null || :
            sleep 0.05
        done
    done
    wait 2>/dev/null || :
    rm -rf "$dir"
}

trap cleanup EXIT
trap 'echo; exit 0' INT TERM
trap 'exit 0' HUP

# Only nginx's master needs root, when it is root that runs this.
plain=(setpriv --pdeathsig TERM)
as_user=("${plain[@]}")
user=
if [ "$(id -u)" = 0 ]; then
    as_user+=(--reuid=www-data --regid=www-data --clear-groups)
    user='user www-data;'
fi

mkdir "$dir/redis" "$dir/tmp" "$dir/bin" "$dir/db"
cp -R web "$dir/web"
cp "$BUILD/goim-logic" "$BUILD/goim-job" "$dir/bin/"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -days 30 -subj /CN=localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" 2>"$dir/openssl.log" \
    || { cat "$dir/openssl.log" >&2; exit 1; }

# The application has the key, logic what verifies it; the page is told where its
# tokens are.
auth=() token= insecure=off
if [ "$AUTH" = jwt ]; then
    mkdir "$dir/app"
    cp tools/demo-app.pl "$dir/bin/"
    openssl genpkey -algorithm ed25519 -out "$dir/app/key"
    openssl pkey -in "$dir/app/key" -pubout -out "$dir/token.pem"
    auth=(-e "s|^mode = .*|mode = jwt\nalgorithms = EdDSA\nkeys = $dir/token.pem\n\
audience = goim-demo|")
    token="location = /token { proxy_pass http://unix:$dir/app/socket:; }"
    sed -i 's|\(name="goim-token" content="\)|\1/token|' \
        "$dir/web/index.html" "$dir/web/rooms.html"
fi

stream_module= stream=
if [ -f "$BUILD/ngx_stream_goim_module.so" ]; then
    for so in /usr/lib/nginx/modules/ngx_stream_module.so; do
        [ ! -f "$so" ] || stream_module="load_module $so;"
    done
    stream_module="$stream_module load_module \
$BUILD/ngx_stream_goim_module.so;"
    stream="stream { server { listen $LISTEN:$TCP_PORT; goim_subscribe; } }"
fi

sed -e "s|@BUILD@|$BUILD|g; s|@DIR@|$dir|g; s|@USER@|$user|" \
    -e "s|@LISTEN@|$LISTEN|g; s|@PAGE_PORT@|$PAGE_PORT|g" \
    -e "s|@WSS_PORT@|$WSS_PORT|g; s|@HTTP_PORT@|$HTTP_PORT|g" \
    -e "s|@RPC_PORT@|$RPC_PORT|g; s|@REDIS@|unix:$dir/redis/sock|" \
    -e "s|@TOKEN@|$token|; s|@STREAM_MODULE@|$stream_module|; s|@STREAM@|$stream|" \
    conf/demo.nginx.conf >"$dir/nginx.conf"

# logic and job open the same file; with AUTH=trust anybody reads everybody's
[ "$AUTH" = jwt ] || insecure=on
im=(-e "s|^; db = sqlite:.*|; db = sqlite:$dir/db/im.db|" \
    -e "s|^; insecure = .*|; insecure = $insecure|" \
    -e 's|^; offline_push = .*|; offline_push = 100|' \
    -e '/^; \[im\]/,/^$/s/^; \(\[im\]\|db \|insecure \|offline_push \)/\1/')

# a new system waits two renewals before it believes its set of nodes
sed -e "s|^http = .*|http = 127.0.0.1:$HTTP_PORT|; s|^renew = .*|renew = 1s|" \
    -e "s|^rpc = .*|rpc = 127.0.0.1:$RPC_PORT|" \
    -e "s|^tcp_port = .*|tcp_port = $TCP_PORT|" \
    -e "s|^ws_port = .*|ws_port = $PAGE_PORT|" \
    -e "s|^wss_port = .*|wss_port = $WSS_PORT|" \
    -e "s|^addr = .*|addr = unix:$dir/redis/sock|" "${auth[@]}" "${im[@]}" \
    conf/logic.conf >"$dir/logic.conf"

sed -e "s|^http = .*|http = 127.0.0.1:$JOB_PORT|; s|^renew = .*|renew = 1s|" \
    -e "s|^addr = .*|addr = unix:$dir/redis/sock|" "${im[@]}" \
    -e '/^; \[history\]/,/^$/s|^; ||' \
    conf/job.conf >"$dir/job.conf"

if [ -n "$user" ]; then
    chown -R www-data:www-data "$dir"
    chmod 700 "$dir"
fi

# ---- run ------------------------------------------------------------------------

# NAME COMMAND...: not in the terminal's process group, so that a Ctrl-C comes
# here alone, and not outliving this script
start() {
    local name=$1
    shift
    setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
    names+=("$name")
    pids+=($!)
}

gone() {
    echo "$1 ended unexpectedly:" >&2
    tail -n 20 "$dir/$1.out" >&2
    [ ! -s "$dir/$1.log" ] || tail -n 20 "$dir/$1.log" >&2
    exit 1
}

all_alive() {
    local i
    for i in "${!pids[@]}"; do
        kill -0 "${pids[i]}" 2>/dev/null || gone "${names[i]}"
    done
}

# WHAT COMMAND...: until it succeeds
until_ok() {
    local what=$1 end=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        all_alive
        if [ $SECONDS -ge $end ]; then
            echo "$what did not answer in 30 s" >&2
            tail -n 20 "$dir"/*.out "$dir"/nginx.log >&2 || :
            exit 1
        fi
        sleep 0.05
    done
}

registered() {
    curl -fs -m 2 "http://$host:$PAGE_PORT/goim/status" \
        | grep -qE '"registered": ?(true|1)'
}

start redis "${as_user[@]}" redis-server --port "$REDIS_PORT" \
    --bind 127.0.0.1 --unixsocket "$dir/redis/sock" --dir "$dir/redis" \
    --appendonly yes --appendfsync always --save ''
until_ok Redis redis-cli -s "$dir/redis/sock" ping

start logic "${as_user[@]}" "$dir/bin/goim-logic" --config "$dir/logic.conf"
start job "${as_user[@]}" "$dir/bin/goim-job" --config "$dir/job.conf"
[ "$AUTH" = trust ] || start app "${as_user[@]}" "$dir/bin/demo-app.pl" \
    "$dir/app/socket" "$dir/app/key" "$TOKEN_SECONDS"
start nginx "${plain[@]}" nginx -p "$dir/" -c "$dir/nginx.conf" -e "$dir/nginx.log"

host=$LISTEN
[ "$host" != 0.0.0.0 ] || host=127.0.0.1

until_ok logic curl -fs -m 2 "http://127.0.0.1:$HTTP_PORT/health"
until_ok job curl -fs -m 2 "http://127.0.0.1:$JOB_PORT/metrics"
[ "$AUTH" = trust ] || until_ok application [ -S "$dir/app/socket" ]
until_ok nginx registered

cat <<TXT

ngx_goim is running.

  page     http://$host:$PAGE_PORT/     https://$host:$WSS_PORT/
  status   http://$host:$PAGE_PORT/goim/status
TXT
[ -z "$stream" ] || echo "  TCP      $host:$TCP_PORT"
if [ "$AUTH" = jwt ]; then
    echo "  tokens   http://$host:$PAGE_PORT/token?mid=7"
    echo
    echo "AUTH=trust ./demo.sh lets anybody in, as goim's own clients need it."
else
    echo
    echo "Anybody is let in as anyone: AUTH=trust."
fi
cat <<TXT

Open the page in two windows, as two users or as two devices of one, and write. Or
join room live://1000 (Rooms), and push a message to it:

  curl -d 'hello' 'http://127.0.0.1:$HTTP_PORT/goim/push/room?operation=1000&type=live&room=1000'

Ctrl-C stops everything.
TXT

while :; do
    all_alive
    sleep 1 &
    wait $! || :
done
