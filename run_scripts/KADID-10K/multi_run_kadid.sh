#!/usr/bin/env bash
# Trains as one_node_run_kadid.sh does, on several machines: run it on each of them, in the same folder of shared storage.
#
#   npx thurstone keys keys node0 node1                       # once, on any of them
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 IMAGE_FOLDER=... DATA_FILE=... \
#     bash run_scripts/KADID-10K/multi_run_kadid.sh [more flags]    # the machine of that address; 1 on the other
#
# Machine 0 also runs the control plane, which alone reads flags, rows and pictures. torchrun starts the workers of each
# machine, and they dial in (docs/nodes.md). The exit status on machine 0 is that of the control plane.
#
# With the flags `--save_only_model false --requeue` the run can be stopped and goes on when the same is run again: SIGTERM to
# the script on machine 0 saves the run within `--termination_grace` seconds (30).
set -euo pipefail

: "${NNODES:?set it to the number of machines}"
: "${NODE_RANK:?set it to the number of this machine, from 0}"
: "${MASTER_ADDR:?set it to an address of machine 0 that all machines reach}"
GPUS="${GPUS:-8}"
KEYS="${KEYS:-keys}"
PORT="${PORT:-5700}"
RENDEZVOUS_PORT="${RENDEZVOUS_PORT:-29500}"
here="$(dirname "$0")"
. "$here/pass_sigterm.sh"

# Not by npx, which keeps SIGTERM to itself.
worker=(node "$here/../../dist/cli/main.js" worker --connect "tcp://$MASTER_ADDR:$PORT" --key "$KEYS/node$NODE_RANK.json" --
  --nnodes "$NNODES" --nproc-per-node "$GPUS" --node-rank "$NODE_RANK"
  --rdzv-backend static --master-addr "$MASTER_ADDR" --master-port "$RENDEZVOUS_PORT")
if [ "$NODE_RANK" != 0 ]; then
  pass_sigterm_to "${worker[@]}"
  exit
fi

# In a session of its own: signals are for the control plane, which ends the workers once the run is saved.
setsid "${worker[@]}" &
workers=$!
trap 'kill -TERM "$workers" 2> /dev/null && wait "$workers" || true' EXIT

pass_sigterm_to bash "$here/one_node_run_kadid.sh" \
  --worker_address "tcp://0.0.0.0:$PORT" --worker_key_file "$KEYS/control.json" --num_processes "$((NNODES * GPUS))" "$@"
# Workers of a run end with it. After `--dry-run` they would wait for one.
for ((tenth = 0; tenth < 100; tenth++)); do
  kill -0 "$workers" 2> /dev/null || break
  sleep 0.1
done
