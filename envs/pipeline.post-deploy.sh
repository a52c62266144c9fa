#!/usr/bin/env bash
# Installs pipeline.lock, file by file as hashed there, into the conda environment of pipeline.yaml.
set -euo pipefail

# Snakemake makes the environment anew when this script changes, but does not look into the lock:
# so the lock's hash stands here.
echo "212d80a234a8e70083def3d96602c74e70dc25fe291f1aebb9b57ef44c96edfc  envs/pipeline.lock" | sha256sum --check --quiet
python -m pip install --require-hashes --no-deps --requirement envs/pipeline.lock
