#!/bin/sh
# The vanishing gradient, measured: one network of six hidden layers on real images, with sigmoid and
# with ReLU, everything else the same. Less than a minute on two cores.
#
#   sh examples/vanishing-gradient.sh [DATA.h5]      without DATA.h5, Fashion-MNIST is prepared here
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${1:-fashion.h5}
[ -e "$data" ] || { nnlab download fashion-mnist && nnlab preprocess fashion-mnist -o "$data"; }

for activation in sigmoid relu; do
    nnlab train "$data" -o "deep-$activation.h5" --force --model mlp \
        --hidden 100,100,100,100,100,100 --activation "$activation" --epochs 5
done

python3 "$here/gradients.py" deep-sigmoid.h5 deep-relu.h5
nnlab report deep-sigmoid.h5 deep-relu.h5 -o vanishing-gradient.html --force
nnlab explain deep-sigmoid.h5 --data "$data" --index 12 -o vanishing-one-image.html --force \
    > vanishing-one-image.txt
echo 'vanishing-gradient.html: the two runs; vanishing-one-image.html: one image, layer by layer'
