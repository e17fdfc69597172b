#!/bin/bash
# A whole experiment as jobs that wait for one another; run it on the login node, it only submits.
#
#   bash pipeline.sh SOURCE FOLDER [options of nnlab train]
#
# Prepares SOURCE (a known data set that was downloaded, a folder of images or an archive of one),
# trains three seeds side by side, measures each on the test images, and writes a report. If a step
# fails, those after it are not begun. The number of the last job is printed. NNLAB_CPUS is the
# number of processors of a training (4); NNLAB_PREPARE may hold
# more options of `nnlab preprocess`, such as '--size 32 --test 0.2'.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source=$1
folder=$2
shift 2
if [ -e "$source" ]; then source=$(realpath "$source"); fi
mkdir -p "$folder"
cd "$folder"

submit() { # DEPENDENCY OPTIONS...; prints the number of the job
    local dependency=$1
    shift
    sbatch --parsable --open-mode=append --output='%x-%j.log' \
        ${dependency:+"--dependency=afterok:$dependency" --kill-on-invalid-dep=yes} "$@"
}

prepared=$(submit '' --job-name=prepare --wrap "exec nnlab preprocess '$source' -o data.h5 --force ${NNLAB_PREPARE-}")
measured=
for seed in 0 1 2; do
    trained=$(submit "$prepared" --job-name="train-$seed" --cpus-per-task="${NNLAB_CPUS:-4}" \
        "$here/train.sh" data.h5 -o "run-$seed.h5" --seed "$seed" "$@")
    job=$(submit "$trained" --job-name="measure-$seed" --wrap "exec nnlab eval run-$seed.h5")
    measured=${measured:+$measured:}$job
done
submit "$measured" --job-name=report \
    --wrap 'exec nnlab report run-0.h5 run-1.h5 run-2.h5 -o report.html --force'
