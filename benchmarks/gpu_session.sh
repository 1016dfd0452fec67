#!/usr/bin/env bash
# All that needs a GPU, in one command: the labs, the GPU benchmark, and training with what time remains.
#
#   benchmarks/gpu_session.sh OUT
#
# OUT gets logs, numbers, weights and samples as they come, so a visit that is cut short leaves what it had.
# The machine needs Python with JAX and CUDA, but neither TensorFlow, Keras nor a network: what is missing comes from
# wheels/, if there is such a folder. `pip download --dest wheels --requirement benchmarks/gpu_requirements.txt` fills it,
# with --python-version and --platform for the other machine. Delete from it what the machine has (numpy, scipy,
# scikit-learn, matplotlib, pillow); the other wheels have 32 MB together.
#
# MINUTES=12     all steps together
# PYTHON=python3
# REHEARSE=1     on the CPU, with tiny sizes: does everything run?
# LABS=solutions the notebooks to run
set -uo pipefail
out=$(realpath -m "${1:?give the folder for the results: benchmarks/gpu_session.sh OUT}")
cd "$(dirname "$0")/.."
total=$((${MINUTES:-12} * 60))
end=$((SECONDS + total))
python=${PYTHON:-python3} labs=${LABS:-solutions} failed=0
mkdir -p "$out"
export KERAS_BACKEND=jax XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONPATH=$PWD PYTHONUNBUFFERED=1

step() { # step NAME SECONDS COMMAND...: runs a command for at most that long, and at most until the end
  local name=$1 limit=$2 left=$((end - SECONDS)) begin=$SECONDS status
  shift 2
  if ((left < limit)); then limit=$left; fi
  if ((limit < 10)); then echo "$name: no time left" | tee -a "$out/summary.txt"; failed=1; return; fi
  timeout --signal INT --kill-after 10 "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  # 124: out of time, which is how the training ends
  if ((status != 0)) && [ "$name $status" != "training 124" ]; then failed=1; fi
  echo "$name: exit status $status after $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
}

: >"$out/summary.txt"
if [ -d wheels ]; then
  "$python" -m venv --system-site-packages "$out/.venv"
  step install $((total / 6)) "$out/.venv/bin/python" -m pip install --quiet --no-index --find-links wheels \
    --requirement benchmarks/gpu_requirements.txt
  python=$out/.venv/bin/python
fi

if [ -n "${REHEARSE:-}" ]; then
  export JAX_PLATFORMS=cpu DIFFUSION_LAB_PROFILE=smoke
  benchmark=(--quick) training=(--image-size 16 --widths 8,16 --count 128 --epochs 2)
  labs_seconds=$((total * 3 / 4)) # a CPU compiles slowly, and the other two are short
else
  export DIFFUSION_LAB_PROFILE=gpu-test
  benchmark=(--batch-sizes 64 256)
  training=(--image-size 64 --widths 64,128,192,256 --count 20000 --epochs 60 --batch-size 128 --bfloat16)
  labs_seconds=$((total * 5 / 12))
fi
step labs $labs_seconds "$python" -m pytest --nbval-lax "$labs" --numprocesses 3 --dist loadfile -p no:cacheprovider
step benchmark $((total / 4)) "$python" -m benchmarks.gpu "${benchmark[@]}" --out "$out/gpu.json"
step training $total "$python" -m diffusion_lab train "${training[@]}" --out "$out/training"
exit $failed
