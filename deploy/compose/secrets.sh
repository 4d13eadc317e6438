#!/usr/bin/env bash
# A random passphrase for each organisation of the mesh, once.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/secrets
umask 077
mkdir -p "$folder"
for name in north east south west; do
  [ -s "$folder/$name" ] || head -c 32 /dev/urandom | base64 -w0 >"$folder/$name"
  # Compose mounts the file as it is; the folder above keeps everybody else out.
  chmod 0444 "$folder/$name"
done
