#!/usr/bin/env bash
# Installs pipeline.lock, file by file as hashed there, into the conda environment of pipeline.yaml.
set -euo pipefail

# Snakemake makes the environment anew when this script changes, but does not look into the lock:
# so the lock's hash stands here.
echo "d4d745b2cf90bf5eb497f1c55fe381d5910ab081b5bc5b9ab2c073ce8915c1e2  envs/pipeline.lock" | sha256sum --check --quiet
python -m pip install --require-hashes --no-deps --requirement envs/pipeline.lock
