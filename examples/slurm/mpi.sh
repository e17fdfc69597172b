#!/bin/bash
# One run of several ranks that share every batch, which survives what train.sh survives.
#
#   sbatch --ntasks=8 mpi.sh photos.h5 -o 'run-{job}.h5' --model mlp --hidden 4096,4096
#
# NNLAB_MPI is what srun needs for the site's MPI: pmix for Open MPI, pmi2 for MPICH;
# `srun --mpi=list` shows what there is. nnlab refuses to train where the two do not fit.
#
# PyPI's MPICH 5.0.2 under pmi2 on several nodes: about one start in ten hangs ("value not properly
# terminated" in the log), because it sends memory that it has not filled. Use the site's own MPI,
# or take away the # before MALLOC_PERTURB_ below, which has glibc fill that memory.
#
#SBATCH --job-name=nnlab-mpi
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120

# export MALLOC_PERTURB_=255
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # which srun no longer takes from sbatch
# Without --kill-on-bad-exit the other ranks would wait for one that was killed until the time limit.
srun --mpi="${NNLAB_MPI:-pmix}" --kill-on-bad-exit nnlab train "$@" --mpi --resume &
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
