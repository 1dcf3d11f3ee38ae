# shellcheck shell=bash
# Part of scripts/test-deploy: the other ways in which the stack is run.

# test_redis_tls runs production with the option for TLS to Redis.
test_redis_tls() {
  local answer tls="--tls --cacert /run/secrets/redis_ca.pem" backend="${project}_backend"
  # shellcheck disable=SC2016 # the probe expands it
  local cli='REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli -h redis --user messaging_api'
  (cd "$clone" && scripts/setup && rm -f secrets/redis_*.{pem,key} && scripts/setup-redis-tls)
  certificate "$clone/secrets/other.key" "$clone/secrets/other.pem" -subj /CN=other
  stack_up -f docker-compose.yml -f deploy/redis/docker-compose.tls.yml
  test_message
  ! probe "$backend" "$cli ping" | grep -q PONG || fail "Redis answers in the clear"
  ! probe "$backend" "$cli $tls ping" | grep -q PONG || fail "Redis answers a client without a certificate"
  ! probe "$backend" "$cli $tls --cert /run/secrets/other.pem --key /run/secrets/other.key ping" | grep -q PONG ||
    fail "Redis answers a client with another CA's certificate"
  answer=$(probe "$backend" "$cli $tls --cert /run/secrets/redis_client.pem --key /run/secrets/redis_client.key ping") || true
  [ "$answer" = PONG ] || fail "with the client's certificate Redis says: $answer"
  ok "with the TLS option Redis talks to the CA's clients only"
  stack_down
}

# test_dev runs what a developer runs. Its certificate is made anew at each start,
# so there is none to trust.
test_dev() {
  local id text="dev $RANDOM"
  stack_up -f docker-compose.dev.yml
  id=$(curl -sSk -H 'Content-Type: application/json' -d "{\"message\": \"$text\"}" "$url/" | message_id)
  curl -sSk "$url/msg/$id" | grep -qF "\"$text\"" || fail "the message does not come back"
  timeout 5 bash -c "${talk/REDIS\/6379/127.0.0.1\/$dev_redis}" | grep -q NOAUTH || fail "Redis is not on loopback"
  ok "development: a message goes in and out, and Redis is on loopback"
  stack_down
}

