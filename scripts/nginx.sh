#!/usr/bin/env bash
# nginx.sh: nginx, OpenSSL and curl use our certificates and lists, as the service publishes them: an agent passes,
# a revoked one, a stranger and one without a certificate do not.
source "$(dirname "$0")/env.sh"

ensure openssl openssl
ensure curl curl
export PATH="$PATH:/usr/sbin"
ensure nginx nginx
cli="${KAKUNIN_CLI:-$(scripts/cli.sh)}"
work="$(mktemp -d)"
jobs_started=()
end() {
  local pid
  for pid in "${jobs_started[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
cd "$work"

# waits FILE: until it is there and has something in it
waits() {
  local i
  for i in $(seq 600); do
    [ ! -s "$1" ] || return 0
    sleep 0.1
  done
  fail "$1 did not appear: $(cat ./*.log)"
}

# holds TEXT COMMAND...: whether the command's words have TEXT in them, whatever its exit code
holds() {
  local wanted="$1" said
  shift
  said="$("$@" 2>&1)" || true
  case "$said" in
    *"$wanted"*) ;;
    *) fail "no \`$wanted\` from: $*
$said" ;;
  esac
}

printf 'actions = ["read:*"]\n' >scope.toml
"$cli" init --home H >init.log
for name in good bad held; do
  "$cli" agent create "$name" --scope scope.toml --out "$name" --home H >>init.log
done

# The service signs lists that say there is a feed beside them, and these are the ones that others read.
"$cli" serve --home H --listen 127.0.0.1:0 --ready-file ready.json >serve.out 2>serve.log &
jobs_started+=($!)
waits ready.json
url="$(python3 -c 'import json; print(json.load(open("ready.json"))["url"])')"
KAKUNIN_TOKEN="$(python3 -c 'import json; print(json.load(open("ready.json"))["owner_key"])')"
export KAKUNIN_TOKEN
"$cli" revoke bad --reason drift --url "$url" >orders.log
"$cli" suspend held --reason look --url "$url" >>orders.log
lists() { curl -sSf "$url/v1/crl/all" >lists.new && mv lists.new lists.pem; }
lists
curl -sSf -H 'Accept: application/x-pem-file' "$url/v1/ca" >ca.pem
curl -sSf -H 'Accept: application/x-pem-file' "$url/v1/ca/chain" >chain.pem
# The policy (1.3.6.1.4.1.32473 is the arc of docs/oids.md) is an extension that OpenSSL does not know and may skip.
curl -sSf -H 'Accept: application/pkix-crl' "$url/v1/crl" >issuing.crl
holds "1.3.6.1.4.1.32473" openssl crl -inform DER -in issuing.crl -noout -text

checked=(openssl verify -crl_check_all -CAfile ca.pem -untrusted chain.pem -CRLfile lists.pem)
holds "good/agent.pem: OK" "${checked[@]}" good/agent.pem
holds "good/agent.pem: OK" "${checked[@]}" -purpose sslclient good/agent.pem
holds "certificate revoked" "${checked[@]}" bad/agent.pem
holds "certificate revoked" "${checked[@]}" held/agent.pem

# A server of somebody else's, and a stranger with a certificate of an authority that calls itself like ours.
own() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "$@" 2>>openssl.log; }
own -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout server.key -out server.pem
own -subj "$(openssl x509 -in good/agent.pem -noout -subject -nameopt compat | sed 's/^subject=//')" \
  -keyout stranger.key -out stranger.pem
mkdir -p tmp
cat >nginx.conf <<CONF
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; uwsgi_temp_path tmp/u; scgi_temp_path tmp/s;
  server {
    listen unix:$work/door.sock ssl;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_client_certificate chain.pem;
    ssl_crl lists.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;
    location / { return 200 "\$ssl_client_verify \$ssl_client_s_dn\n"; }
  }
}
CONF
chmod 755 "$work"
nginx -p "$work/" -c nginx.conf -e error.log 2>nginx.log &
nginx_pid=$!
jobs_started+=("$nginx_pid")
waits nginx.pid
comes() { curl -sS --max-time 60 --unix-socket door.sock --cacert server.pem "$@" https://localhost/; }
as() { comes --cert "$1/agent.pem" --key "$1/key.pem"; }
holds "SUCCESS" as good
holds "SSL certificate error" as bad
holds "SSL certificate error" as held
holds "SSL certificate error" comes --cert stranger.pem --key stranger.key
holds "No required SSL certificate was sent" comes
holds "certificate revoked" cat error.log

# A hold ends, and an agent is revoked: with the next list nginx knows both.
"$cli" resume held --reason seen --url "$url" >>orders.log
"$cli" revoke good --reason drift --url "$url" >>orders.log
lists
kill -HUP "$nginx_pid"
# For a moment its old workers answer beside the new ones: refused once is not yet refused by all.
refused=0
for i in $(seq 600); do
  case "$(as good 2>&1)" in *"SSL certificate error"*) refused=$((refused + 1)) ;; *) refused=0 ;; esac
  [ $refused -lt 10 ] || break
  sleep 0.1
done
holds "SSL certificate error" as good
holds "SUCCESS" as held
holds "held/agent.pem: OK" "${checked[@]}" held/agent.pem
echo "nginx $(nginx -v 2>&1 | sed 's/.*nginx\///'), $(openssl version | cut -d' ' -f1,2) and $(curl --version | head -1 | cut -d' ' -f1,2): agents pass, revoked and suspended ones, strangers and nobody do not"
