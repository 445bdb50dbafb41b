#!/bin/sh
# The `nexus` command for an operator: with the project's Node, else with a Node ≥ 24 on the PATH, else from an image.
# A server needs Docker and nothing else; the image is built once from this folder and drives the same engine.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

if [ -d "$here/node_modules/commander" ] && "$here/node_modules/.bin/pinned" true 2>/dev/null; then
  cd "$here"
  exec "$here/node_modules/.bin/pinned" node "$here/apps/cli/src/main.ts" "$@"
fi

command -v docker >/dev/null || { echo "nexus: Docker is needed: https://docs.docker.com/engine/install/" >&2; exit 1; }
echo "nexus: no Node 24 with installed packages here; running from an image" >&2
image=nexus-cos/cli:local
docker build --quiet --network=host --file "$here/deploy/Dockerfile" --target cli --tag "$image" "$here" >/dev/null

case ${DOCKER_HOST:-} in
  unix://*) socket=${DOCKER_HOST#unix://} ;;
  '') socket=/var/run/docker.sock ;;
  *) echo "nexus: DOCKER_HOST=$DOCKER_HOST is not a socket of this machine; install Node 24 and run 'npm ci'" >&2; exit 1 ;;
esac
commit=$(git -C "$here" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# The folder stands at its own path, because the engine resolves the compose file's mounts on the host;
# the caller's user and the socket's group, so that .env.pf belongs to whoever deploys.
exec docker run --rm --init --network host --pid host \
  --user "$(id -u):$(id -g)" --group-add "$(stat -c %g "$socket")" --env HOME=/tmp --env "NEXUS_COMMIT=$commit" \
  --volume "$socket:/var/run/docker.sock" --volume "$here:$here" --workdir "$here" \
  "$image" "$@"
