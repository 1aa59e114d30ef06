#!/usr/bin/env bash
#SBATCH --job-name=kadid
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# multi_run_kadid.sh as a Slurm job, from a folder of shared storage where this package is set up:
#
#   IMAGE_FOLDER=... DATA_FILE=... sbatch run_scripts/KADID-10K/slurm_run_kadid.sh [more flags]
#
# Flags of sbatch win over the lines above (`sbatch --nodes=4 ...`). Every job makes keys of its own.
#
# A run that takes longer than a job may: two minutes before the job's time is over Slurm sends SIGTERM to this script
# (--signal), the run is saved, and the job goes back to the queue, until the run is finished:
#
#   ... sbatch --requeue run_scripts/KADID-10K/slurm_run_kadid.sh --save_only_model false --requeue --termination_grace 110
#
# `scancel --batch --signal=TERM JOB` does the same at any time; `scancel JOB` ends the job.
set -euo pipefail

export NNODES="$SLURM_NNODES"
export GPUS="${GPUS:-${SLURM_GPUS_ON_NODE:-8}}"
export KEYS="${KEYS:-output/keys-$SLURM_JOB_ID}"
hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"
MASTER_ADDR="${hosts%%$'\n'*}"
export MASTER_ADDR
. run_scripts/KADID-10K/pass_sigterm.sh

# A job that was requeued keeps its number, and so its keys.
names=()
for ((node = 0; node < NNODES; node++)); do
  [ -e "$KEYS/node$node.json" ] || names+=("node$node")
done
[ "${#names[@]}" = 0 ] || node dist/cli/main.js keys "$KEYS" "${names[@]}"

# This script runs on the first machine, and the control plane with it, so that Slurm's signal comes to one and to nobody else.
others="$((NNODES - 1))"
if [ "$others" != 0 ]; then
  # SLURM_NODEID is known to a task only, and counts the machines of its step.
  srun --relative=1 --nodes="$others" --ntasks="$others" --kill-on-bad-exit \
    bash -c 'NODE_RANK="$((SLURM_NODEID + 1))" exec bash run_scripts/KADID-10K/multi_run_kadid.sh' &
fi
pass_sigterm_to env NODE_RANK=0 bash run_scripts/KADID-10K/multi_run_kadid.sh "$@"
wait || true
if [ -n "$sigterm_came" ] && [[ " $* " = *" --requeue "* ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
