#!/usr/bin/env bash
# Trains Qwen2.5-VL on KADID-10K with the flags of VisualQuality-R1's script of the same name.
#
#   IMAGE_FOLDER=... DATA_FILE=... bash run_scripts/KADID-10K/one_node_run_kadid.sh [more flags]
#
# Arguments given to this script are passed on and win over the flags below: `--num_processes 8` for eight GPUs, `--deepspeed
# none` for one without DeepSpeed (which is installed by `pip install deepspeed==0.19.8`). `--dry-run` shows the plan.
#
# The script that this one is taken from saves the model only (`--save_only_model true`), from which no run can go on. With
# `--save_only_model false --requeue` SIGTERM saves the run, and the same command goes on with it (docs/reliability.md).
set -euo pipefail

: "${IMAGE_FOLDER:?set it to the folder of the KADID-10K pictures}"
: "${DATA_FILE:?set it to the JSONL file of the training rows}"
MODEL="${MODEL:-Qwen/Qwen2.5-VL-7B-Instruct}"
RUN_NAME="${RUN_NAME:-KADID-10K}"

# Not by npx, which keeps SIGTERM to itself.
exec node "$(dirname "$0")/../../dist/cli/main.js" train \
  --deepspeed "$(dirname "$0")/../../configs/zero3.json" \
  --output_dir "output/$RUN_NAME" \
  --model_name_or_path "$MODEL" \
  --question_template scoring \
  --dataset_name KADID-10K \
  --image_folders "$IMAGE_FOLDER" \
  --data_file_paths "$DATA_FILE" \
  --freeze_vision_modules false \
  --max_prompt_length 1024 \
  --num_generations 6 \
  --per_device_train_batch_size 48 \
  --gradient_accumulation_steps 1 \
  --logging_steps 1 \
  --bf16 \
  --torch_dtype bfloat16 \
  --data_seed 42 \
  --report_to tensorboard \
  --gradient_checkpointing true \
  --attn_implementation flash_attention_2 \
  --num_train_epochs 10 \
  --run_name "$RUN_NAME" \
  --save_steps 50 \
  --save_only_model true \
  "$@"
