#!/bin/bash
# Starts nginx as process 1, with its error log filtered, and reloads it when a
# certificate changes.
set -eu
certificates() { sha256sum /certs/fullchain.pem /certs/privkey.pem; }

# On SIGHUP nginx loads the new pair only if it parses and matches. Otherwise it keeps the
# old one and logs why.
watch() {
  local served now
  served=$(certificates)
  while sleep 30; do
    now=$(certificates) || continue # between two files
    [ "$now" = "$served" ] || kill -HUP 1
    served=$now
  done
}

watch 2>/dev/null &
exec nginx -g 'daemon off;' 2> >(exec sed --unbuffered --quiet --regexp-extended --file /usr/local/lib/firewall/log.sed)
