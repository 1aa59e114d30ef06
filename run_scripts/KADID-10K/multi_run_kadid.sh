#!/usr/bin/env bash
# Trains as one_node_run_kadid.sh does, on several machines: run it on each of them, in the same folder of shared storage.
#
#   npx thurstone keys keys node0 node1                       # once, on any of them
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 IMAGE_FOLDER=... DATA_FILE=... \
#     bash run_scripts/KADID-10K/multi_run_kadid.sh [more flags]    # the machine of that address; 1 on the other
#
# Machine 0 also runs the control plane, which alone reads flags, rows and pictures. torchrun starts the workers of each
# machine, and they dial in (docs/nodes.md).
set -euo pipefail

: "${NNODES:?set it to the number of machines}"
: "${NODE_RANK:?set it to the number of this machine, from 0}"
: "${MASTER_ADDR:?set it to an address of machine 0 that all machines reach}"
GPUS="${GPUS:-8}"
KEYS="${KEYS:-keys}"
PORT="${PORT:-5700}"
RENDEZVOUS_PORT="${RENDEZVOUS_PORT:-29500}"

# In a session of its own: Ctrl-C is for the control plane, which ends the workers once the step is saved.
setsid npx thurstone worker --connect "tcp://$MASTER_ADDR:$PORT" --key "$KEYS/node$NODE_RANK.json" -- \
  --nnodes "$NNODES" --nproc-per-node "$GPUS" --node-rank "$NODE_RANK" \
  --rdzv-backend static --master-addr "$MASTER_ADDR" --master-port "$RENDEZVOUS_PORT" &
workers=$!
trap 'kill -TERM -- "-$workers" 2>/dev/null || true' EXIT

if [ "$NODE_RANK" = 0 ]; then
  bash "$(dirname "$0")/one_node_run_kadid.sh" \
    --worker_address "tcp://0.0.0.0:$PORT" --worker_key_file "$KEYS/control.json" --num_processes "$((NNODES * GPUS))" "$@"
fi
wait "$workers"
