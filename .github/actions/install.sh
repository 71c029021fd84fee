#!/usr/bin/env bash
# Puts stagewright and the stage programs into a folder and that folder into the path of later steps.
# INSTALL   release or source        NATIVE   true where the native libraries are there
# SOURCE    this action's folder     ACTION_REPOSITORY   owner/name of this action
set -euo pipefail

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/Cargo.toml" | head -n 1)
target="${RUNNER_TOOL_CACHE:-$RUNNER_TEMP}/stagewright/$version"

from_release() {
  if [[ "$(uname -sm)" != "Linux x86_64" ]]; then
    echo "::error title=Stagewright::releases are for Linux on x86-64, and this is $(uname -sm); use \`install: source\`"
    exit 1
  fi
  if [[ -z "${ACTION_REPOSITORY:-}" ]]; then
    echo "::error title=Stagewright::this action is a folder of the repository, which has no release; use \`install: source\`"
    exit 1
  fi
  local archive="stagewright-$version-x86_64-linux.tar.gz"
  local releases="${GITHUB_SERVER_URL:-https://github.com}/$ACTION_REPOSITORY/releases/download/v$version"
  local folder
  folder=$(mktemp -d)
  for file in "$archive" SHA256SUMS; do
    curl --fail --silent --show-error --location --retry 3 --output "$folder/$file" "$releases/$file"
  done
  (cd "$folder" && sha256sum --check --strict --ignore-missing SHA256SUMS)
  # The checksums come from where the archive does; the provenance says which workflow made it.
  if command -v gh >/dev/null; then
    gh attestation verify "$folder/$archive" --repo "$ACTION_REPOSITORY"
  fi
  mkdir -p "$target"
  tar -xzf "$folder/$archive" -C "$target" --strip-components 1
  rm -r "$folder"
}

from_source() {
  local packages=()
  if [[ "$NATIVE" == "true" ]]; then
    packages=(--workspace --exclude xtask)
  fi
  (cd "$SOURCE" && cargo build --release --locked --bins "${packages[@]}")
  mkdir -p "$target/bin"
  local built="${CARGO_TARGET_DIR:-$SOURCE/target}/release"
  find "$built" -maxdepth 1 -type f -executable -name 'stagewright*' -exec cp {} "$target/bin/" \;
}

case "$INSTALL" in
  release) [[ -x "$target/bin/stagewright" ]] || from_release ;;
  source) from_source ;;
  *)
    echo "::error title=Stagewright::\`install\` is \`release\` or \`source\`"
    exit 2
    ;;
esac
echo "$target/bin" >> "$GITHUB_PATH"
"$target/bin/stagewright" --version
