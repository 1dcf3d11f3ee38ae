# shellcheck shell=bash
# Part of scripts/test-deploy: the other ways in which the stack is run.

# test_redis_tls runs production with the option for TLS to Redis.
test_redis_tls() {
  local answer tls="--tls --cacert /run/secrets/redis_ca.pem" backend="${project}_backend"
  # shellcheck disable=SC2016 # the probe expands it
  local cli='REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli -h redis --user messaging_api'
  (cd "$clone" && scripts/setup && rm -f secrets/redis_*.{pem,key} && scripts/setup-redis-tls)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=other \
    -keyout "$clone/secrets/other.key" -out "$clone/secrets/other.pem" 2>/dev/null
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
  id=$(curl -sSk -H 'Content-Type: application/json' -d "{\"message\": \"$text\"}" "$url/" |
    sed -E 's/.*"message_id": ?"([^"]+)".*/\1/')
  curl -sSk "$url/msg/$id" | grep -qF "\"$text\"" || fail "the message does not come back"
  timeout 5 bash -c "${talk/REDIS\/6379/127.0.0.1\/$dev_redis}" | grep -q NOAUTH || fail "Redis is not on loopback"
  ok "development: a message goes in and out, and Redis is on loopback"
  stack_down
}
