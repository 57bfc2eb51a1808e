"""What the package costs in time and memory: `python -m benchmarks.NAME [--json FILE]`.

lsts, postprocess, detector, train_step, loader; `benchmarks/gpu.sh` runs what suits a GPU. Everything that a
table compares is measured in one run, turn by turn.
"""
