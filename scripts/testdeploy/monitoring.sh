# shellcheck shell=bash
# Part of scripts/test-deploy: the profile "monitoring", started as docs/OPERATIONS.md says.

test_monitoring() {
  start_ready_engine
  monitoring_images
  # As a clone under a strict umask is: scripts/setup sees to it.
  chmod -R go= "$clone/deploy/prometheus" "$clone/deploy/grafana"
  stack_up -f docker-compose.yml
  follow docs/OPERATIONS.md "s/^#(COMPOSE_PROFILES"
  all_healthy
  ok "$(in_stack ps -aq | wc -l) containers are healthy after docs/OPERATIONS.md's commands for monitoring"
  test_message
  test_scrape
  test_rules
  test_monitoring_walls
  test_grafana
  test_way_out_of_monitoring
  confined_as prometheus 65534:65534
  confined_as grafana 472:0
  ok "Prometheus and Grafana run as unprivileged users, without capabilities, and cannot write to /"
  follow docs/OPERATIONS.md "rm -sf prometheus grafana"
  wait_healthy api
  test_no_monitoring
  stack_down
}

# Without the profile there is nothing of it, and nothing for it to read.
test_no_monitoring() {
  local got
  got=$(docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Label "com.docker.compose.service"}}' | sort | xargs)
  [ "$got" = "api redis" ] || fail "without the profile monitoring there run: $got"
  ! probe "${project}_backend" "$(ask_metrics messaging_api)" >/dev/null || fail "without being asked to, the API shows its metrics"
  ok "without the profile monitoring nothing of it runs, and the metrics stay in their container"
}

# ask_metrics HOST and ask_prometheus HOST[:PORT] print a shell command that succeeds
# where these answer. As with Redis, that something answers is not enough.
ask_metrics() { ask "$1" 8081 /metrics messaging_api_build_info; }
ask_prometheus() {
  local port=9090
  case $1 in *:*) port=${1##*:} ;; esac
  ask "${1%:*}" "$port" /-/ready "Prometheus Server is Ready"
}

# ask HOST PORT PATH TEXT
ask() { printf '%s\n' "exec 3<>/dev/tcp/$1/$2 && printf 'GET $3 HTTP/1.0\r\n\r\n' >&3 && timeout 3 grep -q '$4' <&3"; }

