#!/usr/bin/env bash
# Fetches libtorch and ONNX Runtime for later steps, checked against the pins in xtask/native.toml.
# SOURCE    this action's folder
set -euo pipefail

folder="${RUNNER_TOOL_CACHE:-$RUNNER_TEMP}/stagewright-native"
(cd "$SOURCE" && cargo xtask native --into "$folder")
library=$(find "$folder/onnxruntime" -name 'libonnxruntime.so*' -type f | sort | tail -n 1)
{
  echo "LIBTORCH=$folder/torch"
  echo "ORT_DYLIB_PATH=$library"
  echo "LD_LIBRARY_PATH=$folder/torch/lib:$folder/nvidia/cu13/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
} >> "$GITHUB_ENV"
