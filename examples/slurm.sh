#!/bin/bash
# Sample suites on several nodes: one torchrun a node, one rank a GPU, one shared results folder.
#
#   sbatch --nodes=4 examples/slurm.sh table1-img64
#
# Arguments go to `guidebench run`. Ranks share RESULTS and no connection: NCCL and gloo are not
# used, and torchrun's rendezvous only starts them. A job that is cut off or requeued goes on from
# the finished shards; so does a second job on the same RESULTS, while the first still runs.

#SBATCH --job-name=guidebench
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --requeue

set -euo pipefail

if [ "$#" -eq 0 ]; then
  echo "usage: sbatch [--nodes=N] $0 SUITE[::ROW] ... [options of guidebench run]" >&2
  exit 2
fi

RESULTS=${RESULTS:-$PWD/results}              # on a file system that all nodes see
RANKS_PER_NODE=${RANKS_PER_NODE:-gpu}         # or a number, such as the cores of a node without GPUs
PORT=${PORT:-$((20000 + ${SLURM_JOB_ID:-0} % 20000))}
NODES=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
HEAD=${NODES%%$'\n'*}

# Before any rank starts: what is missing is said once, and the job ends with code 1.
suites=()
for word in "$@"; do
  case $word in -*) break ;; *) suites+=("$word") ;; esac
done
guidebench doctor "${suites[@]}"

# The bare -- keeps torchrun from taking our --num for a short form of its --numa-binding.
exec srun --kill-on-bad-exit=0 torchrun \
  --nnodes="$SLURM_NNODES" \
  --nproc-per-node="$RANKS_PER_NODE" \
  --rdzv-backend=c10d \
  --rdzv-id="$SLURM_JOB_ID" \
  --rdzv-endpoint="$HEAD:$PORT" \
  --max-restarts=3 \
  -m -- guidebench.cli run "$@" --out "$RESULTS"
