#!/usr/bin/env bash
# `npm start` on free ports: the three services answer, TERM ends them within seconds, and the ports are free again.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(mktemp -d)
log=$data/start.log
pid=
finish() {
  if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then kill -TERM "$pid"; wait "$pid" || true; fi
  rm -rf "$data"
}
trap finish EXIT
fail() { echo "start test: $*" >&2; tail -50 "$log" >&2; exit 1; }
free_ports() { node -e 'const n=require("net");const s=[0,0,0].map(()=>n.createServer().listen(0,"127.0.0.1"));setTimeout(()=>{console.log(s.map(x=>x.address().port).join(" "));s.forEach(x=>x.close())},200)'; }
answers() { node -e 'fetch(process.argv[1]).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))' "$1"; }

read -r api sdk keys < <(free_ports)
NEXUS_PUABO_API_PORT=$api NEXUS_PUABOAI_SDK_PORT=$sdk NEXUS_PV_KEYS_PORT=$keys NEXUS_DATA_DIR=$data/nexus npm start >"$log" 2>&1 &
pid=$!
for port in "$api" "$sdk" "$keys"; do
  for attempt in $(seq 120); do
    answers "http://127.0.0.1:$port/health" && break
    kill -0 "$pid" 2>/dev/null || fail "npm start ended by itself"
    [ "$attempt" -lt 120 ] || fail "port $port did not answer within 60 s"
    sleep 0.5
  done
done
echo "the three services answer on $api, $sdk and $keys"
kill -TERM "$pid"
for attempt in $(seq 60); do
  kill -0 "$pid" 2>/dev/null || break
  [ "$attempt" -lt 60 ] || fail "npm start did not end within 30 s of TERM"
  sleep 0.5
done
wait "$pid" || true
pid=
for port in "$api" "$sdk" "$keys"; do
  if answers "http://127.0.0.1:$port/health"; then fail "port $port still answers after TERM"; fi
done
echo "TERM ended them and freed the ports"
