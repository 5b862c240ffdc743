#!/usr/bin/env bash
# A real Odoo 19 that serves two databases, acme and globex, on free loopback ports, with PostgreSQL 15; and a third,
# initech, which has a website.
#
#   fleet.sh get    install what is missing (and say so); Odoo itself is unpacked in the lab folder, never installed
#   fleet.sh up     start PostgreSQL and Odoo and write <lab>/run/fleet.env; does nothing when they already run
#   fleet.sh down   end what `up` started; the databases stay for the next `up`
#
# The lab folder is $FLEETGATE_LAB (default: .lab in the repository). Two lab folders can be up at once.
# Users: admin / admin-acme, admin / admin-globex, admin / admin-initech. Only the header X-Odoo-dbfilter picks the database
# (OCA's dbfilter_from_header): a request without it finds two databases, so none.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB=$(realpath -m "${FLEETGATE_LAB:-$HERE/../../../.lab}")
RUN=$LAB/run
PG=/usr/lib/postgresql/15/bin
ODOO_LIB=$LAB/odoo/usr/lib/python3/dist-packages
TEMPLATE=fleet_template
TENANTS=(acme globex)
WEBSITE=initech
DBFILTER_FROM_HEADER=19.0.1.0.0.2

say() { echo "fleet: $*"; }
die() { echo "fleet: $*" >&2; exit 1; }

# --- get ---------------------------------------------------------------------------------------------------------

install_packages() {
  local missing=() package
  for package in postgresql-15 python3-venv curl util-linux chromium libatomic1 \
    libjs-jquery libjs-underscore libjs-jquery-form fonts-font-awesome fonts-inconsolata fonts-roboto-unhinted; do
    case $package in # these come from other places than Debian, too
      curl) command -v curl >/dev/null && continue ;;
      chromium) [ -x "${CHROMIUM:-/usr/bin/chromium}" ] && continue ;;
    esac
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "not root: run 'apt-get install --no-install-recommends ${missing[*]}' and try again"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$LAB/apt.log" 2>&1 || { tail "$LAB/apt.log" >&2; die "apt-get failed, see $LAB/apt.log"; }
}

# Odoo is in Debian's development suite only. A list, state and cache of our own leave the machine's apt alone.
get_odoo() {
  [ -e "$LAB/odoo/.ok" ] && return
  say "downloading Odoo 19 (120 MB) and unpacking it"
  local apt=$LAB/apt mirror options
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/\?$') ||
    die "apt knows no Debian mirror: /etc/apt/sources.list needs one whose address ends in /debian"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb $mirror sid main" >"$apt/sid.list"
  options=(-qq -o "Dir::Etc::sourcelist=$apt/sid.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" download odoo-19)
  rm -rf "$LAB/odoo" && mkdir -p "$LAB/odoo/usr/share"
  # Translations are half of it, and Debian ships most addons twice.
  dpkg-deb --fsys-tarfile "$apt"/odoo-19_*.deb |
    tar -x -C "$LAB/odoo" --exclude='*/i18n' --exclude='./usr/lib/python3/dist-packages/addons'
  # The package's web client links to Debian's own copies of jQuery and fonts, relative to its root.
  local shared
  for shared in javascript fonts fonts-font-awesome; do ln -sfn "/usr/share/$shared" "$LAB/odoo/usr/share/$shared"; done
  rm -rf "$apt"
  touch "$LAB/odoo/.ok"
}

get_python() {
  local wanted; wanted=$(sha256sum "$HERE/requirements.txt" | cut -c1-16)-$DBFILTER_FROM_HEADER
  [ "$(cat "$LAB/venv/.ok" 2>/dev/null)" = "$wanted" ] && return
  say "installing Odoo's Python packages and the clients' in a virtual environment"
  python3 -m venv "$LAB/venv"
  local pip=("$LAB/venv/bin/pip" install -q --disable-pip-version-check)
  "${pip[@]}" -r "$HERE/requirements.txt"
  rm -rf "$LAB/addons"
  "${pip[@]}" --no-deps --no-compile --target "$LAB/addons" "odoo-addon-dbfilter-from-header==$DBFILTER_FROM_HEADER"
  local driver; driver=$(echo "$LAB"/venv/lib/python3*/site-packages/playwright/driver)
  mkdir -p "$LAB/node/node_modules"
  ln -sfn "$driver/node" "$LAB/node/node"
  ln -sfn "$driver/package" "$LAB/node/node_modules/playwright-core"
  echo "$wanted" >"$LAB/venv/.ok"
}

get() {
  install_packages
  local jobs=() job failed=0
  get_odoo & jobs+=($!)
  get_python & jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  [ $failed = 0 ] || die "get failed, see above"
  say "all parts are there, in $LAB"
}

