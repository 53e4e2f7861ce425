#!/bin/bash
# deploy/slurm-campaign.sh - an example: a campaign spread over a Slurm array.
#
#   sbatch deploy/slurm-campaign.sh          then, when all have ended: tarn-sim merge all.db campaign-*.db
#
# Start it in the source tree, with tarn-sim built in build/release on a file system that all nodes see.  Each
# task has a part of the seeds and a database of its own; a task that is requeued goes on where it was.
#SBATCH --job-name=tarn-campaign
#SBATCH --array=0-15
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --requeue
set -u
build/release/tarn-sim campaign sim/scenarios/raft*.json --seeds 1..100000 --twice \
    --shard "$SLURM_ARRAY_TASK_ID/${SLURM_ARRAY_TASK_COUNT:-1}" --jobs "${SLURM_CPUS_PER_TASK:-1}" \
    --budget 450m --db "campaign-$SLURM_ARRAY_TASK_ID.db"
