#!/usr/bin/env bash
# Installs pipeline.lock, file by file as hashed there, into the conda environment of pipeline.yaml.
set -euo pipefail

# Snakemake makes the environment anew when this script changes, but does not look into the lock:
# so the lock's hash stands here.
echo "746d79cf19e3166e4438764b29585d3185933c08336243c9008b69d8e9a7ea84  envs/pipeline.lock" | sha256sum --check --quiet
python -m pip install --require-hashes --no-deps --requirement envs/pipeline.lock
