#!/usr/bin/env bash
# postgres.sh COMMAND...: run a command beside a PostgreSQL server of its own, which ends and is gone afterwards.
#
# The command finds its address in KAKUNIN_TEST_POSTGRES, by TLS in KAKUNIN_TEST_POSTGRES_TLS, and in KAKUNIN_TEST_POSTGRES_CONTROL a script that takes
# `stop` (as a crash would), `start` and `restart`.
source "$(dirname "$0")/env.sh"

[ $# -gt 0 ] || fail "name the command to run"

bin="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)"
if [ ! -x "$bin/postgres" ]; then
  # Its package makes a cluster and starts it; neither is wanted.
  mkdir -p "$CACHE"
  apt_install postgresql
  bin="$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)"
fi

place="$(mktemp -d /tmp/kakunin-postgres.XXXXXX)"
as=()
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL does not run as root.
  as=(runuser -u postgres --)
  chown postgres "$place"
fi

# Seconds for a server to come back: on a busy disk it flushes the files of many databases first.
patience=300
control="$place/control"
cat > "$control" <<END
#!/usr/bin/env bash
cd "$place"
case "\$1" in
  start) exec ${as[*]} "$bin/pg_ctl" -D "$place/data" -l "$place/log" -w -t "$patience" -s start ;;
  stop) exec ${as[*]} "$bin/pg_ctl" -D "$place/data" -m immediate -w -t "$patience" -s stop ;;
  restart) exec ${as[*]} "$bin/pg_ctl" -D "$place/data" -l "$place/log" -m immediate -w -t "$patience" -s restart ;;
esac
END
chmod 755 "$place" "$control"

finish() {
  "$control" stop >/dev/null 2>&1 || true
  rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT TERM

cd "$place"
# A certificate for `localhost` and for no other name, of an authority that nobody else knows.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=database authority" \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=database" -keyout server.key -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
  -extfile <(printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth') 2>/dev/null
chmod 600 server.key
[ "$(id -u)" != 0 ] || chown postgres server.key server.pem
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
"${as[@]}" "$bin/initdb" -D "$place/data" -U kakunin -A trust -E UTF8 --locale=C.UTF-8 -N >"$place/initdb.log" 2>&1 ||
  { cat "$place/initdb.log" >&2; fail "initdb did not work"; }
"${as[@]}" tee -a "$place/data/postgresql.conf" >/dev/null <<END
listen_addresses = 'localhost'
port = $port
ssl = on
ssl_cert_file = '$place/server.pem'
ssl_key_file = '$place/server.key'
unix_socket_directories = '$place'
max_connections = 200
shared_buffers = 64MB
END
"$control" start >&2 || { cat "$place/log" >&2; fail "PostgreSQL did not start"; }
cd "$ROOT"

export KAKUNIN_TEST_POSTGRES="postgres:///postgres?host=${place//\//%2F}&port=$port&user=kakunin"
export KAKUNIN_TEST_POSTGRES_TLS="postgres://kakunin@localhost:$port/postgres?sslmode=verify-full&sslrootcert=$place/ca.pem"
export KAKUNIN_TEST_POSTGRES_CONTROL="$control"
"$@"
