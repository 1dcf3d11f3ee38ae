# shellcheck shell=bash
# Part of scripts/test-deploy: the firewall of deploy/docker-compose.firewall.yml, in
# front of the service.

test_firewall() {
  local serial
  start_ready_engine
  base_image "$(from deploy/firewall/Dockerfile)" standin_debian "$(cat "$root/scripts/testdeploy/standins.sh")"
  (cd "$clone" && CGO_ENABLED=0 go build -o "$run/firewalled" ./scripts/testdeploy/firewalled)
  echo MESSAGING_API_LIMIT_MISS=off >"$run/extra.env"
  stack_up -f docker-compose.yml -f deploy/docker-compose.firewall.yml
  test_message
  test_firewall_walls
  serial=$(served_serial localhost)
  new_certificate # nginx has to find it by itself, while the tests go on
  test_honest
  test_attacks
  test_same_page
  test_cost
  test_found_certificate "$serial"
  test_unreachable
  test_firewall_kill
  test_firewall_logs
  test_exception
  test_clients
  stack_down
  rm "$run/extra.env"
}

# firewalled COMMAND is that command against the published ports.
firewalled() {
  "$run/firewalled" -ca "$ca" -address "127.0.0.1:$https" -plain "127.0.0.1:$http" -secrets "$run/sent" "$1" >"$run/firewalled.log" 2>&1 ||
    fail "firewalled $1: $(cat "$run/firewalled.log")"
  while IFS= read -r line; do ok "$line"; done <"$run/firewalled.log"
}

# firewalled_in NETWORK OPTIONS... COMMAND creates a container with it and prints its id.
firewalled_in() {
  docker create --network "$1" -v "$run:/test:ro" --user 0 --entrypoint /test/firewalled \
    "messaging_api-redis:$(version)" -ca /test/ca.pem -address firewall:8443 "${@:2}"
}

