#!/bin/sh
# What only a GPU can show of training: the models at 256x256 and the cost of a step as in the
# paper's Table 5. Run at the root of a clone after `make setup`, with LIPDEPLOY_DATA set; results go
# to runs/recipes and runs/training_step.txt. Runs that are finished are kept.
set -eu
PYTHON=${PYTHON:-.venv/bin/python}
mkdir -p runs
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee runs/training_step.txt
for precision in float32 bf16; do
    "$PYTHON" benchmarks/training_step.py --device cuda --imgsz 128 --size S M1 --batch 30 100 \
        --rounds 20 --precision "$precision" | tee -a runs/training_step.txt
done
"$PYTHON" benchmarks/recipes.py --plan gpu
