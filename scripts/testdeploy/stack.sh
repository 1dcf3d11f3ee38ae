# shellcheck shell=bash
# Part of scripts/test-deploy: a clone of the tree, and the stack started in it
# as README says.

project=messaging_api_test
https=20443
http=20080
dev_redis=20379
grafana=20300
url=https://localhost:$https
compose=()
stack_files=() # of the stack that is up; empty: none

# make_clone copies what would be committed now, with the repository's history
# for the version, and gives it a certificate for localhost.
make_clone() {
  clone="$run/clone"
  git clone -q --no-checkout "$root" "$clone"
  (
    cd "$root"
    git ls-files -z --cached --others --exclude-standard |
      while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
      xargs -0 cp --parents -t "$clone"
  )
  git -C "$clone" reset -q
  (cd "$clone" && go build -o "$run/acked" ./scripts/testdeploy/acked)
  ca="$run/ca.pem"
  certificate "$run/ca.key" "$ca" -subj "/CN=test CA" -addext basicConstraints=critical,CA:TRUE
  signed "$clone/certs/privkey.pem" "$clone/certs/fullchain.pem" DNS:localhost
}

# certificate KEY CERTIFICATE OPTIONS... makes both.
certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 \
    -keyout "$1" -out "$2" "${@:3}" 2>/dev/null
}

# signed KEY CERTIFICATE NAMES is one of the test CA.
signed() {
  certificate "$1" "$2" -CA "$ca" -CAkey "$run/ca.key" -subj /CN=test \
    -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=$3"
}

# The test's lines of .env: free ports on loopback, and no limits, because the load comes
# from one address. The file extra.env adds more lines.
setup_arguments=(localhost)
configure() {
  (cd "$clone" && rm -f .env && scripts/setup "${setup_arguments[@]}")
  touch "$run/extra.env"
  cat "$run/extra.env" - >>"$clone/.env" <<END
VOLUME_PREFIX=$project
MESSAGING_API_DRAIN=14s
PUBLISH_HTTPS=127.0.0.1:$https
PUBLISH_HTTP=127.0.0.1:$http
PUBLISH_DEV_HTTPS=127.0.0.1:$https
PUBLISH_DEV_REDIS=127.0.0.1:$dev_redis
PUBLISH_GRAFANA=$grafana
MESSAGING_API_LIMIT_CREATE=off
MESSAGING_API_LIMIT_READ=off
MESSAGING_API_LIMIT_BYTES=off
MESSAGING_API_HANDSHAKES_PER_CLIENT=100000/s:100000
END
}

in_stack() { (cd "$clone" && timeout 600 "${compose[@]}" -p "$project" "${stack_files[@]}" "$@" 9>&-); }

start_ready_engine() {
  [ "${#compose[@]}" -eq 0 ] || return 0
  find_engine
  base_images
}

# stack_up -f FILE... starts these compose files' services and waits until all are
# healthy.
stack_up() {
  start_ready_engine
  configure
  stack_files=("$@")
  in_stack down -v --remove-orphans -t 1 >"$run/down.log" 2>&1 # what a killed run has left
  in_stack build -q >"$run/build.log" 2>&1 || {
    tail -n 20 "$run/build.log" >&2
    fail "the images cannot be built"
  }
  in_stack up -d >"$run/up.log" 2>&1 || {
    tail -n 20 "$run/up.log" >&2
    fail "up has failed"
  }
  all_healthy
  ok "$(in_stack ps -aq | wc -l) containers are healthy from scripts/setup and one up -d: $*"
}

all_healthy() {
  local id
  for id in $(in_stack ps -aq); do
    eventually 90 is_health "$id" healthy || fail "$(docker inspect -f '{{.Name}}' "$id") does not become healthy"
  done
}

stack_down() {
  [ "${#stack_files[@]}" -gt 0 ] || return 0
  in_stack down -v --remove-orphans -t 20 >"$run/down.log" 2>&1
  stack_files=()
}

show_stack() {
  [ "${#stack_files[@]}" -gt 0 ] || return 0
  local id
  for id in $(in_stack ps -q); do
    docker ps -a --filter "id=$id" --format '{{.Names}}: {{.Status}}'
    docker logs --tail 15 "$id"
  done
}

# container SERVICE prints its id; pid SERVICE its process on this machine.
container() { in_stack ps -q "$1"; }
pid() { docker inspect -f '{{.State.Pid}}' "$(container "$1")"; }
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(container "$1")"; }
health() { docker inspect -f '{{.State.Health.Status}}' "$1"; }

# eventually SECONDS COMMAND... polls until the command succeeds.
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

is_health() { [ "$(health "$1")" = "$2" ]; }

wait_healthy() {
  local service
  for service; do
    eventually 90 is_health "$(container "$service")" healthy || fail "$service does not become healthy"
  done
}

# fetch ARGUMENTS... is curl that trusts the test CA.
fetch() { curl -sS --max-time 10 --cacert "$ca" "$@"; }

create() { fetch -H 'Content-Type: application/json' -d "{\"message\": \"$1\"}" "$url/" "${@:2}"; }

# message_id reads the answer to a creation.
message_id() { sed -E 's/.*"message_id": ?"([^"]+)".*/\1/'; }

test_message() {
  local text="hello $RANDOM" id
  id=$(create "$text" | message_id)
  fetch "$url/msg/$id" | grep -qF "\"$text\"" || fail "the message does not come back"
  ok "a message goes in and out through the published HTTPS port"
  [ "$(fetch -o /dev/null -w '%{http_code} %{redirect_url}' "http://localhost:$http/x?y")" = "308 https://localhost/x?y" ] ||
    fail "plain HTTP does not redirect"
  ok "plain HTTP redirects"
}
