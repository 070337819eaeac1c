#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All speed figures of a machine with a CUDA GPU, once: bash benchmarks/gpu.sh [FOLDER for the results]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_figures}
mkdir -p "$out"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv > "$out/gpu.csv"
python -m matanyone_engine doctor --device cuda | tee "$out/doctor.txt"
python -m pytest -q -m gpu | tee "$out/tests.txt"
for model in mini matanyone; do
  python benchmarks/network.py --model "$model" --device cuda --turns 20 \
    --sizes 1280x720 1920x1080 3840x2160 --ways exact fast \
    --json "$out/$model.json" --plot "$out/$model.png" | tee "$out/$model.txt"
  # The dense reading holds several matrices of queries x tokens: 21 GB each at UHD, so it stops at 1080p.
  python benchmarks/network.py --model "$model" --device cuda --turns 20 --sizes 1920x1080 \
    | tee "$out/$model.dense.txt"
done
python benchmarks/engine.py throughput --device cuda | tee "$out/engine.json"
echo "figures  $out"
