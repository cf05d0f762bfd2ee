#!/usr/bin/env bash
# A real PostgreSQL server in a folder, for tests: `postgres_server.sh up DIR PORT` prints its URL, `down DIR` stops it.
# `up` installs Debian's package where no server is found, `install` does only that. The server listens on the loopback and trusts its callers.
set -euo pipefail

die() { echo "postgres_server: $*" >&2; exit 1; }

programs() {  # the newest folder with a server's programs
  if command -v initdb >/dev/null; then dirname "$(readlink -f "$(command -v initdb)")"; return; fi
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ -x "$found/initdb" ] && echo "$found"
}

as_postgres() {  # a server refuses to run as root
  if [ "$(id -u)" = 0 ]; then su postgres -s /bin/sh -c "$*"; else sh -c "$*"; fi
}

install() {
  programs >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

up() {
  local dir=$1 port=$2 bin
  install
  bin=$(programs) || die "no server after the installation"
  id postgres >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || useradd --system --no-create-home postgres
  mkdir -p "$dir"
  [ "$(id -u)" != 0 ] || chown postgres "$dir"
  [ -s "$dir/data/PG_VERSION" ] || as_postgres "$bin/initdb -D '$dir/data' -U postgres -A trust" >/dev/null
  as_postgres "$bin/pg_ctl -D '$dir/data' -l '$dir/log' -w -o '-p $port -k $dir -c listen_addresses=127.0.0.1 -c fsync=off' start" >/dev/null
  echo "postgresql+psycopg://postgres@127.0.0.1:$port/postgres"
}

down() {
  local bin
  bin=$(programs) || die "no server is installed"
  as_postgres "$bin/pg_ctl -D '$1/data' -m immediate -w stop" >/dev/null
}

case ${1:-} in
  up) up "$2" "$3" ;;
  down) down "$2" ;;
  install) install ;;
  *) die "usage: $0 up DIR PORT | down DIR | install" ;;
esac
