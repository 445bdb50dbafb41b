#!/bin/sh
# Validates, builds, starts, migrates, verifies one whole journey and records it. Safe to run again. --help shows the options.
exec "$(dirname -- "$0")/deploy/nexus.sh" deploy "$@"
