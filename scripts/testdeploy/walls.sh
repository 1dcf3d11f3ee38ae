# shellcheck shell=bash
# Part of scripts/test-deploy: who reaches Redis, what they can do there, and
# what the containers can do to the machine.

# probe NETWORK COMMAND... runs a shell command in a container of its own there, for
# at most $patience seconds.
probe() {
  docker run --rm --network "$1" -v "$clone/secrets:/run/secrets:ro" --user 0 \
    --entrypoint timeout "messaging_api-redis:$(version)" "${patience:-5}" bash -c "$2" 2>&1
}

version() { sed -n 's/^VERSION=//p' "$clone/.env"; }

connects() { timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# A connection alone proves nothing: a gateway in between may accept and answer. It is
# Redis if it answers in Redis's protocol.
talk="exec 3<>/dev/tcp/REDIS/6379 && printf 'PING\r\n' >&3 && read -r -t 2 line <&3 && [[ \$line = [+-]* ]] && echo \"\$line\""

test_walls() {
  local redis frontend="${project}_frontend" backend="${project}_backend" answer
  redis=$(address redis)
  redis=${redis% }
  case $redis in "" | *" "*) fail "Redis has addresses '$redis', want one" ;; esac

  [ -z "$(docker port "$(container redis)")" ] || fail "Redis has published ports"
  ! timeout 5 bash -c "${talk/REDIS/$redis}" 2>/dev/null || fail "the host reaches Redis"
  ok "the host cannot connect to Redis"
  ! probe "$frontend" "${talk/REDIS/$redis}" >/dev/null || fail "the frontend network reaches Redis"
  ! probe "$frontend" "getent hosts redis" >/dev/null || fail "the frontend network knows Redis's name"
  ok "the frontend network cannot connect to Redis"

  # The same probe where it must succeed. Otherwise the failures above prove nothing.
  answer=$(probe "$backend" "${talk/REDIS/$redis}") || fail "the backend network does not reach Redis"
  [[ $answer = -NOAUTH* ]] || fail "without a password, the backend network gets: $answer"
  answer=$(probe "$backend" 'redis-cli -h redis get msg:x') || true
  [[ $answer = NOAUTH* ]] || fail "without a password, the backend network gets: $answer"
  answer=$(probe "$backend" 'redis-cli -h redis --user messaging_api --pass wrong --no-auth-warning get msg:x') || true
  [[ $answer = *WRONGPASS* ]] || fail "with a wrong password, the backend network gets: $answer"
  ok "from the backend network Redis wants the password"
  test_acl "$backend"
  test_way_out "$redis"
}

test_acl() {
  local answer command
  as_service() {
    # shellcheck disable=SC2016 # the probe expands it
    probe "$1" 'export REDISCLI_AUTH="$(cat /run/secrets/redis_password)"; redis-cli -h redis --user messaging_api '"$2"
  }
  [ "$(as_service "$1" ping)" = PONG ] || fail "with the password, the backend network does not get in"
  for command in 'keys "*"' flushall 'config get "*"' 'eval "return redis.call(\"get\", KEYS[1])" 1 foreign' \
    'get foreign' 'set foreign x' 'del foreign' 'getdel msg:x' 'scan 0' monitor 'client list' 'acl list' shutdown; do
    answer=$(as_service "$1" "$command") || true
    [[ $answer = *NOPERM* ]] || fail "the service's user may $command: $answer"
  done
  answer=$(as_service "$1" 'info everything') || true
  [[ $answer = *used_memory:* && $answer != *msg:* ]] || fail "the service's user, of INFO, gets: $answer"
  ok "with it, the service's user cannot run KEYS, FLUSHALL, CONFIG and their like, nor touch a foreign key"
}

# listen_on ADDRESS PORT [COMMAND...] accepts connections there, under the command.
listen_on() {
  # shellcheck disable=SC2016 # perl's own
  "${@:3}" perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => $ARGV[1], Listen => 9, ReuseAddr => 1) or die;
    while (my $c = $s->accept) { close $c }' "$1" "$2" 9>&- &
  owned $!
}

# In test_way_out a listener on this machine's own address stands for the internet. The
# API reaches it.
test_way_out() {
  local out port=20999
  out=$(own_address)
  listen_on "$out" "$port"
  eventually 60 connects "$out" "$port" || fail "nothing listens on $out"
  in_network_of api "exec 3<>/dev/tcp/$out/$port" || fail "the API has no way out, so ACME cannot work"
  ! in_network_of redis "exec 3<>/dev/tcp/$out/$port" || fail "Redis has a way out"
  ! in_network_of redis "exec 3<>/dev/tcp/1.1.1.1/443" || fail "Redis reaches the internet"
  stop_background
  ok "Redis has no way out, and the API has one"
}

in_network_of() {
  docker run --rm --network "container:$(container "$1")" --entrypoint timeout \
    "messaging_api-redis:$(version)" 3 bash -c "$2" 2>/dev/null
}

# confined SERVICE FORMAT WANT compares what the engine says with a pattern.
confined() {
  local got
  got=$(docker inspect -f "$2" "$(container "$1")")
  [[ $got =~ ^$3$ ]] || fail "$1: $2 is '$got', want '$3'"
}

# kernel SERVICE FIELD prints what the kernel says about its process.
kernel() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(pid "$1")/status"; }

# confined_as SERVICE USER holds to what docker-compose.yml says of every service.
confined_as() {
  local field mounts service=$1
  confined "$service" '{{.Config.User}}' "$2"
  confined "$service" '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}' 'true false'
  confined "$service" '{{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}' '\[ALL\] \[\]'
  confined "$service" '{{.HostConfig.SecurityOpt}}' '\[no-new-privileges:true\]'
  confined "$service" '{{json .HostConfig.Memory}} {{eq .HostConfig.Memory .HostConfig.MemorySwap}}' '[1-9][0-9]+ true'
  confined "$service" '{{json .HostConfig.NanoCpus}} {{json .HostConfig.PidsLimit}}' '[1-9][0-9]* [1-9][0-9]*'
  confined "$service" '{{.HostConfig.RestartPolicy.Name}}' always
  confined "$service" '{{index .HostConfig.LogConfig.Config "max-size"}}' 10m

  [ "$(kernel "$service" Uid)" != 0 ] || fail "$service runs as root"
  for field in CapInh CapPrm CapEff CapBnd CapAmb; do
    [ "$(kernel "$service" "$field")" = 0000000000000000 ] || fail "$service has $field"
  done
  [ "$(kernel "$service" NoNewPrivs)" = 1 ] || fail "$service may gain privileges"
  [ "$(kernel "$service" Seccomp)" = 2 ] || fail "$service has no system call filter"

  # Through /proc a file is created under the container's own mounts, as root.
  mounts=/proc/$(pid "$service")/root
  if touch "$mounts/x" 2>/dev/null; then fail "$service can write to /"; fi
}

test_confinement() {
  confined_as api messaging_api
  confined_as redis messaging_api
  if touch "/proc/$(pid api)/root/certs/x" 2>/dev/null; then fail "api can write to its certificates"; fi
  ok "both run as messaging_api, without capabilities, and cannot write to /"
}
