# shellcheck shell=bash
# Part of scripts/test-deploy: a container engine, found or started.
#
# Where none answers, Debian's is installed and a dockerd is started for this test. It has
# its own socket and state. At the end its changes to the machine (addresses, packet
# filter, forwarding) are undone.

engine_pid=

# find_engine sets $compose, and DOCKER_HOST where the engine is ours.
find_engine() {
  if ! timeout 20 docker info >/dev/null 2>&1; then
    install_engine
    start_engine
  fi
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  else
    need docker-compose docker-compose
    compose=(docker-compose)
  fi
  note "engine $(docker version -f '{{.Server.Version}}'), ${compose[*]} $("${compose[@]}" version --short)"
}

install_engine() {
  as_root
  need dockerd docker.io
  need docker-compose docker-compose
  need iptables iptables
}

start_engine() {
  as_root
  export DOCKER_HOST="unix://$run/docker.sock"
  mkdir -p "$cache/engine"
  # Not /etc/docker, which configures another engine. Debian 12's engine needs this for
  # deploy/docker-compose.ipv6.yml.
  echo '{"experimental": true, "ip6tables": true}' >"$run/daemon.json"
  sysctl -n net.ipv4.ip_forward >"$run/ip_forward"
  iptables-save >"$run/iptables"
  ip6tables-save >"$run/ip6tables"
  # There are two packet filters that iptables can use. A kernel may have only one.
  start_dockerd || {
    mkdir "$run/legacy"
    ln -s "$(command -v iptables-legacy)" "$run/legacy/iptables"
    ln -s "$(command -v ip6tables-legacy)" "$run/legacy/ip6tables"
    PATH="$run/legacy:$PATH" start_dockerd
  } || {
    tail -n 20 "$run/dockerd.log" >&2
    fail "dockerd does not start here"
  }
}

start_dockerd() {
  dockerd --config-file "$run/daemon.json" --host "$DOCKER_HOST" \
    --data-root "$cache/engine" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" \
    >>"$run/dockerd.log" 2>&1 9>&- &
  engine_pid=$!
  until docker info >/dev/null 2>&1; do
    kill -0 "$engine_pid" 2>/dev/null || return 1
    sleep 0.2
  done
}

stop_engine() {
  [ -n "$engine_pid" ] || return 0
  # Otherwise layers of earlier versions of the source fill the cache.
  docker image prune -f >/dev/null || true
  kill "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" || true
  iptables-restore <"$run/iptables" || true
  ip6tables-restore <"$run/ip6tables" || true
  ip link delete docker0 2>/dev/null || true
  sysctl -qw "net.ipv4.ip_forward=$(cat "$run/ip_forward")" || true
}

as_root() {
  [ "$(id -u)" = 0 ] || fail "no container engine answers, and only root can install and start one"
}

# need COMMAND PACKAGE installs Debian's package where the command is missing. The
# package starts no service.
need() {
  command -v "$1" >/dev/null && return
  note "installing $2"
  (install_missing <<<"$1 $2") >"$run/apt.log" 2>&1 || {
    tail -n 5 "$run/apt.log" >&2
    fail "cannot install $2"
  }
}
