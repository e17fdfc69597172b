#!/bin/sh
# The main job, from nothing to a comparison: every line can be typed at a prompt.
# Run it with `make demo`, or with nnlab on the path: sh examples/demo.sh [FOLDER]
set -eu
folder=${1:-demo}
mkdir -p "$folder"
cd "$folder"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n$ %s\n' "$*"; }
run() {
    say "$@"
    "$@"
}

# 1. Images: ten shapes, most of them on the background that belongs to their class.
run nnlab preprocess shapes -o shapes.h5 --force

# 2. Comparing pixels: the nearest training images vote.
run nnlab knn-baseline shapes.h5 -o knn.h5 --k 1,3,5 --metric l1 --folds 3 --force

# 3. Learning: two linear classifiers and a network with hidden layers.
run nnlab train shapes.h5 -o softmax.h5 --model softmax --epochs 10 --force
run nnlab train shapes.h5 -o svm.h5 --model svm --delta 1 --l2 1e-3 --epochs 10 --force
run nnlab train shapes.h5 -o mlp.h5 --model mlp --hidden 256,128 --dropout 0.3 --epochs 20 --force

# 4. Images that none of them has seen; then the same shapes on other classes' backgrounds.
for model in knn softmax svm mlp; do
    for split in test test_swapped; do
        say "nnlab eval $model.h5 --split $split | tail -n 1"
        nnlab eval $model.h5 --split $split | tail -n 1
    done
done

# 5. The comparison.
run nnlab runs .
printf '\nThe run files are in %s: knn.h5 softmax.h5 svm.h5 mlp.h5\n' "$(pwd)"
echo 'On test_swapped every background belongs to another class: what a model loses there, it had'
echo 'read from the background.'
