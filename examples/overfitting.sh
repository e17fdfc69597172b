#!/bin/sh
# Overfitting, measured: one hidden layer of 16 to 4,096 units on 1,000 real images; then what dropout
# and L2 do to the gap between training and validation. Less than a minute on two cores.
#
#   sh examples/overfitting.sh [DATA.h5]             without DATA.h5, Fashion-MNIST is prepared here
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${1:-fashion.h5}
[ -e "$data" ] || { nnlab download fashion-mnist && nnlab preprocess fashion-mnist -o "$data"; }

train() {
    name=$1
    shift
    nnlab train "$data" -o "over-$name.h5" --force --model mlp --limit-train 1000 --val 3000 \
        --epochs 40 --schedule constant "$@"
}

for hidden in 16 64 256 1024 4096; do
    train "$hidden" --hidden "$hidden"
done
train 1024-dropout --hidden 1024 --dropout 0.6
train 1024-l2 --hidden 1024 --l2 0.03
train 1024-both --hidden 1024 --dropout 0.6 --l2 0.01

set -- over-16.h5 over-64.h5 over-256.h5 over-1024.h5 over-4096.h5 \
    over-1024-dropout.h5 over-1024-l2.h5 over-1024-both.h5
python3 "$here/gap.py" "$@"
nnlab report "$@" -o overfitting.html --force
echo 'overfitting.html: the runs, compared'
