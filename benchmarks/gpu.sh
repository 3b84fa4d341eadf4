#!/bin/sh
# What only an NVIDIA GPU can show of deployment, in under 8 minutes; results go to runs/gpu.json.
# Run it at the root of a clone. Needs no network; installed have to be: lipdeploy[export,tensorrt]
# and tensorrt or tensorrt-rtx (JetPack brings the first; wheels can be carried over), and
# onnxruntime-gpu for the CUDA rows. Models: the arguments, or the bundled one.
set -eu
PYTHON=${PYTHON:-.venv/bin/python}
if ! command -v nvidia-smi >/dev/null 2>&1 && ! [ -e /etc/nv_tegra_release ]; then
    echo "benchmarks/gpu.sh: no NVIDIA GPU here, nothing was run" >&2
    exit 6
fi
mkdir -p runs
# A build that takes longer is cut off; what was measured before is in the file by then.
exec timeout 475 "$PYTHON" benchmarks/gpu.py --json runs/gpu.json "$@"
