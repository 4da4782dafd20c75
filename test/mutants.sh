#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts one mistake at a time into the losses and expects their tests to find it. Minutes, so no part of
# ctest; run it after a change in lib/clr/loss or test/loss.
#
#   test/mutants.sh [--list] [WORDS]     WORDS: only mistakes whose description holds them
#
# Works on a copy of the tree in build/mutants, so that nothing needs to be put back: whatever a run
# that was stopped has left there is replaced by the next one. Ends with 1 if the tests stay green with a
# mistake in, if a mistake no longer fits the source, or if it does not compile.
set -euo pipefail
root=${CLR_SOURCE_DIR:-$(cd "$(dirname "$0")/.." && pwd)}
work=$root/build/mutants
copy=$work/source
build=$work/build
seconds=300 # a test run that takes longer hangs, which is found too

list=no
if [ "${1:-}" = --list ]; then
  list=yes
  shift
fi
words=${1:-}

say() { printf 'mutants.sh: %s\n' "$*"; }

# The copy becomes what the tree is. Files that are the same keep their time, so that they need no
# compiling; all others get a new one, whatever their own is.
refresh() {
  mkdir -p "$copy"
  (cd "$root" && git ls-files -co --exclude-standard | LC_ALL=C sort) >"$work/files"
  (cd "$copy" && find . -type f -printf '%P\n' | LC_ALL=C sort) |
    LC_ALL=C comm -13 "$work/files" - | (cd "$copy" && xargs -r -d '\n' rm -f)
  local file
  while IFS= read -r file; do
    [ -f "$root/$file" ] || continue
    cmp -s "$root/$file" "$copy/$file" && continue
    mkdir -p "$copy/$(dirname "$file")"
    cp "$root/$file" "$copy/$file"
  done <"$work/files"
}

compile() { cmake --build "$build" --parallel "$(nproc)" --target clr_loss_tests >"$work/log" 2>&1; }

# The first test that fails, or what else ended the run; nothing and 0 if all are green.
run_tests() {
  local status=0
  # Threads that wait without spinning: others may be building.
  OMP_WAIT_POLICY=passive timeout -k 10 "$seconds" "$build/clr_loss_tests" --abort >"$work/log" 2>&1 || status=$?
  case $status in
    0) return 0 ;;
    124 | 137) echo "(took more than $seconds s)" ;;
    *) awk '/^-----/ { if (seen++) exit; next } seen { print; exit }' "$work/log" | grep . || echo "(status $status)" ;;
  esac
  return 1
}

count=0
bad=0
row() { printf '%-62s | %-58s | %s\n' "$1" "$2" "$3"; }

# mutant DESCRIPTION FILE SED: SED (extended expressions) puts the mistake into FILE of lib/clr/loss.
mutant() {
  local what=$1 file=lib/clr/loss/$2 edit=$3 found
  [[ $what == *"$words"* ]] || return 0
  count=$((count + 1))
  if [ "$list" = yes ]; then
    printf '%-62s %s\n' "$what" "$2"
    return 0
  fi
  sed -E "$edit" "$root/$file" >"$work/mutated"
  if cmp -s "$work/mutated" "$root/$file"; then
    row "$what" "-" "DOES NOT FIT $2 any more"
    bad=$((bad + 1))
    return 0
  fi
  cp "$work/mutated" "$copy/$file"
  if ! compile; then
    row "$what" "-" "DOES NOT COMPILE: $(grep -m1 -E 'error' "$work/log" || tail -n 1 "$work/log")"
    bad=$((bad + 1))
  elif found=$(run_tests); then
    row "$what" "-" "SURVIVED"
    bad=$((bad + 1))
  else
    row "$what" "$found" "found"
  fi
  cp "$root/$file" "$copy/$file"
}

if [ "$list" = no ]; then
  mkdir -p "$work"
  refresh
  cmake -S "$copy" -B "$build" --preset release -DCLR_CUDA=OFF \
    -DCMAKE_BUILD_TYPE=Mutants -DCMAKE_CXX_FLAGS_MUTANTS="-O1 -DNDEBUG" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 2
  }
  say "building $build; then one row a mistake"
  compile || {
    tail -n 30 "$work/log" >&2
    exit 2
  }
  if ! found=$(run_tests); then
    say "the tests fail without any mistake: $found" >&2
    exit 2
  fi
  row "mistake" "first test that fails" "outcome"
fi

# --- the mistakes ----------------------------------------------------------------------------

