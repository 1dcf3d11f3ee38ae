# shellcheck shell=bash
# Functions that several scripts use. Each sources this file.

# die MESSAGE...
die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# install_missing reads lines "COMMAND PACKAGE" and installs the Debian package of
# each command that is not there. Only root can install.
install_missing() {
  local missing=() command package
  while read -r command package _; do
    command -v "$command" >/dev/null || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "missing, and only root can install them: apt-get install ${missing[*]}"
  (
    # The tests start the servers that they need. This file tells Debian's packages
    # not to start theirs (policy-rc.d, see /usr/share/doc/init-system-helpers).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 0755 "$policy"
    fi
    # Another apt-get may hold the lists. For those there is no DPkg::Lock::Timeout.
    until apt-get update -q; do
      [ "$SECONDS" -lt 600 ] || die "apt-get update fails"
      sleep 5
    done
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-install-recommends "${missing[@]}"
  )
}

# use_scratch makes the directory $dir for this run. At the end of the script what
# launch has started is stopped, the last first, and $dir is removed.
use_scratch() {
  dir=$(mktemp -d)
  launched=()
  trap stop_launched EXIT
}

stop_launched() {
  local i
  for ((i = ${#launched[@]} - 1; i >= 0; i--)); do
    kill "${launched[i]}" 2>/dev/null || true
    wait "${launched[i]}" || true
  done
  rm -rf "$dir"
}

# launch NAME COMMAND... runs the command in the background. Its output goes to
# $dir/NAME.log, which is there when launch returns.
launch() {
  : >"$dir/$1.log"
  "${@:2}" >"$dir/$1.log" 2>&1 &
  launched+=($!)
}

# await NAME PATTERN waits until a line of NAME's output matches the whole extended
# regular expression, and prints its first group.
await() {
  local found end=$((SECONDS + 120))
  while :; do
    found=$(sed -nE "s/$2/\1/p" "$dir/$1.log" | head -n 1)
    [ -z "$found" ] || break
    if [ "$SECONDS" -ge "$end" ]; then
      tail -n 20 "$dir/$1.log" >&2
      die "$1 did not start"
    fi
    sleep 0.1
  done
  echo "$found"
}

# launch_service NAME FLAGS... starts $dir/messaging_api on free ports of loopback.
# service_address and service_metrics print where it listens, as HOST:PORT.
launch_service() {
  launch "$1" "$dir/messaging_api" --listen 127.0.0.1:0 --listen-ops 127.0.0.1:0 "${@:2}"
}
service_address() { await "$1" '.*"event":"start".*"address":"([0-9.:]+)".*'; }
service_metrics() { await "$1" '.*"event":"start".*"ops_address":"([0-9.:]+)".*'; }

# random_password prints 256 random bits, in hexadecimal.
random_password() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# redis_acl PASSWORD-FILE prints the access rules of deploy/redis/users.acl for that
# password.
redis_acl() { fill_acl users.acl "PASSWORD=$1"; }

# fill_acl TEMPLATE NAME=PASSWORD-FILE... prints deploy/redis/TEMPLATE with the
# passwords' hashes.
fill_acl() {
  local one sum rules
  rules=$(cat "deploy/redis/$1")
  for one in "${@:2}"; do
    sum=$(sha256sum <"${one#*=}")
    rules=${rules//@${one%%=*}_SHA256@/${sum%% *}}
  done
  printf '%s\n' "$rules"
}

# launch_redis NAME starts Redis with the shipped configuration, prepared in
# $dir/NAME, and sets $redis_port. Its password is in $dir/NAME/password.
launch_redis() {
  local home=$dir/$1
  mkdir "$home"
  random_password >"$home/password"
  redis_acl "$home/password" >"$home/users.acl"
  until
    redis_port=$((20000 + RANDOM % 10000))
    ! (exec 3<>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null
  do :; done
  launch "$1" redis-server deploy/redis/redis.conf --bind 127.0.0.1 --port "$redis_port" --dir "$home" --aclfile "$home/users.acl"
  await "$1" '(.*Ready to accept connections.*)' >/dev/null
}
