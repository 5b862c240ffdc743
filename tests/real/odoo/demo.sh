#!/usr/bin/env bash
# The gateway in front of the real Odoo 19 of fleet.sh and its two databases. Ctrl-C ends all of it.
#
#   demo.sh PROGRAM [ADDRESS]      PROGRAM is the fleetgate to run; the parts of `fleet.sh get` are there
set -euo pipefail

PROGRAM=$(realpath "${1:?which fleetgate?}")
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LISTEN=${2:-127.0.0.1:8080}
PORT=${LISTEN##*:}
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/fleetgate-odoo-XXXXXX")

end() {
  trap '' INT TERM
  "$HERE/fleet.sh" down
  rm -rf "$FOLDER"
}
trap end EXIT
# The gateway ends by itself when Ctrl-C reaches it; then `end` runs.
trap : INT
trap 'kill "$GATEWAY" 2>/dev/null' TERM

"$HERE/fleet.sh" up
. "${FLEETGATE_LAB:-$HERE/../../../.lab}/run/fleet.env"

cat >"$FOLDER/fleetgate.yaml" <<YAML
listeners: [ { address: "$LISTEN" } ]
admin: { socket: $FOLDER/admin.sock }
drain: { timeout: 5s, websocket_spread: 1s }
regions: [ { name: here } ]
pools:
  odoo:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    session_cookie: { secure: false } # browsers come by plain HTTP here
    filestore: $LAB/data/filestore
    regions:
      here: { backends: [ { http: "127.0.0.1:$HTTP_PORT", websocket: "127.0.0.1:$GEVENT_PORT" } ] }
tenants_directory: tenants.d
YAML
mkdir "$FOLDER/tenants.d"
echo '- { id: acme, hosts: [acme.localhost], database: acme, pool: odoo }' >"$FOLDER/tenants.d/acme.yaml"
echo '- { id: globex, hosts: [globex.localhost], database: globex, pool: odoo }' >"$FOLDER/tenants.d/globex.yaml"

cat <<TEXT

Fleetgate in front of Odoo 19 (HTTP $HTTP_PORT, gevent $GEVENT_PORT), databases acme and globex.

Open in a browser     http://acme.localhost:$PORT/odoo     log in as admin, password admin-acme
                      http://globex.localhost:$PORT/odoo   log in as admin, password admin-globex
A host of nobody      curl -i http://nobody.localhost:$PORT/
What would happen     $PROGRAM explain http://acme.localhost:$PORT/websocket --socket $FOLDER/admin.sock
What is going on      $PROGRAM status --socket $FOLDER/admin.sock
Change it live        edit $FOLDER/tenants.d
Odoo's own log        $LAB/run/odoo.log

Requests (Ctrl-C ends it):
TEXT

# One short line a request, from the access log.
show() {
  python3 -u -c '
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin:
    e = json.loads(line)
    print("%s  %-5s %-10s %-4s %-40s %3d %9.1f ms  %s" % (e["time"][11:19], e.get("database", "-"), e.get("class", "-"),
        e["method"], e["path"][:40], e["status"], e["duration_ms"], e.get("rejection") or e.get("backend", "-")))'
}

FLEETGATE_LOG=${FLEETGATE_LOG:-warn,fleetgate::reload=info,pingora_core=off,pingora_proxy=off} \
  "$PROGRAM" run --config "$FOLDER/fleetgate.yaml" > >(show) &
GATEWAY=$!
# A signal ends a wait, not the gateway; a second wait still tells how it ended.
while kill -0 "$GATEWAY" 2>/dev/null; do wait "$GATEWAY" || true; done
status=0
wait "$GATEWAY" || status=$?
exit "$status"
