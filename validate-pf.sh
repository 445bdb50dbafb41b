#!/bin/sh
# Says whether this machine and configuration can be deployed: exit code 0 go, 11 no-go. --help shows the options.
exec "$(dirname -- "$0")/deploy/nexus.sh" preflight "$@"
