# shellcheck shell=bash
# Part of scripts/test-deploy: Redis with replicas and Sentinels.

test_sentinel() {
  local old new service
  stack_up -f docker-compose.yml -f deploy/docker-compose.sentinel.yml
  test_message
  for service in redis-2 sentinel-1; do confined_as "$service" messaging_api; done
  [ "$(master)" = redis ] || fail "the first Redis is not the master, but $(master)"
  eventually 60 followed_by redis 2 || fail "the replicas do not follow"

  start_load
  more_acknowledged || fail "nothing is acknowledged"
  docker kill "$(container redis)" >/dev/null
  eventually 60 not_master redis || fail "no replica takes the place of a killed master"
  stop_load
  await_journal
  ok "the master's container is killed: $(master) takes its place, and all that was acknowledged is read"

  docker start "$(container redis)" >/dev/null
  eventually 90 followed_by "$(master)" 2 || fail "the killed Redis does not come back as a replica"
  start_load
  more_acknowledged || fail "nothing is acknowledged after the killed Redis is back"
  ok "it comes back as a replica, and messages are created again"

  old=$(master)
  follow docs/OPERATIONS.md "sentinel failover messages"
  eventually 60 not_master "$old" || fail "docs/OPERATIONS.md's command moves nothing"
  new=$(master)
  eventually 90 followed_by "$new" 2 || fail "$old does not follow $new"
  more_acknowledged || fail "nothing is acknowledged after a planned failover"
  # A new container, as after an upgrade.
  in_stack up -d --force-recreate --no-deps "$old" >"$run/up.log" 2>&1
  wait_healthy "$old"
  eventually 90 followed_by "$new" 2 || fail "$old does not follow $new in another container"
  more_acknowledged || fail "nothing is acknowledged after a replica was made anew"
  stop_load
  await_journal
  ok "a planned failover and a new container lose nothing"

  # All at once, as after a power cut.
  in_stack kill >"$run/down.log" 2>&1
  in_stack up -d >"$run/up.log" 2>&1
  all_healthy
  eventually 90 followed_by "$new" 2 || fail "after all were killed $new is not the master: $(master) is"
  await_journal
  ok "all containers are killed at once and start again: the master is the same, and nothing is lost"
  stack_down
}

# await_journal waits until the service reads from the new master. What is lost stays so.
await_journal() {
  eventually 60 "$run/acked" -url "$url" -ca "$ca" -journal "$run/journal" read || check_journal
  note "all $(acknowledged) messages are read"
}

# master prints the name of the master as a Sentinel knows it.
master() {
  case $(docker exec "$(container sentinel-2)" redis-cli -p 26379 sentinel get-master-addr-by-name messages) in
    *.11[!0-9]*) echo redis ;;
    *.12[!0-9]*) echo redis-2 ;;
    *.13[!0-9]*) echo redis-3 ;;
  esac
}
not_master() { [ "$(master)" != "$1" ]; }

# followed_by SERVICE NUMBER succeeds if this number of replicas follows the service.
followed_by() {
  # shellcheck disable=SC2016 # the container expands it
  [ "$(docker exec "$(container "$1")" sh -c 'REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --user messaging_api info replication' |
    grep -c '^slave.*state=online')" = "$2" ]
}
