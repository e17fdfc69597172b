#!/bin/bash
# One run that survives preemption, time limits and lost nodes.
#
#   sbatch train.sh photos.h5 -o 'run-{job}.h5' --model mlp --epochs 200
#
# What follows the name of the script goes to `nnlab train`. A preempted job goes back into the
# queue by itself; before the time limit SLURM sends USR1, nnlab saves and exits with 75, and the
# script puts the job back. After `scancel` it stays cancelled, with its checkpoint.
#
# Where the site has RequeueExit=75 in slurm.conf, one line does: exec nnlab train "$@" --resume
# (with exec, or bash would die of the signal and SLURM would kill nnlab before it has saved).
#
#SBATCH --job-name=nnlab-train
#SBATCH --cpus-per-task=4
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120

nnlab train "$@" --resume &
child=$!
cancelled=
trap 'cancelled=yes; kill -TERM "$child"' TERM
trap 'kill -USR1 "$child"' USR1

# A signal ends `wait`, not the process that it waits for.
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
wait "$child"
code=$?
if [ "$code" = 75 ] && [ -z "$cancelled" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