# Tiles on the CPU.
mutant "a tile's column sums are dropped" contrastive_cpu.cpp \
  's/columns_total\[tile\.column \+ c\] \+= /&0 * /'
mutant "a tile gives no gradient to its columns" contrastive_cpu.cpp \
  's/others\.defined\(\) && !tile\.rows_only/false/'
mutant "a tile on the diagonal is added up twice" contrastive_cpu.cpp \
  's/symmetric_ && \(!triangular_ \|\| i == j\)/symmetric_ \&\& !triangular_/'
mutant "the mask is off by one" contrastive_cpu.cpp \
  's/\[r \* stride \+ column - tile\.column\] = kLeftOut/[r * stride + (column - tile.column + 1) % tile.columns] = kLeftOut/'
mutant "the mask misses a tile's first column" contrastive_cpu.cpp \
  's/column >= tile\.column &&/column > tile.column \&\&/'
mutant "no mask on the diagonal" contrastive_cpu.cpp \
  's/\{problem\.self\(tile\.row \+ r\), /{/'
mutant "the positive stays in the sum" contrastive_cpu.cpp \
  's/, problem\.partner\(tile\.row \+ r\)\}/}/'
mutant "columns past the last one are added up" contrastive_cpu.cpp \
  's/stride != tile\.columns\)/false)/'
mutant "no shift at any temperature" contrastive_cpu.cpp 's/^( +)120;/\11e9;/'
mutant "weights of the backward pass without their scale" contrastive_cpu.cpp \
  's/std::exp2\(-std::ilogb\(largest\)\)/1.0/'
mutant "the ids' mask is inverted" contrastive_cpu.cpp 's/\) != keep_same/) == keep_same/'
mutant "the limit on the cosine is inverted" contrastive_cpu.cpp 's/\] > limit/] < limit/'
mutant "the columns' weights are dropped" contrastive_cpu.cpp 's/weight \+ row_weight/row_weight/'
mutant "the rows' weights are dropped" contrastive_cpu.cpp 's/weight \+ row_weight/weight/'
mutant "the exponential's polynomial is off in its fourth digit" contrastive_cpu.cpp \
  's/0\.24022646248340607F/0.2401F/'
mutant "small exponentials become 0" contrastive_cpu.cpp 's/v < -126\.0F/v < -20.0F/'
mutant "the gradient lacks 1 / temperature" contrastive_cpu.cpp \
  's/factor = scale \/ kLog2E \/ unit/factor = 1 \/ unit/'
mutant "each tile of the backward pass takes what the first one kept" contrastive_cpu.cpp \
  's/kept_tiles \+ tile\.index \* size/kept_tiles/'
mutant "one pair of tiles of each round is left out" contrastive_cpu.cpp 's/k < n \/ 2;/k + 1 < n \/ 2;/'
mutant "rounds pair the wrong tiles" contrastive_cpu.cpp 's/= \(shift \+ k\) % \(n - 1\)/= k % (n - 1)/'

# Who is who.
mutant "the wrong partner in the second half" contrastive_backend.h \
  's/global \+ half : global - half/global + half : (global - half + 1) % half/'
mutant "the wrong partner of interleaved rows" contrastive_backend.h \
  's/global \^ 1/(global + 1) % columns.size(0)/'
mutant "a rank's row offset is forgotten" contrastive_backend.h \
  's/rows_among_columns \? row_offset \+ i/rows_among_columns ? i/'

# Row by row.
mutant "the gradient keeps its part along the row" row_loops.cpp \
  's/static_cast<T>\(row_dot\(unit, row, d\)\)/T{0}/'
mutant "rows of no length lose the part along them" row_loops.cpp 's/constant \? T\{0\} : //'
mutant "another smallest norm" unit_rows.cpp 's/kMinNorm = 1e-12/kMinNorm = 1e-8/'
mutant "a dot product forgets its last number" row_loops.cpp 's/; k < d; \+\+k\) sum/; k + 1 < d; ++k) sum/'
mutant "a pair's gradient counts one end twice" row_loops.cpp 's/slopes\[partner\] : 0\.0/slopes[i] : 0.0/'
mutant "a pair's gradient goes to the row itself" row_loops.cpp \
  's/columns \+ partner \* d, weight/columns + i * d, weight/'
mutant "a pair's other end gets no gradient" row_loops.cpp 's/column_target != nullptr\)/false)/'
mutant "a strided row is read as if it had no gaps" row_loops.cpp \
  's/static_cast<std::int64_t>\(k\) \* stride_/static_cast<std::int64_t>(k)/'

