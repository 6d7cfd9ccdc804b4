#!/bin/sh
# After the files are in place: deb calls "postinst configure [OLD VERSION]", rpm "1" for an installation and "2" for an upgrade.
set -e
case "$1" in
  configure | 1 | 2) ;;
  *) exit 0 ;;
esac
if ! getent group ringmaster >/dev/null; then groupadd --system ringmaster; fi
if ! getent passwd ringmaster >/dev/null; then
  useradd --system --gid ringmaster --home-dir /var/lib/ringmaster --no-create-home --shell /usr/sbin/nologin ringmaster
fi
# The main file may hold secrets; the agent has to read it.
chgrp ringmaster /etc/ringmaster/agent.yaml
chmod 0640 /etc/ringmaster/agent.yaml
if [ ! -d /var/lib/ringmaster ]; then install -d -m 0700 -o ringmaster -g ringmaster /var/lib/ringmaster; fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # A running agent gets the new program; one that was stopped stays so, and a new one waits for its configuration.
  systemctl try-restart ringmaster-agent.service || true
fi
