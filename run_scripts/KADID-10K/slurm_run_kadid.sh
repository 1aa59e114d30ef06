#!/usr/bin/env bash
#SBATCH --job-name=kadid
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --output=output/%x-%j.log
# multi_run_kadid.sh as a Slurm job, from a folder of shared storage where this package is set up:
#
#   IMAGE_FOLDER=... DATA_FILE=... sbatch run_scripts/KADID-10K/slurm_run_kadid.sh [more flags]
#
# Flags of sbatch win over the lines above (`sbatch --nodes=4 ...`). Every job makes keys of its own.
set -euo pipefail

export NNODES="$SLURM_NNODES"
export GPUS="${GPUS:-${SLURM_GPUS_ON_NODE:-8}}"
export KEYS="${KEYS:-output/keys-$SLURM_JOB_ID}"
hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"
MASTER_ADDR="${hosts%%$'\n'*}"
export MASTER_ADDR

names=()
for ((node = 0; node < NNODES; node++)); do names+=("node$node"); done
npx thurstone keys "$KEYS" "${names[@]}"

# SLURM_NODEID is known to a task only.
exec srun --kill-on-bad-exit bash -c 'NODE_RANK="$SLURM_NODEID" exec bash run_scripts/KADID-10K/multi_run_kadid.sh "$@"' multi_run_kadid "$@"
