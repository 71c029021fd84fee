#!/usr/bin/env bash
# Runs a pipeline. PIPELINE, REMOTE, PUSH and ARGUMENTS are the action's inputs.
set -euo pipefail

arguments=()
[[ -n "$PIPELINE" ]] && arguments+=("$PIPELINE")
case "$REMOTE" in
  "" | false) ;;
  true) arguments+=(--remote) ;;
  *) arguments+=("--remote=$REMOTE") ;;
esac
[[ "$PUSH" == "true" ]] && arguments+=(--push)
while IFS= read -r line; do
  [[ -n "$line" ]] && arguments+=("$line")
done <<< "$ARGUMENTS"
exec stagewright run "${arguments[@]}"