# query EXPRESSION prints what Prometheus has for it now.
query() { docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$1"; }
has() { query "$1" | grep -q .; }

test_scrape() {
  local before
  eventually 60 has 'up{job="messaging_api"} == 1' || fail "Prometheus does not scrape the API: $(query up)"
  eventually 60 has 'messaging_api_messages_created_total > 0' ||
    fail "a message created does not show in Prometheus"
  has 'messaging_api_check_ok{check="store"} == 1' || fail "the check of the store does not show in Prometheus"
  ok "Prometheus scrapes the API over the backend network: $(query 'up{job="messaging_api"}')"
  # A new container has, or may have, another address to listen on.
  before=$(container api)
  in_stack up -d --force-recreate --no-deps api >"$run/up.log" 2>&1
  wait_healthy api
  [ "$(container api)" != "$before" ] || fail "the API's container is still the old one"
  eventually 60 has 'time() - process_start_time_seconds{job="messaging_api"} < 60 and on (job) up == 1' ||
    fail "Prometheus does not scrape the API's new container"
  ok "it is healthy and scraped again in another container"
}

# Each rule of the file, evaluated without an error.
test_rules() {
  local want
  want=$(grep -c -- '- alert:' "$clone/deploy/prometheus/messaging_api.rules.yml")
  eventually 60 healthy_rules "$want" || fail "Prometheus has not all of $want rules"
  ok "it evaluates all $want alert rules"
}

healthy_rules() {
  [ "$(docker exec "$(container prometheus)" wget -q -O - http://localhost:9090/api/v1/rules | grep -o '"health":"ok"' | wc -l)" = "$1" ]
}

# Who may ask Prometheus and the metrics, and who may not.
test_monitoring_walls() {
  [ -z "$(docker port "$(container prometheus)")" ] || fail "Prometheus has published ports"
  walled_off api ask_metrics
  walled_off prometheus ask_prometheus
  # The same where it has to succeed.
  probe "${project}_backend" "$(ask_metrics messaging_api)" >/dev/null || fail "the backend network does not reach the metrics"
  probe "${project}_backend" "$(ask_prometheus prometheus)" >/dev/null || fail "the backend network does not reach Prometheus"
  ok "neither the host nor the frontend network can ask Prometheus, or the API for its metrics"
}

# walled_off SERVICE ASK: neither at any of its addresses, nor by its name.
walled_off() {
  local address addresses network patience=2
  addresses=$(address "$1")
  [ -n "${addresses// /}" ] || fail "$1 has no address"
  for address in $addresses; do
    ! timeout "$patience" bash -c "$("$2" "$address")" 2>/dev/null || fail "the host reaches $1 at $address"
  done
  for address in $addresses "$1" messaging_api; do
    for network in frontend operator; do
      ! probe "${project}_$network" "$("$2" "$address")" >/dev/null || fail "the network $network reaches $1 at $address"
    done
  done
}

test_grafana() {
  local id path
  id=$(container grafana)
  [ "$(docker port "$id")" = "3000/tcp -> 127.0.0.1:$grafana" ] || fail "Grafana is published as: $(docker port "$id")"
  curl -sS --max-time 5 "http://127.0.0.1:$grafana/api/health" | grep -q ok || fail "Grafana's port does not answer on loopback"
  ! curl -sS --max-time 5 "http://$(own_address):$grafana/api/health" >/dev/null 2>&1 || fail "Grafana is there for others than this machine"
  # What it reads, as its user, where it will look.
  path=$(sed -n 's/^ *path: //p' "$clone/deploy/grafana/provisioning/dashboards/messaging_api.yml")
  docker exec "$id" cat "$path/messaging_api.json" | cmp - "$clone/deploy/grafana/dashboards/messaging_api.json" || fail "Grafana does not read the dashboard"
  docker exec "$id" cat /etc/grafana/provisioning/dashboards/messaging_api.yml /etc/grafana/provisioning/datasources/prometheus.yml \
    /run/secrets/grafana_password | cmp - <(cd "$clone" && cat deploy/grafana/provisioning/*/*.yml secrets/grafana_password) ||
    fail "Grafana does not read its configuration"
  in_network_of grafana "$(ask_prometheus "$(sed -n 's/^ *url: http:\/\///p' "$clone/deploy/grafana/provisioning/datasources/prometheus.yml")")" ||
    fail "Grafana does not reach its data source"
  ok "Grafana's place is reached on loopback alone, reads its dashboard and password, and reaches Prometheus"
  if [[ " ${standins[*]} " = *" $(image_of grafana) "* ]]; then
    note "NOT TESTED: Grafana itself. Its image cannot be pulled here, and something else answers in its place"
    return
  fi
  for path in dashboards/uid/messaging-api datasources/uid/prometheus/health; do
    fetch --fail -u "admin:$(cat "$clone/secrets/grafana_password")" "http://127.0.0.1:$grafana/api/$path" >/dev/null ||
      fail "Grafana does not have $path"
  done
  ok "Grafana has the dashboard, and its data source works"
}

# A namespace without a route to private addresses stands for the internet. It can
# answer the API, whose address the engine translates, and cannot answer Grafana.
test_way_out_of_monitoring() {
  local address=198.51.100.1 service
  as_root
  add_internet "$address"
  in_network_of api "exec 3<>/dev/tcp/$address/443" || fail "the API does not reach what stands for the internet"
  for service in prometheus grafana; do
    ! in_network_of "$service" "exec 3<>/dev/tcp/$address/443" || fail "$service has a way out"
  done
  stop_background
  remove_internet
  ok "neither Prometheus nor Grafana has a way out"
}

add_internet() {
  ip netns add messaging-internet
  ip link add messaging1 type veth peer name eth0 netns messaging-internet
  ip address add 198.51.100.254/24 dev messaging1
  ip link set messaging1 up
  ip -n messaging-internet address add "$1/24" dev eth0
  ip -n messaging-internet link set eth0 up
  listen_on "$1" 443 ip netns exec messaging-internet
  eventually 60 connects "$1" 443 || fail "nothing listens on $1"
}

remove_internet() { ip netns delete messaging-internet 2>/dev/null || true; }
