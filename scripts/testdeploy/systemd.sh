# shellcheck shell=bash
# Part of scripts/test-deploy: the units, under a systemd of their own, and socket
# activation without one.
#
# The machine is a minimal Debian that systemd-nspawn boots in its own network. The
# units get ports 443 and 80 there, and nothing is installed on this machine. Requests
# and commands enter its namespaces from outside.

machine_pid=

test_systemd() {
  need systemd-socket-activate systemd
  need systemd-nspawn systemd-container
  as_root
  (cd "$clone" && CGO_ENABLED=0 go build -trimpath -o "$run/messaging_api" ./cmd/messaging_api)
  test_socket_activation
  boot_machine
  test_units
  test_unit_restart
  test_unit_crash
  test_unit_backup
  test_unit_check
  stop_systemd
}

# --- systemd-socket-activate

test_socket_activation() {
  local before
  mkdir "$run/activated"
  (cd "$run/activated" && exec systemd-socket-activate -l "127.0.0.1:$https" -l "127.0.0.1:$http" --fdname=https:http \
    -E MESSAGING_API_TLS=files -E "MESSAGING_API_TLS_CERT=$clone/certs/fullchain.pem" -E "MESSAGING_API_TLS_KEY=$clone/certs/privkey.pem" \
    -E MESSAGING_API_HOST=localhost -E MESSAGING_API_LISTEN_OPS=127.0.0.1:20081 \
    -E MESSAGING_API_LIMIT_CREATE=off -E MESSAGING_API_LIMIT_READ=off -E MESSAGING_API_LIMIT_BYTES=off \
    -E MESSAGING_API_HANDSHAKES_PER_CLIENT=100000/s:100000 \
    "$root/scripts/testdeploy/respawn" "$run/messaging_api" "$run/activated.pid") >"$run/activated.log" 2>&1 9>&- &
  owned $!
  eventually 60 connects 127.0.0.1 "$https" || fail "systemd-socket-activate does not listen: $(tail -n 3 "$run/activated.log")"
  test_message

  rm -f "$run/journal"
  start_load -forbid refused,dropped,rejected
  more_acknowledged || fail "nothing is acknowledged: $(tail -n 3 "$run/activated.log")"
  for _ in 1 2 3; do
    before=$(cat "$run/activated.pid")
    kill "$before"
    eventually 60 another_process "$before" || fail "the program does not stop: $(tail -n 3 "$run/activated.log")"
    more_acknowledged || fail "nothing is acknowledged after a restart"
  done
  stop_load
  check_journal
  stop_background
  ok "with sockets from systemd-socket-activate, three restarts under load refuse and drop nothing"
}

another_process() { [ "$(cat "$run/activated.pid")" != "$1" ]; }

# --- a machine with systemd

# As README says, but into the machine's root.
install_units() {
  local etc="$1/etc/messaging_api"
  install -D -m 0755 "$run/messaging_api" "$1/usr/local/bin/messaging_api"
  install -m 0644 "$clone"/deploy/systemd/messaging_api*.{service,socket} "$1/etc/systemd/system/"
  install -d -m 0700 "$etc" "$etc/credentials"
  install -m 0600 "$clone/certs/fullchain.pem" "$clone/certs/privkey.pem" "$etc/credentials/"
  cat >"$etc/environment" <<'END'
MESSAGING_API_HOST=localhost
MESSAGING_API_TLS=files
MESSAGING_API_TLS_CERT=/run/credentials/messaging_api.service/secret_fullchain.pem
MESSAGING_API_TLS_KEY=/run/credentials/messaging_api.service/secret_privkey.pem
MESSAGING_API_LIMIT_CREATE=off
MESSAGING_API_LIMIT_READ=off
MESSAGING_API_LIMIT_BYTES=off
MESSAGING_API_HANDSHAKES_PER_CLIENT=100000/s:100000
END
  systemctl --root="$1" enable messaging_api.service messaging_api.socket messaging_api-http.socket 2>/dev/null
}

boot_machine() {
  local root_fs="$run/machine"
  debian_tar
  mkdir "$root_fs"
  tar -xf "$debian" -C "$root_fs"
  systemctl --root="$root_fs" mask redis-server.service prometheus.service 2>/dev/null
  install_units "$root_fs"
  systemd-nspawn --register=no --keep-unit --private-network --link-journal=no --console=pipe \
    --machine=messaging-api-test -D "$root_fs" -b </dev/null >"$run/machine.log" 2>&1 9>&- &
  nspawn=$!
  eventually 60 find_machine || fail "the machine does not boot: $(tail -n 5 "$run/machine.log")"
  eventually 60 in_machine systemctl is-active --quiet messaging_api.service || {
    in_machine journalctl -n 20 --no-pager >&2 || true
    fail "the service does not start"
  }
  ok "the units start under $(in_machine systemctl --version | head -n 1)"
}

# nspawn's only child is the machine's first process.
find_machine() {
  machine_pid=$(cat "/proc/$nspawn/task/$nspawn/children")
  machine_pid=${machine_pid%% *}
  [ -n "$machine_pid" ] && in_machine systemctl --version
}

in_machine() { (cd / && timeout 60 nsenter --all --target "$machine_pid" "$@"); }

