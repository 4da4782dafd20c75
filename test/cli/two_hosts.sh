#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two network namespaces are two hosts: they train as one does, to the byte, and where the network between them is cut
# both end. Exit 77 = skipped: namespaces need root and iproute2.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
export OMP_NUM_THREADS=1
hosts=("clr-$$-0" "clr-$$-1")
remove_hosts() { for host in "${hosts[@]}"; do ip netns del "$host" 2>/dev/null; done; }
trap 'remove_hosts; rm -rf "$scratch"' EXIT
make_hosts() {
  ip netns add "${hosts[0]}" && ip netns add "${hosts[1]}" &&
    ip link add link0 netns "${hosts[0]}" type veth peer name link1 netns "${hosts[1]}" || return 1
  for i in 0 1; do
    ip -n "${hosts[i]}" addr add "10.77.0.$((i + 1))/24" dev link$i && ip -n "${hosts[i]}" link set link$i up &&
      ip -n "${hosts[i]}" link set lo up || return 1
  done
}
[ "$(id -u)" = 0 ] || skip "not root"
command -v ip >/dev/null || skip "no ip (iproute2)"
make_hosts 2>err.txt || skip "no network namespaces: $(head -n 1 err.txt)"

make_set set 4 12 32
pretrain=("$CLR" pretrain --config simclr_cifar10_tiny --data set --device cpu --threads 1 --quiet
  --set encoder.width=0.0625 --set train.batch_size=16 --set train.compute_threads=1 --set train.log_every_steps=1
  --set train.knn_every_epochs=0)
pids=()
# One process on each host.
start() { # ARGUMENTS...
  for i in 0 1; do
    NODES=2 NODE_RANK=$i MASTER_ADDR=10.77.0.1 MASTER_PORT=29500 ip netns exec "${hosts[i]}" \
      "$root/scripts/launch.sh" 1 -- "${pretrain[@]}" "$@" 2>"err.$i" &
    pids[i]=$!
  done
}
ends_with() { # HOST CODE WORDS
  local status=0
  wait "${pids[$1]}" || status=$?
  [ $status -eq "$2" ] && grep -qF -- "$3" "err.$1" && [ "$(grep -c "error: " "err.$1")" -eq 1 ] && return
  printf 'host %d: code %d: %s\n' "$1" $status "$(cat "err.$1")" >&2
  return 1
}

check "two processes of one host" "$root/scripts/launch.sh" 2 -- "${pretrain[@]}" --out one --set train.epochs=6
start --out two --set train.epochs=6
for i in 0 1; do check "host $i" wait "${pids[i]}"; done
last=$(cat one/checkpoints/latest)
for file in model.safetensors state.safetensors; do
  check "the bytes of one host: $file" cmp "one/checkpoints/$last/$file" "two/checkpoints/$last/$file"
done

start --out cut --set train.epochs=5000
check "they train" until_rows cut 20
ip -n "${hosts[1]}" link set link1 down
cut=$SECONDS
check "the network is cut: host 0" ends_with 0 75 "no sign of life for 15 s: it was killed or stopped, or cannot be reached"
check "the network is cut: host 1" ends_with 1 75 "its store did not answer for 15 s"
check "both within 40 s" test $((SECONDS - cut)) -le 40
check "and what was saved is whole" "$CLR" embed --checkpoint cut --data set --output f.npy --device cpu --quiet
finish