# --- PostgreSQL --------------------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root.
as_postgres() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi 9>&-; }
sql() { PGOPTIONS="-c client_min_messages=warning" psql -qAtX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U "${2:-postgres}" -d "$1"; }

# The data folder: in the lab, unless the user postgres cannot reach that (a clone under /root).
pg_data() {
  if as_postgres test -x "$LAB"; then echo "$LAB/pg"; else echo "/var/lib/postgresql/fleetgate-$(echo "$LAB" | cksum | cut -d' ' -f1)"; fi
}

# Free ports below the range that outgoing connections use, all different.
free_ports() {
  python3 - "$1" <<'PY'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    try:
        s = socket.socket(); s.bind(("127.0.0.1", random.randrange(15000, 32000))); held.append(s)
    except OSError:
        pass
print(*(s.getsockname()[1] for s in held))
PY
}

start_postgres() {
  local data; data=$(pg_data)
  if [ ! -e "$data/.ok" ]; then
    rm -rf "$data" && mkdir -p "$data"
    [ "$(id -u)" != 0 ] || chown postgres: "$data"
    chmod 700 "$data"
    as_postgres "$PG/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-sync >"$RUN/initdb.log" || die "initdb failed, see $RUN/initdb.log"
    # Test data: nothing here has to survive a power cut.
    as_postgres tee -a "$data/postgresql.conf" >/dev/null <<'CONF'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
CONF
    as_postgres touch "$data/.ok"
  fi
  local try
  for try in 1 2 3; do # somebody may take the port between the look and the start
    PG_PORT=$(free_ports 1)
    if as_postgres "$PG/pg_ctl" -w -D "$data" -o "-p $PG_PORT" -l "$data/server.log" start >/dev/null; then
      PG_PID=$(head -1 "$data/postmaster.pid")
      return
    fi
  done
  die "PostgreSQL did not start, see $data/server.log"
}

# --- Odoo --------------------------------------------------------------------------------------------------------

# Becomes Odoo, in a session of its own so that its workers end with it:
# call it in a subshell or in the background.
odoo() {
  local command=${1:?}
  shift
  # A settings file of our own: Odoo reads and writes ~/.odoorc otherwise.
  ODOO_RC=$RUN/odoorc PYTHONPATH=$ODOO_LIB exec setsid "$LAB/venv/bin/python" "$LAB/odoo/usr/bin/odoo" "$command" --db_host 127.0.0.1 --db_port "$PG_PORT" \
    --db_user odoo --data-dir "$LAB/data" --addons-path "$ODOO_LIB/odoo/addons,$LAB/addons/odoo/addons" "$@" 9>&-
}

# The template is made under another name: one that has its final name is whole.
make_template() {
  local half=${TEMPLATE}_half
  [ -n "$(sql postgres <<<"select 1 from pg_database where datname = '$TEMPLATE'")" ] && return
  say "making the template database (once, 25 s)"
  sql postgres <<<"do \$\$ begin create role odoo login createdb; exception when duplicate_object then null; end \$\$"
  sql postgres <<<"drop database if exists $half with (force)"
  rm -rf "$LAB/data/filestore/$half" "$LAB/data/filestore/$TEMPLATE"
  (odoo server --database "$half" --init base,web,bus,mail --skip-auto-install --stop-after-init --no-http) >"$RUN/init.log" 2>&1 ||
    die "Odoo could not make a database, see $RUN/init.log"
  (odoo shell --database "$half" --no-http --shell-interface python <"$HERE/template.py") >>"$RUN/init.log" 2>&1 ||
    die "Odoo could not fill the template, see $RUN/init.log"
  [ -n "$(sql "$half" <<<"select 1 from res_partner where name = 'secret-TEMPLATE'")" ] || die "the template was not filled, see $RUN/init.log"
  mv "$LAB/data/filestore/$half" "$LAB/data/filestore/$TEMPLATE"
  sql postgres <<<"alter database $half is_template true"
  sql postgres <<<"alter database $half rename to $TEMPLATE"
}

