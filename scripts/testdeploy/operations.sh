# shellcheck shell=bash
# Part of scripts/test-deploy: the commands of the documents, run as they are printed.

# commands DOCUMENT TEXT prints the document's code block that holds the text.
commands() {
  local found
  found=$(awk -v want="$2" '
    /^```/ { if (inside && index(block, want)) printf "%s", block; inside = !inside; block = ""; next }
    inside { block = block $0 "\n" }' "$root/$1")
  [ -n "$found" ] || fail "$1 has no code block with '$2'"
  [ "$(id -u)" != 0 ] || found=${found//sudo /}
  printf '%s\n' "$found"
}

# follow DOCUMENT TEXT runs such a block in the clone, on this stack.
follow() {
  local steps
  steps=$(commands "$1" "$2")
  steps=${steps//docker compose/in_stack}
  steps=${steps//messaging_api_messages/${project}_messages}
  steps=${steps//messaging_api_state/${project}_state}
  # Each has to succeed: "set -e" does nothing before "||".
  steps=$(sed '$!s/$/ \&\&/' <<<"$steps")
  (cd "$clone" && eval "$steps") >"$run/steps.log" 2>&1 || {
    cat "$run/steps.log" >&2
    fail "the steps of $1 fail: $steps"
  }
}

# What was written before the backup is there again, and what was written after it
# is not, or else it was never restored.
test_backup() {
  local before after
  base_image debian:12 standin_debian "$(cat "$root/scripts/testdeploy/standins.sh")"
  before=$(create before | message_id)
  follow docs/OPERATIONS.md "tar -C /data -czf"
  wait_healthy redis api
  after=$(create after | message_id)
  fetch "$url/msg/$after" | grep -qF '"after"' || fail "a message written after the backup is not there"
  follow docs/OPERATIONS.md "tar -C /data -xzf"
  wait_healthy redis api
  fetch "$url/msg/$before" | grep -qF '"before"' || fail "after the restore a message of the backup is not there"
  [ "$(fetch -o /dev/null -w '%{http_code}' "$url/msg/$after")" = 404 ] || fail "after the restore a message is there that the backup has not"
  check_journal
  ok "Redis is backed up and restored by docs/OPERATIONS.md's commands"
}

# The answers of docs/OPERATIONS.md to an operator's questions.
test_answers() {
  follow docs/OPERATIONS.md "info memory"
  [ "$(grep -cE '^(used_memory:[0-9]+|maxmemory:671088640)' "$run/steps.log")" = 2 ] ||
    fail "the room in Redis is told as: $(cat "$run/steps.log")"
  follow docs/OPERATIONS.md "docker compose run --rm --no-deps"
  grep -q localhost "$run/steps.log" || fail "check in the container says: $(cat "$run/steps.log")"
  ok "docs/OPERATIONS.md's commands tell the room in Redis and check the configuration"
}

# A line of .env reaches the service, also where docker-compose.yml has a default.
test_settings() {
  local got
  got=$(docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$(container api)" | grep '^MESSAGING_API_DRAIN=')
  [ "$got" = MESSAGING_API_DRAIN=14s ] || fail "with MESSAGING_API_DRAIN=14s in .env the service has $got"
  ok "a line of .env wins over docker-compose.yml's default"
}

test_new_password() {
  local old answer
  old=$(cat "$clone/secrets/redis_password")
  follow docs/OPERATIONS.md "rm secrets/redis_password"
  wait_healthy redis api
  [ "$(cat "$clone/secrets/redis_password")" != "$old" ] || fail "the password is still the old one"
  # shellcheck disable=SC2016 # the probe expands it
  answer=$(probe "${project}_backend" 'redis-cli -h redis --user messaging_api --pass "$(cat /run/secrets/redis_password)" --no-auth-warning ping') || true
  [ "$answer" = PONG ] || fail "with the new password Redis says: $answer"
  answer=$(probe "${project}_backend" "redis-cli -h redis --user messaging_api --pass $old --no-auth-warning ping") || true
  [[ $answer = *WRONGPASS* ]] || fail "with the old password Redis says: $answer"
  check_journal
  ok "the Redis password is replaced by docs/OPERATIONS.md's commands, and no message is lost"
}

test_new_certificate() {
  local serial before
  serial=$(served_serial localhost)
  signed "$clone/privkey.pem" "$clone/fullchain.pem" DNS:localhost
  follow docs/OPERATIONS.md "docker compose kill -s HUP api"
  # Well under the 30 s in which it would find them by itself, most of the time.
  eventually 60 serves_another "$serial" || fail "the new certificate is not served"
  test_message
  ok "the certificate is replaced by docs/OPERATIONS.md's commands"
  before=$(restarts api)
  kill -KILL "$(pid api)"
  eventually 60 has_restarted api "$before" || fail "after a SIGHUP the API is not started again when it dies"
  wait_healthy api
  ok "a container that got a SIGHUP is still started again when it dies"
}

serves_another() { ! served_serial localhost | grep -qxF "$1"; }
