#!/bin/sh
# After the files are gone. Logs and store stay until the package is purged: they may hold samples that were not sent.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  rm -rf /var/lib/ringmaster /etc/ringmaster
  if getent passwd ringmaster >/dev/null; then userdel ringmaster || true; fi
fi