# A copy has an identity of its own: with the same database.secret, one tenant's sessions would be valid at the other.
# make_tenant NAME [MODULE]: the module is installed on top.
make_tenant() {
  local tenant=$1 module=${2:-} half=${1}_half company="${1^^} Retail"
  [ -n "$(sql postgres <<<"select 1 from pg_database where datname = '$tenant'")" ] && return
  sql postgres <<<"drop database if exists $half with (force)"
  sql postgres <<<"create database $half template $TEMPLATE owner odoo"
  sql "$half" odoo <<SQL
update ir_config_parameter set value = gen_random_uuid() where key in ('database.uuid', 'database.secret');
update res_company set name = '$company' where name = 'TEMPLATE company';
update res_partner set name = '$company', complete_name = '$company' where name = 'TEMPLATE company';
update res_partner set name = 'secret-$tenant', complete_name = 'secret-$tenant', email = 'secret-$tenant@example.com',
  email_normalized = 'secret-$tenant@example.com' where name = 'secret-TEMPLATE';
update res_users set password = 'admin-$tenant' where login = 'admin';
SQL
  rm -rf "$LAB/data/filestore/$half" "$LAB/data/filestore/$tenant"
  cp -a "$LAB/data/filestore/$TEMPLATE" "$LAB/data/filestore/$half"
  if [ -n "$module" ]; then
    say "installing $module in $tenant (once, 20 s)"
    (odoo server --database "$half" --init "$module" --skip-auto-install --stop-after-init --no-http) >"$RUN/$module.log" 2>&1 ||
      die "Odoo could not install $module, see $RUN/$module.log"
  fi
  mv "$LAB/data/filestore/$half" "$LAB/data/filestore/$tenant"
  sql postgres <<<"alter database $half rename to $tenant"
}

answers() { curl -sf -o /dev/null --max-time 5 "http://127.0.0.1:$1$2"; }

start_odoo() {
  local try
  for try in 1 2 3; do
    read -r HTTP_PORT GEVENT_PORT < <(free_ports 2)
    odoo server --http-interface 127.0.0.1 --http-port "$HTTP_PORT" --gevent-port "$GEVENT_PORT" --workers 2 --max-cron-threads 0 \
      --x-sendfile --proxy-mode --load base,web,bus,rpc,dbfilter_from_header >"$RUN/odoo.log" 2>&1 </dev/null &
    ODOO_PID=$!
    local deadline=$((SECONDS + 60))
    while [ $SECONDS -lt $deadline ] && kill -0 "$ODOO_PID" 2>/dev/null; do
      answers "$HTTP_PORT" /web/health && answers "$GEVENT_PORT" /websocket/health && return
      sleep 0.2
    done
    stop_odoo
    grep -q 'already in use' "$RUN/odoo.log" || break
  done
  die "Odoo did not start, see $RUN/odoo.log"
}

# --- up and down -------------------------------------------------------------------------------------------------

is_up() {
  [ -e "$RUN/fleet.env" ] || return 1
  . "$RUN/fleet.env"
  is_ours "$ODOO_PID" && answers "$HTTP_PORT" /web/health && answers "$GEVENT_PORT" /websocket/health
}

# A number in a file may be another process by now: only a command line that names this lab is ours.
is_ours() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$LAB/"; }

up() {
  [ -e "$LAB/odoo/.ok" ] && [ -e "$LAB/venv/.ok" ] || die "parts are missing: run '$0 get' first"
  [ -x "$PG/postgres" ] || die "PostgreSQL 15 is missing: run '$0 get' first"
  if is_up; then say "already up: HTTP $HTTP_PORT, gevent $GEVENT_PORT"; return; fi
  stop
  trap stop EXIT
  start_postgres
  make_template
  for tenant in "${TENANTS[@]}"; do make_tenant "$tenant"; done
  make_tenant "$WEBSITE" website
  start_odoo
  cat >"$RUN/fleet.env" <<ENV
LAB=$LAB
HTTP_PORT=$HTTP_PORT
GEVENT_PORT=$GEVENT_PORT
PG_PORT=$PG_PORT
ODOO_PID=$ODOO_PID
PG_PID=$PG_PID
ENV
  trap - EXIT
  say "up: HTTP $HTTP_PORT, gevent $GEVENT_PORT, databases ${TENANTS[*]} $WEBSITE (admin / admin-NAME), log $RUN/odoo.log"
}

stop_odoo() {
  is_ours "${ODOO_PID:-none}" || return 0
  kill -TERM -- "-$ODOO_PID" 2>/dev/null || true
  local deadline=$((SECONDS + 10))
  while [ $SECONDS -lt $deadline ] && kill -0 -- "-$ODOO_PID" 2>/dev/null; do sleep 0.1; done
  kill -KILL -- "-$ODOO_PID" 2>/dev/null || true
}

stop() {
  [ ! -e "$RUN/fleet.env" ] || . "$RUN/fleet.env"
  stop_odoo
  local data; data=$(pg_data)
  if as_postgres "$PG/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    as_postgres "$PG/pg_ctl" -w -D "$data" -m fast stop >/dev/null || die "PostgreSQL does not stop, see $data/server.log"
  fi
  rm -f "$RUN/fleet.env"
}

mkdir -p "$RUN"
exec 9>"$LAB/lock"
flock 9
case ${1:-} in
  get) get ;;
  up) up ;;
  down) stop && say "down" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