networks() { docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' "$(container "$1")"; }

# ask_api HOST is, as ask_metrics, a command that succeeds where the service answers.
ask_api() { ask "$1" 8443 / X-Request-Id; }

# Between the internet and the service there is only the firewall.
test_firewall_walls() {
  local address outside=198.51.100.1 service patience=2
  [ "$(networks firewall)" = "${project}_frontend ${project}_internet " ] || fail "the firewall is on $(networks firewall)"
  [ "$(networks api)" = "${project}_backend ${project}_frontend " ] || fail "the API is on $(networks api)"
  [ -z "$(docker port "$(container api)")" ] || fail "behind the firewall the API has published ports: $(docker port "$(container api)")"
  for address in $(address api); do
    ! timeout 2 bash -c "$(ask_api "$address")" 2>/dev/null || fail "the host reaches the API at $address"
    ! probe "${project}_internet" "$(ask_api "$address")" >/dev/null || fail "the firewall's network reaches the API at $address"
  done
  in_network_of firewall "$(ask_api messaging_api)" || fail "the firewall does not reach the API"
  ! in_network_of firewall "${talk/REDIS/redis}" || fail "the firewall reaches Redis"
  ok "the API has no published port, and only the firewall reaches it"

  as_root
  add_internet "$outside"
  probe bridge "exec 3<>/dev/tcp/$outside/443" >/dev/null || fail "nothing reaches what stands for the internet"
  for service in firewall api; do
    ! in_network_of "$service" "exec 3<>/dev/tcp/$outside/443" || fail "$service has a way out"
  done
  stop_background
  remove_internet
  confined_as firewall messaging_api
  if touch "/proc/$(pid firewall)/root/certs/x" 2>/dev/null; then fail "the firewall can write to its certificates"; fi
  ok "the firewall runs as messaging_api, without capabilities, cannot write to / and has no way out"
}

test_honest() {
  firewalled honest
  firewalled answers
}

metrics="exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3"

# requests_seen prints how many requests the service has answered.
requests_seen() {
  in_network_of api "$metrics" |
    awk '/^messaging_api_http_requests_total/ { sum += $NF; seen = 1 } END { if (!seen) exit 1; print sum }'
}

test_attacks() {
  local before after
  before=$(requests_seen) || fail "the API's metrics cannot be read"
  firewalled attacks
  after=$(requests_seen)
  [ "$after" = "$before" ] || fail "of the attacks the API has seen $((after - before))"
  docker logs "$(container firewall)" >"$run/firewall.log" 2>&1
  grep -q '"event":"refused".*"status":403' "$run/firewall.log" || fail "no refusal is in the firewall's log"
  grep -q '"event":"rule".*"rule":941110' "$run/firewall.log" || fail "no rule is in the firewall's log"
  ok "the API has seen none of them, and the firewall's log names the rules"
}

# The page, byte for byte, through the firewall and at the service itself.
test_same_page() {
  local through behind
  through=$(fetch -H 'Accept: text/html' "$url/" | sha256sum)
  behind=$(in_network_of api "exec 3<>/dev/tcp/127.0.0.1/8443 && printf 'GET / HTTP/1.0\r\nHost: localhost\r\nAccept: text/html\r\n\r\n' >&3 && sed '1,/^\r\$/d' <&3 | sha256sum")
  [ "$through" = "$behind" ] || fail "the page through the firewall is $through, behind it $behind"
  [ "$(fetch -o /dev/null -w '%{http_version} %{size_download}' -H 'Accept: text/html' "$url/" | cut -d' ' -f1)" = 2 ] || fail "the firewall does not speak HTTP/2"
  ok "the page comes through unchanged, over HTTP/2"
}

# The container is on both sides.
test_cost() {
  local id
  id=$(firewalled_in "${project}_internet" -direct api:8443 cost)
  docker network connect "${project}_frontend" "$id"
  docker start -a "$id" >"$run/cost.log" 2>&1 || fail "the cost cannot be measured: $(cat "$run/cost.log")"
  docker rm "$id" >/dev/null
  while IFS= read -r line; do note "$line"; done <"$run/cost.log"
}

new_certificate() {
  signed "$clone/privkey.pem" "$clone/fullchain.pem" DNS:localhost
  install -m 0644 "$clone/fullchain.pem" "$clone/certs/fullchain.pem"
  install -m 0640 -g 65532 "$clone/privkey.pem" "$clone/certs/privkey.pem"
}

test_found_certificate() {
  eventually 60 serves_another "$1" || fail "the firewall does not find the new certificate"
  ok "the firewall finds a new certificate by itself"
  serial=$(served_serial localhost)
  signed "$clone/privkey.pem" "$clone/fullchain.pem" DNS:localhost
  follow docs/OPERATIONS.md "nginx -s reload"
  eventually 20 serves_another "$serial" || fail "the new certificate is not served"
  test_message
  ok "the firewall takes a new certificate by docs/OPERATIONS.md's commands"
}

# A link asked for while the service is away: the answer, and what is logged.
test_unreachable() {
  local id answer
  id=$(create "nobody is there" | message_id)
  echo "$id" >>"$run/sent"
  in_stack stop api >/dev/null 2>&1
  answer=$(fetch -D - "$url/msg/$id") || fail "no answer without the API"
  grep -qE '^HTTP/2 50[24]' <<<"$answer" || fail "without the API the answer is $answer"
  [ "$(grep -ciE '^(Retry-After: 5|Content-Security-Policy: )' <<<"$answer")" = 2 ] || fail "the answer has not its headers: $answer"
  in_stack start api >/dev/null 2>&1
  wait_healthy api
  fetch "$url/msg/$id" | grep -qF '"nobody is there"' || fail "after the API is back the message is not there"
  ok "without the API the firewall says so and when to try again"
}

test_firewall_kill() {
  local service before
  start_load -interval 60ms # under the firewall's own limit
  for service in firewall api; do
    more_acknowledged || fail "nothing is acknowledged before $service is killed"
    before=$(restarts "$service")
    kill -KILL "$(pid "$service")"
    eventually 60 has_restarted "$service" "$before" || fail "$service is not started again"
    more_acknowledged || fail "nothing is acknowledged after $service was killed"
  done
  stop_load
  check_journal
  ok "SIGKILL of the firewall, and of the API behind it, loses nothing that was acknowledged"
}

# docs/OPERATIONS.md's way from a refused client to an exception.
test_exception() {
  refused() { [ "$(fetch -o /dev/null -w '%{http_code}' -H 'Accept-Charset: utf-8' "$url/")" = "$1" ]; }
  refused 403 || fail "a client with Accept-Charset is not refused, so nothing is tested"
  follow docs/OPERATIONS.md 'grep -o'
  grep -q 920450 "$run/steps.log" || fail "docs/OPERATIONS.md's command does not name the rule: $(cat "$run/steps.log")"
  follow docs/OPERATIONS.md "-A 6 id:920450"
  grep -q "HTTP header is restricted" "$run/steps.log" || fail "docs/OPERATIONS.md's command does not show the rule: $(cat "$run/steps.log")"
  follow docs/OPERATIONS.md "SecRuleRemoveById"
  wait_healthy firewall
  eventually 20 refused 200 || fail "with an exception for the rule the client is still refused"
  ok "a refused client is found and let through by docs/OPERATIONS.md's commands"
}

# Two clients, each with a budget of its own. What they forge gives them no more.
test_clients() {
  local i ids=()
  sed -i 's/^MESSAGING_API_LIMIT_CREATE=.*/MESSAGING_API_LIMIT_CREATE=1\/h:20/' "$clone/.env"
  in_stack up -d >"$run/up.log" 2>&1
  wait_healthy api firewall
  # At once, so that they cannot have one address.
  for i in 0 1; do
    ids[i]=$(firewalled_in "${project}_internet" limit)
    docker start "${ids[i]}" >/dev/null
  done
  for i in 0 1; do
    docker wait "${ids[i]}" >/dev/null
    [ "$(docker logs "${ids[i]}" 2>&1)" = 20 ] || fail "of two clients with 20 creations each one got: $(docker logs "${ids[i]}" 2>&1)"
    docker rm "${ids[i]}" >/dev/null
  done
  in_network_of api "$metrics" | grep -qx 'messaging_api_unforwarded_requests_total 0' || fail "the firewall does not name all of its clients"
  ok "two clients have a budget each, whatever addresses they claim"
}

# No text, id or token that was sent is in what the firewall writes.
test_firewall_logs() {
  local id
  id=$(container firewall)
  [ "$(wc -l <"$run/sent")" -gt 500 ] || fail "only $(wc -l <"$run/sent") secrets were sent"
  docker logs "$id" >"$run/firewall.log" 2>&1
  docker exec "$id" tar -C /tmp -cf - . >"$run/firewall.tmp"
  ! grep -aqiFf "$run/sent" "$run/firewall.log" || fail "the firewall logs a secret: $(grep -aiFf "$run/sent" "$run/firewall.log" | head -n 3)"
  ! grep -aqiFf "$run/sent" "$run/firewall.tmp" || fail "the firewall stores a secret"
  # Each line in one of three shapes: nothing else can slip in.
  ! grep -vE '^\{"time":"[^"]+","event":"(refused|rule|nginx)"' "$run/firewall.log" || fail "the firewall logs other lines"
  ok "no text, id or token is in the firewall's $(wc -l <"$run/firewall.log") log lines"
}