# Problems and losses.
mutant "the temperature's gradient lacks its factor 1/2" contrastive.cpp \
  's/tiles\.symmetric \? 2 : 1/tiles.symmetric ? 1 : 1/'
mutant "streaming: a tile's column sums are dropped" contrastive_streaming.cpp \
  's/problem\.symmetric && !tile\.diagonal/false/'
mutant "streaming: no mask on the diagonal" contrastive_streaming.cpp \
  's/if \(problem\.rows_among_columns\) mask/if (false) mask/'
mutant "streaming: the shift is 1 / temperature" contrastive_streaming.cpp \
  's/tile_logits\.logsumexp\(([01])\)/((tile_logits - problem.inverse_temperature).exp().sum(\1).log() + problem.inverse_temperature)/'
mutant "loss as a difference of logarithms" nt_xent.cpp \
  's/at::softplus\(negatives - pairs, 1, kSoftplusLinear\)/at::logaddexp(negatives, pairs) - pairs/'
mutant "softplus is linear from 20 on" op.h 's/kSoftplusLinear = 40/kSoftplusLinear = 20/'
mutant "DCLW's weights get a gradient" nt_xent.cpp 's/sums\.pairs\.detach\(\)/sums.pairs/'
mutant "hard negatives: beta counts twice" nt_xent.cpp 's/inverse \* \(1 \+ beta\)/inverse * (1 + 2 * beta)/'
mutant "both ways: one way counts twice" info_nce.cpp 's/forth \+ back/forth + forth/'
mutant "the queue gets a gradient" info_nce.cpp 's/queue\.detach\(\)/queue/'
mutant "NCE: the number of noise rows is forgotten" nce.cpp 's/ \+ std::log\(static_cast<double>\(noise\.size\(0\)\)\)//'
mutant "NCE: the mean over noise" nce.cpp 's/h\.noise\)\.sum\(1\)/h.noise).mean(1)/'
mutant "NCE: noise without the temperature" nce.cpp 's/1, 1 \/ temperature/1, 1/'
mutant "NCE: the keys get a gradient" nce.cpp 's/key\.detach\(\)/key/'
mutant "NCE: its constant without the keys" nce.cpp 's/s\.data\.to\(torch::kFloat64\)\.logsumexp\(0\)/torch::full({}, -INFINITY, torch::kFloat64)/'
mutant "SupCon counts the row among its positives" supcon.cpp 's/ - rows\.z\)\)\.sum\(/)).sum(/'

mutant "codes: samples are scaled before prototypes" sinkhorn.cpp \
  's/log_softmax\(codes, 0\)/log_softmax(codes, 1)/; s/at::softmax\(codes, 1\)/at::softmax(codes, 0)/'
mutant "codes: an iteration too many" sinkhorn.cpp 's/i = 1; i < iterations/i = 0; i < iterations/'
mutant "codes: an iteration too few" sinkhorn.cpp 's/i = 1; i < iterations/i = 2; i < iterations/'
mutant "codes: a prototype's last scaling comes after the samples'" sinkhorn.cpp \
  's/return codes;/return codes \/ codes.sum(0, true);/'
mutant "codes: exponentials that overflow" sinkhorn.cpp \
  's/at::log_softmax\(codes, 0\)/(codes.exp() \/ codes.exp().sum(0, true)).log()/'
mutant "codes: exponentials that vanish" sinkhorn.cpp \
  's/at::log_softmax\(codes, 0\)/((codes - codes.max()).exp() \/ (codes - codes.max()).exp().sum(0, true)).log()/'
mutant "codes: 16 bits stay 16 bits" sinkhorn.cpp 's/c10::promoteTypes\(scores\.scalar_type\(\), torch::kFloat32\)/scores.scalar_type()/'
mutant "codes: a gradient flows through them" sinkhorn.cpp 's/const at::NoGradGuard no_grad;//'

# CUDA's kernels, under the emulator.
readonly kernels=contrastive_kernels.cuh tiles=contrastive_tiles.cuh
mutant "kernels: a tile's column sums are dropped" $kernels \
  's/= a\.symmetric \? step\.row != step\.column : a\.column_sums/= false/'
mutant "kernels: a group on the diagonal loses its columns' sums" $kernels 's/diagonal \? row_totals : column_totals/column_totals/'
mutant "kernels: a stage is loaded anew while it is read" $kernels \
  '/The stage is loaded anew in the next round, the scratch/{n;d}'
