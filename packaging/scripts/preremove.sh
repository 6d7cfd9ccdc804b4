#!/bin/sh
# Before the files go: deb calls "prerm remove" or "prerm upgrade", rpm "0" for a removal and "1" for an upgrade.
set -e
case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then systemctl disable --now ringmaster-agent.service || true; fi
    ;;
esac
