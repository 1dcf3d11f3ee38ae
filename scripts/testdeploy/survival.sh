# shellcheck shell=bash
# Part of scripts/test-deploy: what was acknowledged survives what happens.

# start_load ARGUMENTS... writes in the background. All loads of a part share a journal,
# so that later checks read what earlier loads have written.
start_load() {
  "$run/acked" -url "$url" -ca "$ca" -journal "$run/journal" "$@" write >"$run/load.log" 2>&1 9>&- &
  load=$!
  owned "$load"
}

stop_load() {
  kill "$load"
  wait "$load" || fail "load: $(cat "$run/load.log")"
  unset "background[$load]"
  note "load: $(cat "$run/load.log")"
}

acknowledged() { if [ -e "$run/journal" ]; then wc -l <"$run/journal"; else echo 0; fi; }
has_acknowledged() { [ "$(acknowledged)" -ge "$1" ]; }

# more_acknowledged waits until the load goes on.
more_acknowledged() { eventually 60 has_acknowledged $(($(acknowledged) + 100)); }

check_journal() {
  local got
  got=$("$run/acked" -url "$url" -ca "$ca" -journal "$run/journal" read 2>&1) || fail "$got"
  note "$got of $(acknowledged)"
}

# log_file prints the service's log, out of its volume.
log_file() {
  docker run --rm -v "${project}_logs:/logs:ro" --user 65532 --entrypoint cat \
    "messaging_api-redis:$(version)" /logs/messaging_api.log
}

restarts() { docker inspect -f '{{.RestartCount}}' "$(container "$1")"; }
has_restarted() { [ "$(restarts "$1")" -gt "$2" ]; }

test_kill() {
  local service before
  start_load
  for service in api redis; do
    more_acknowledged || fail "nothing is acknowledged before $service is killed"
    before=$(restarts "$service")
    # From outside, as the kernel does when memory is short. A container that the engine
    # is told to kill is not started again.
    kill -KILL "$(pid "$service")"
    eventually 60 has_restarted "$service" "$before" || fail "$service is not started again"
    more_acknowledged || fail "nothing is acknowledged after $service was killed"
    wait_healthy "$service"
  done
  stop_load
  check_journal
  ok "SIGKILL of each container under load loses nothing that was acknowledged"

  log_file >"$run/log.before"
  in_stack down >"$run/down.log" 2>&1
  in_stack up -d >"$run/up.log" 2>&1
  wait_healthy redis api
  check_journal
  ok "down and up lose nothing either"
  log_file >"$run/log.after"
  [ -s "$run/log.before" ] || fail "the log is empty"
  cmp -s "$run/log.before" <(head -c "$(stat -c %s "$run/log.before")" "$run/log.after") || fail "the log does not continue"
  [ "$(stat -c %s "$run/log.after")" -gt "$(stat -c %s "$run/log.before")" ] || fail "the log does not grow"
  ok "the log continues in its volume"
}

test_stop() {
  local id
  id=$(container api)
  start_load -forbid dropped
  more_acknowledged || fail "nothing is acknowledged"
  docker stop -t 25 "$id" >/dev/null
  [ "$(docker inspect -f '{{.State.ExitCode}}' "$id")" = 0 ] || fail "the API does not stop by itself"
  stop_load
  docker start "$id" >/dev/null
  wait_healthy api
  check_journal
  ok "docker stop under load drops no accepted request"
}

test_store_down() {
  local id answer began
  id=$(container api)
  in_stack stop redis >/dev/null 2>&1
  answer=$(create x -o /dev/null -D -) || fail "no answer without Redis"
  grep -qE '^HTTP/[0-9.]+ 503' <<<"$answer" || fail "without Redis the answer is $answer"
  grep -qi '^Retry-After: [0-9]' <<<"$answer" || fail "the 503 does not say when to try again"
  eventually 60 is_health "$id" unhealthy || fail "without Redis the API stays $(health "$id")"
  ok "without Redis: 503, and an unhealthy container"
  in_stack start redis >/dev/null 2>&1
  began=$SECONDS
  eventually 60 is_health "$id" healthy || fail "after Redis is back the API is $(health "$id")"
  check_journal
  ok "Redis back: healthy within $((SECONDS - began)) s"
}

# A reserve that no disk has makes a disk that is full.
test_disk() {
  local id
  id=$(create kept | message_id)
  REDIS_DISK_RESERVE=$((1 << 30)) in_stack up -d redis >"$run/up.log" 2>&1
  wait_healthy redis
  eventually 60 creation_is '50[37]' || fail "on a full disk a creation is not refused"
  eventually 60 reads "$id" kept || fail "on a full disk a message is not read"
  in_stack up -d redis >"$run/up.log" 2>&1
  wait_healthy redis api
  eventually 60 creation_is 200 || fail "when the disk has room again, nothing is created"
  check_journal
  ok "on a full disk creations are refused and reads go on"
}

creation_is() { [[ $(create x -o /dev/null -w '%{http_code}') =~ ^$1$ ]]; }
reads() { fetch "$url/msg/$1" | grep -qF "\"$2\""; }