mutant "kernels: columns are loaded anew while they are read" $kernels '/The stage is loaded anew in the next round\.$/{n;d}'
mutant "kernels: factors are loaded anew while they are read" $kernels '/The factors are loaded anew/{n;d}'
mutant "kernels: reads before its copies have come" $kernels 's/wait_for_copies<1>/wait_for_copies<2>/'
mutant "kernels: lanes exchange in the wrong order" $kernels 's/halve<4>\(columns, lane, 8\)/halve<4>(columns, lane, 4)/'
mutant "kernels: rows' low halves are dropped" $kernels \
  's/multiply\(result\[m\]\[n\], low\[m\]/multiply(result[m][n + 1], low[m]/'
mutant "kernels: weights' low halves are dropped" $kernels 's/weights\.low\[m\]\[2 \* k\], b\[0\]/weights.low[m][2 * k], b[0] * 0/'
mutant "kernels: the second factor is not transposed" $kernels 's/load_matrices_transposed\(b, at\)/load_matrices(b, at)/'
mutant "kernels: the other side's weight is dropped" $kernels 's/\(row_weight \+ weights\[/(0 * row_weight + weights[/'
mutant "kernels: a lost sum goes unnoticed" $kernels 's/if \(lost\(scales, sum\)\)/if (false)/'
mutant "kernels: the backward pass does not notice a lost sum" $kernels 's/if \(scales\.shift > 0 \&\& lost/if (false \&\& lost/'
mutant "kernels: the running maximum's old sum is not scaled" $kernels 's/simt::exp2\(largest\[h\] - reference\)/1.0F/'
mutant "kernels: only one part of the columns counts" $kernels 's/part < a\.parts/part < 1/'
mutant "kernels: gradients are set, not added to" $kernels 's/a\.gradient\[index\] \+=/a.gradient[index] =/'
mutant "kernels: the limit is not one of exponents" $kernels '/rules\.cosine_limit\) \* scales\.kappa/{n;s/kOperand \* kOperand/1.0/}'
mutant "kernels: ids of a swapped problem are those of the other" $kernels \
  's/ids_leave_out\(rules, swapped \? j : i, swapped \? i : j\)/ids_leave_out(rules, i, j)/'
mutant "kernels: a lane's columns are the wrong way round" $tiles 's/\* 2 \+ \(r \& 1\)/* 2 + 1 - (r \& 1)/'
mutant "kernels: a row's chunks are not permuted" $tiles 's/row \* 128 \+ \(row \& 7\) \* 16/row * 128/'
mutant "kernels: the mask is off by one" $tiles 's/result\.self = global - to_other/result.self = global - to_other + 1/'
mutant "kernels: no mask on the diagonal" $tiles 's/if \(rules\.rows_among_columns\) result\.self/if (false) result.self/'
mutant "kernels: the positive stays in the sum" $tiles 's/ \|\| other == pair//'
mutant "kernels: the wrong partner in the second half" $tiles \
  's/global \+ half : global - half\)/global + half : global - half + 1)/'
mutant "kernels: columns past the last one count" $tiles 's/other >= end/other > end/'
mutant "kernels: tiles do not ask for the second half's partners" $tiles 's/meet\(global - half, rows/meet(global + half, rows/'
mutant "kernels: interleaved partners at a tile's edge are not asked for" $tiles \
  's/meet\(global - 1, rows \+ 2/meet(global, rows/'
mutant "kernels: a rank's row offset is forgotten" $tiles 's/swapped \? i : i \+ rules\.row_offset/i/'
mutant "kernels: the ids' rule is inverted" $tiles 's/same == \(rules/same != (rules/'
mutant "kernels: the shift is all of 1 / temperature" $tiles \
  's/scales\.shift = over > 0 \? static_cast<float>\(over\)/scales.shift = over > 0 ? static_cast<float>(scales.kappa)/; s/scales\.smallest = over > 0 .*/scales.smallest = 0.0;/'
mutant "kernels: weights in fp16 without their scale" $tiles 's/kSlopeExponent = 14/kSlopeExponent = -10/'
mutant "kernels: pairs of groups are counted through wrongly" $tiles 's/\(next \+ 1\) \/ 2 <= index/(next + 1) \/ 2 < index/'

# --- what came of them -----------------------------------------------------------------------

[ "$list" = yes ] && exit 0
if [ "$count" -eq 0 ]; then
  say "no mistake's description holds '$words'; --list shows them" >&2
  exit 2
fi
say "$count mistakes, $((count - bad)) found"
[ "$bad" -eq 0 ]