# test_acme does what README's four commands do for a name of the public internet,
# with Pebble for Let's Encrypt: it asks on the published ports.
test_acme() {
  local name=msg.example.test serial
  mkdir "$run/aside"
  mv "$clone"/certs/*.pem "$run/aside/"
  start_pebble
  cp "$ca" "$clone/certs/acme-ca.pem"
  printf '%s\n' "MESSAGING_API_ACME_DIRECTORY=https://$(own_address):20400/dir" \
    MESSAGING_API_ACME_CA=/certs/acme-ca.pem >"$run/extra.env"
  setup_arguments=("$name" "admin@$name")
  stack_up -f docker-compose.yml
  curl -sS --cacert "$ca" "https://$(own_address):20401/roots/0" >"$run/acme-root.pem"
  curl -sS --cacert "$run/acme-root.pem" --resolve "$name:$https:127.0.0.1" "https://$name:$https/" -o /dev/null ||
    fail "the certificate is not the CA's"
  ok "with a host name and an address for mail alone the service has a certificate from an ACME CA"

  serial=$(served_serial "$name")
  in_stack down >"$run/down.log" 2>&1
  stop_background # the CA: there is nothing to ask it
  in_stack up -d >"$run/up.log" 2>&1
  wait_healthy api
  [ "$(served_serial "$name")" = "$serial" ] || fail "after down and up another certificate is served"
  ok "after down and up it serves the same certificate from its volume"

  base_image debian:12 standin_debian "$(cat "$root/scripts/testdeploy/standins.sh")"
  follow docs/OPERATIONS.md "tar -C /data -czf /backup/state.tgz"
  in_stack down >"$run/down.log" 2>&1
  docker volume rm "${project}_state" >/dev/null
  follow docs/OPERATIONS.md "tar -C /data -xzf /backup/state.tgz"
  wait_healthy api
  [ "$(served_serial "$name")" = "$serial" ] || fail "after a restore another certificate is served"
  ok "ACME's state is backed up and restored by docs/OPERATIONS.md's commands"
  stack_down
  rm "$run/extra.env" "$clone/certs/acme-ca.pem"
  setup_arguments=(localhost)
  mv "$run"/aside/*.pem "$clone/certs/"
}

served_serial() {
  openssl s_client -connect "127.0.0.1:$https" -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -serial
}

# own_address is where the containers reach this machine.
own_address() { hostname -I | awk '{ print $1 }'; }

start_pebble() {
  local dir address
  dir=$("$root/scripts/pebble")
  address=$(own_address)
  signed "$run/pebble.key" "$run/pebble.pem" "IP:$address"
  cat >"$run/pebble.json" <<END
{"pebble": {
  "listenAddress": "$address:20400", "managementListenAddress": "$address:20401",
  "certificate": "$run/pebble.pem", "privateKey": "$run/pebble.key",
  "httpPort": $http, "tlsPort": $https
}}
END
  "$dir/pebble-challtestsrv" -defaultIPv4 127.0.0.1 -defaultIPv6 "" -dnsserver 127.0.0.1:20402 -management 127.0.0.1:20403 \
    -http01 "" -https01 "" -tlsalpn01 "" -doh "" >"$run/dns.log" 2>&1 9>&- &
  owned $!
  PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 "$dir/pebble" -config "$run/pebble.json" -dnsserver 127.0.0.1:20402 \
    >"$run/pebble.log" 2>&1 9>&- &
  owned $!
  eventually 60 connects "$address" 20400 || fail "Pebble does not start: $(tail -n 3 "$run/pebble.log")"
  eventually 60 connects 127.0.0.1 20402 || fail "Pebble's DNS server does not start: $(tail -n 3 "$run/dns.log")"
}

# test_ipv6 connects over IPv6 from an address of its own, and looks at which one
# arrives. A bridge without ports lends it to this machine.
test_ipv6() {
  local address=fd6d:7367::1
  start_ready_engine
  if [ -z "$engine_pid" ] && [ "$(docker version -f '{{.Server.Version}}' | cut -d. -f1)" -lt 27 ]; then
    [ -z "${CI:-}" ] || fail "this machine's engine is older than 27, so IPv6 cannot be tested"
    note "NOT TESTED: IPv6, for this machine's engine is older than 27"
    return
  fi
  as_root
  ip link add messaging0 type bridge
  ip -6 address add "$address/64" dev messaging0 nodad
  ip link set messaging0 up
  printf '%s\n' "PUBLISH_HTTPS_IPV6=[$address]:$https" "PUBLISH_HTTP_IPV6=[$address]:$http" >"$run/extra.env"
  stack_up -f docker-compose.yml -f deploy/docker-compose.ipv6.yml
  openssl s_client -connect "[$address]:$https" </dev/null >/dev/null 2>&1 || fail "the service does not answer over IPv6"
  # The connection stays until the client has nothing more to say.
  openssl s_client -quiet -connect "[$address]:$https" < <(sleep 30 9>&-) >/dev/null 2>&1 9>&- &
  owned $!
  eventually 30 arrived_from "$address" || fail "the client's IPv6 address does not arrive"
  stop_background
  test_message
  ok "over IPv6 a client arrives under its own address"
  stack_down
  rm "$run/extra.env"
  remove_interface
}

# arrived_from ADDRESS looks for it among the API's connections. The kernel writes
# each 32 bits in the machine's own byte order.
arrived_from() {
  local words
  words=$(perl -MSocket=inet_pton,AF_INET6 -e 'print map { sprintf "%08X", $_ } unpack "L4", inet_pton(AF_INET6, $ARGV[0])' "$1")
  awk -v want="$words" '$4 == "01" && index($3, want) == 1 { found = 1 } END { exit !found }' "/proc/$(pid api)/net/tcp6"
}

remove_interface() { ip link delete messaging0 2>/dev/null || true; }