test_units() {
  local score process status
  in_machine systemd-analyze verify messaging_api.service messaging_api.socket messaging_api-http.socket || fail "systemd-analyze verify"
  score=$(in_machine systemd-analyze security --offline=true --threshold=15 --no-pager \
    /etc/systemd/system/messaging_api.service | tail -n 1) || fail "systemd-analyze security: $score"
  ok "the units verify; ${score#*Overall }"

  process=$(in_machine systemctl show -P MainPID messaging_api.service)
  status=$(in_machine cat "/proc/$process/status")
  # systemd.exec(5): dynamic users have the numbers 61184 to 65519.
  [[ "$(in_machine systemctl show -P User messaging_api.service) $(awk '$1 == "Uid:" { print $2 }' <<<"$status")" =~ ^messaging_api\ 6[1-5][0-9]{3}$ ]] ||
    fail "the service does not run as messaging_api: $status"
  grep -qx 'NoNewPrivs:.1' <<<"$status" || fail "the service may gain privileges"
  [ "$(grep -cE '^Cap(Inh|Prm|Eff|Bnd|Amb):.0000000000000000$' <<<"$status")" = 5 ] || fail "the service has capabilities: $status"
  in_machine test -s /var/log/messaging_api/messaging_api.log || fail "the log is not where it should be"
  ok "the service runs as messaging_api, without capabilities, and writes its log"
}

# The load comes from outside, but in the machine's network.
set_machine_load() {
  machine_load=(nsenter --net --target "$machine_pid" "$run/acked" -url https://localhost -ca "$ca" -journal "$run/journal")
}

test_unit_restart() {
  rm -f "$run/journal"
  set_machine_load
  start_machine_load -forbid refused,dropped,rejected
  more_acknowledged || fail "nothing is acknowledged: $(in_machine journalctl -n 5 --no-pager)"
  for _ in 1 2 3; do
    in_machine systemctl restart messaging_api.service
    more_acknowledged || fail "nothing is acknowledged after a restart"
  done
  in_machine systemctl reload messaging_api.service
  more_acknowledged || fail "nothing is acknowledged after a reload"
  stop_load
  ok "three restarts and a reload of the unit under load refuse and drop nothing"
}

test_unit_crash() {
  local got
  in_machine systemctl kill -s KILL messaging_api.service
  # The socket is systemd's: the first read waits for the service.
  got=$("${machine_load[@]}" read) || fail "$got"
  note "$got of $(acknowledged)"
  ok "after SIGKILL the unit is back, and so is every message"
}

# follow_in_machine DOCUMENT TEXT runs the document's code block there.
follow_in_machine() {
  local steps
  steps=$(commands "$1" "$2")
  in_machine bash -euxc "$steps" >"$run/steps.log" 2>&1 || {
    cat "$run/steps.log" >&2
    fail "the steps of $1 with '$2' fail"
  }
}

# machine_status LINK prints the status of a read.
machine_status() {
  nsenter --net --target "$machine_pid" curl -sS --max-time 20 --cacert "$ca" -o /dev/null -w '%{http_code}' "$1"
}

# Both backups of docs/OPERATIONS.md, while clients write: the online one disturbs no
# client, the other one stops the service.
test_unit_backup() {
  in_machine mkdir -p /backup
  start_machine_load -forbid refused,dropped,rejected
  more_acknowledged || fail "nothing is acknowledged before the backup"
  cp "$run/journal" "$run/journal.backup"
  follow_in_machine docs/OPERATIONS.md "messaging_api backup"
  more_acknowledged || fail "nothing is acknowledged after the backup"
  stop_load
  restore_unit
  ok "the embedded file is backed up online and restored by docs/OPERATIONS.md's commands, while clients write"

  start_machine_load
  more_acknowledged || fail "nothing is acknowledged before the backup"
  cp "$run/journal" "$run/journal.backup"
  follow_in_machine docs/OPERATIONS.md "cp /var/lib/messaging_api/messages.db"
  more_acknowledged || fail "nothing is acknowledged after the backup"
  stop_load
  restore_unit
  ok "the same with the service and its sockets stopped for the copy"
}

# restore_unit restores the backup while clients write. What was answered before the
# backup is there then, and what was written after it is not.
restore_unit() {
  local got later
  later=$(nsenter --net --target "$machine_pid" curl -sS --max-time 20 --cacert "$ca" -H 'Content-Type: text/plain' -H 'Accept: text/plain' -d later https://localhost/)
  [ "$(machine_status "$later")" = 200 ] || fail "a message written after the backup is not there"
  start_machine_load
  more_acknowledged || fail "nothing is acknowledged before the restore"
  # As on a new machine: the file is not there.
  in_machine rm /var/lib/messaging_api/messages.db
  follow_in_machine docs/OPERATIONS.md "cp /backup/messages.db"
  more_acknowledged || fail "nothing is acknowledged after the restore: $(in_machine journalctl -n 5 --no-pager)"
  stop_load
  mv "$run/journal.backup" "$run/journal"
  got=$("${machine_load[@]}" read) || fail "after the restore: $got"
  note "$got of $(acknowledged)"
  [ "$(machine_status "$later")" = 404 ] || fail "after the restore a message is there that the backup has not"
}

start_machine_load() {
  "${machine_load[@]}" "$@" write >"$run/load.log" 2>&1 9>&- &
  load=$!
  owned "$load"
}

test_unit_check() {
  follow_in_machine docs/OPERATIONS.md "messaging_api check --store"
  grep -q localhost "$run/steps.log" || fail "check with systemd's credentials says: $(cat "$run/steps.log")"
  ok "check runs with systemd's credentials by docs/OPERATIONS.md's command"
}

stop_systemd() {
  [ -n "${nspawn:-}" ] || return 0
  in_machine systemctl poweroff >/dev/null 2>&1 || true
  for _ in $(seq 100); do
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$nspawn" 2>/dev/null || true
  wait "$nspawn" 2>/dev/null || true
  nspawn=
}
