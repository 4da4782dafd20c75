#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts one mistake at a time into the losses and methods and expects their tests to find it. Many minutes,
# so no part of ctest; run it after a change in lib/clr/loss, lib/clr/method or their tests.
#
#   test/mutants.sh [--list] [WORDS]     WORDS: only mistakes whose description or file holds them
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

compile() { cmake --build "$build" --parallel "$(nproc)" --target "$tests" >"$work/log" 2>&1; }

# The first test that fails, or what else ended the run; nothing and 0 if all are green.
run_tests() {
  local status=0
  # Threads that wait without spinning: others may be building.
  OMP_WAIT_POLICY=passive timeout -k 10 "$seconds" "$build/$tests" --abort >"$work/log" 2>&1 || status=$?
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

# in_folder FOLDER TESTS: the mistakes that follow are in files of FOLDER, TESTS is to find them. The tests
# are green without them, or the script ends.
in_folder() {
  folder=$1
  tests=$2
  ready=no
}

# Before the first mistake of a folder, so that only what is asked for is built.
prepare() {
  [ $ready = no ] || return 0
  ready=yes
  say "building $build/$tests; then one row a mistake"
  compile || {
    tail -n 30 "$work/log" >&2
    exit 2
  }
  if ! found=$(run_tests); then
    say "the tests fail without any mistake: $found" >&2
    exit 2
  fi
  row "mistake" "first test that fails" "outcome"
}

# mutant DESCRIPTION FILE SED: SED (extended expressions) puts the mistake into FILE.
mutant() {
  local what=$1 file=$folder/$2 edit=$3 found
  [[ "$what $file" == *"$words"* ]] || return 0
  count=$((count + 1))
  if [ "$list" = yes ]; then
    printf '%-62s %s\n' "$what" "$file"
    return 0
  fi
  prepare
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
fi

# --- the mistakes ----------------------------------------------------------------------------

in_folder lib/clr/loss clr_loss_tests

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
mutant "loss as a difference of logarithms" contrastive.cpp \
  's/at::softplus\(others - pairs, 1, detail::kSoftplusLinear\)/at::logaddexp(others, pairs) - pairs/'
mutant "many views: an anchor's other views are negatives" multi_view.cpp \
  's/at::arange\(images, (.*)\)\.repeat_interleave\(v\)/at::arange(images * v, \1)/'
mutant "many views: a row is its own positive" multi_view.cpp 's/1 - at::eye\(v, pairs\.options\(\)\)/at::ones_like(at::eye(v, pairs.options()))/'
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

in_folder lib/clr/method clr_method_tests

mutant "the target is the optimiser's" momentum_encoder.cpp 's/set_requires_grad\(false\)/set_requires_grad(true)/'
mutant "the target stands still" momentum_encoder.cpp 's/1 - momentum\);/0.0);/'
mutant "the target is what is trained" momentum_encoder.cpp 's/1 - momentum\);/1.0);/'
mutant "the target's momentum is its complement" momentum_encoder.cpp 's/1 - momentum\);/momentum);/'
mutant "batch norm's buffers are averaged too" momentum_encoder.cpp \
  's/^                     1 - momentum\);/&\n  at::_foreach_copy_(buffers(), joined(encoder.buffers(), projector.buffers()));/'
mutant "the ramp of the momentum is a straight line" momentum_encoder.cpp \
  's/cosine_ramp\(momentum, final_momentum, context\.step, context\.total_steps\)/momentum + (final_momentum - momentum) * static_cast<double>(context.step) \/ static_cast<double>(context.total_steps)/'
mutant "the head of the target is forgotten" momentum_encoder.cpp \
  's/return projector_->forward\((encoder_->forward\(.*\))\);/return \1;/'
mutant "MoCo: the target keeps the weights that it was made with" moco.cpp 's/if \(context\.step == 0\) target_->copy/if (false) target_->copy/'
mutant "MoCo: keys of the query's own view" moco.cpp 's/\.flip\(0\)//'
mutant "MoCo: joint statistics" moco.cpp 's/ViewForward::per_view/ViewForward::joint/'
mutant "queue: rows go in out of order" row_queue.cpp \
  's/(void enqueue\(.*torch::Tensor rows\) \{)/\1 rows = rows.roll(1, 0);/'
mutant "queue: it stands still" row_queue.cpp 's/position\.copy_\(.*/(void)first;/'
mutant "queue: it overwrites the newest" row_queue.cpp \
  's/const torch::Tensor first = position \+ skipped/const torch::Tensor first = position + skipped - rows.size(0) + size/'
mutant "MoCo: the queue begins anew with each epoch" moco.cpp \
  's/^    target_->follow/    static std::int64_t epoch = 0; if (epoch != context.epoch) queue_position_.zero_(); epoch = context.epoch;\n&/'
mutant "queue: of too many rows the first stay" row_queue.cpp 's/rows\.narrow\(0, skipped, rows/rows.narrow(0, 0, rows/'
mutant "MoCo: the queue's position is not saved" moco.cpp 's/register_buffer\("queue_position", (.*)\);/\1;/'
mutant "MoCo: keys go into the queue as they are" moco.cpp 's/^            unit_rows\((.*)\)\);/            \1);/'
mutant "MoCo: the loss sees the batch's own keys" moco.cpp \
  's/info_nce\(queries, keys, queue_,/info_nce(queries, keys, at::cat({queue_, unit_rows(keys)}),/'
mutant "MoCo: keys stay in their permuted order" moco.cpp 's/\.index_select\(0, taken\.argsort\(\).*;/;/'
mutant "MoCo: the permutation is undone the wrong way round" moco.cpp 's/taken\.argsort\(\)/taken/'
mutant "MoCo: keys are grouped as the queries" moco.cpp 's/options_\.batch_norm_splits == 1/true/'
mutant "MoCo v3: keys of the query's own view" moco_v3.cpp 's/keys\[1 - view\]/keys[view]/'
mutant "MoCo v3: one direction" moco_v3.cpp 's/for \(std::int64_t view = 0; view < 2/for (std::int64_t view = 0; view < 1/'
mutant "MoCo v3: without 2 * temperature" moco_v3.cpp 's/ \* \(2 \* temperature_\)//'
mutant "BYOL, MoCo v3: no prediction head" target_prediction.cpp 's/predictor_->forward\((project\(view\))\)/\1/'
mutant "BYOL, MoCo v3: joint statistics" target_prediction.cpp 's/ViewForward::per_view/ViewForward::joint/'
mutant "BYOL, MoCo v3: the ramp stands still" target_prediction.cpp 's/momentum_\.momentum_at\(context\)/momentum_.momentum/'
mutant "BYOL, MoCo v3: the target keeps the weights that it was made with" target_prediction.cpp 's/if \(context\.step == 0\) target_->copy/if (false) target_->copy/'
mutant "BYOL: the target of the own view" byol.cpp 's/\.flip\(0\)//'
mutant "BYOL: the mean of both directions" byol.cpp 's/4 - 4 \* cosine/2 - 2 * cosine/'
mutant "SimSiam, NNCLR: projections have a graph" prediction_head.cpp 's/z\.detach\(\)/z/'
mutant "SimSiam: the own view" simsiam.cpp 's/\.flip\(0\)//'
mutant "SimSiam: the head follows the schedule" simsiam.cpp 's/head\.constant_lr = .*/head.constant_lr = false;/'
mutant "SimSiam: joint statistics" simsiam.cpp 's/ViewForward::per_view/ViewForward::joint/'
mutant "Barlow: unbiased deviations" barlow_twins.cpp 's/centred\.square\(\)\.mean\(1, true\)/centred.square().sum(1, true) \/ (n - 1)/'
mutant "Barlow: the diagonal in both terms" barlow_twins.cpp 's/at::diagonal_scatter\(c, at::zeros_like\(same\), first\)/c/'
mutant "Barlow: the scale is forgotten" barlow_twins.cpp 's/ \* options_\.scale//'
mutant "VICReg: biased variances" vicreg.cpp 's/part\.square\(\)\.sum\(1\) \/ \(n - 1\)/part.square().sum(1) \/ n/'
mutant "VICReg: variances among the covariances" vicreg.cpp 's/at::zeros_like\(covariances\.diagonal\(first, 1, 2\)\)/covariances.diagonal(first, 1, 2)/'
mutant "VICReg: pairs with themselves" vicreg.cpp 's/2 \/ \(views - 1\)/2 \/ views/'
mutant "NNCLR: neighbours of the own view's image" nnclr.cpp 's/columns\.narrow\(0, \(1 - view\) \* all, all\)/columns.narrow(0, view * all, all)/'
mutant "NNCLR: no neighbours" nnclr.cpp 's/found = neighbors\(own\)/found = own/'
mutant "NNCLR: the queue takes predictions" nnclr.cpp 's/embeddings\.z\.at\(1\)\[0\]/embeddings.z.at(0)[0]/'
mutant "NNCLR: the queue takes the second view" nnclr.cpp 's/embeddings\.z\.at\(1\)\[0\]/embeddings.z.at(1)[1]/'
mutant "DINO: a view is its own teacher" dino.cpp 's/view < teachers \? all - wanted\[view\] : all/all/'
mutant "DINO: small views are forgotten" dino.cpp 's/g \+ 1 < embeddings\.z\.size\(\); \+\+g/g < 1; ++g/'
mutant "DINO: no center" dino.cpp 's/\(taught - center_\)/(taught)/'
mutant "DINO: the center stands still" dino.cpp 's/^    center_\.lerp_\(.*$//'
mutant "DINO: the center keeps the complement" dino.cpp 's/1 - options_\.center_momentum/options_.center_momentum/'
mutant "DINO: the teacher's temperature does not warm up" dino.cpp 's/if \(epoch >= epochs\) return/if (true) return/'
mutant "DINO: prototypes are never frozen" dino.cpp 's/context\.epoch < options_\.freeze_last_layer/false/'
mutant "DINO: the teacher's prototypes stand still" dino.cpp 's/target_prototypes_\.lerp_\(.*/(void)momentum;/'
mutant "DINO: the center is not saved" dino.cpp 's/center_ = register_buffer\("center", (.*)\);/center_ = \1;/'
mutant "tokens: [CLS] is hidden too" token_prediction_head.cpp 's/std::int64_t i = 1; i < length - 1; \+\+i/std::int64_t i = 0; i < length - 1; ++i/'
mutant "tokens: hidden by place in the batch" token_prediction_head.cpp 's/static_cast<std::uint64_t>\(packed\.keys\[row\]\)/row/'
mutant "tokens: all that is hidden is [MASK]" token_prediction_head.cpp 's/what < 0\.8F/what < 2.0F/'
mutant "tokens: what was hidden is seen" token_prediction_head.cpp 's/packed\.ids = ids\.to\(device\)/(void)ids/'
mutant "tokens: a token foretells itself" token_prediction_head.cpp 's/index_select\(0, tokens \+ 1\)/index_select(0, tokens)/'
mutant "tokens: the mean over texts" token_prediction_head.cpp 's/rows\.select\(2, 0\)\.sum\(\) \/ count/rows.select(2, 0).mean()/'
mutant "tokens: no bias" token_prediction_head.cpp 's/encoder\.piece_embeddings\(\), bias_/encoder.piece_embeddings()/'
mutant "word2vec: noise by counts alone" skip_gram.cpp 's/std::pow\(static_cast<double>\(count\), options_\.noise_power\)/static_cast<double>(count)/'
mutant "word2vec: a window into the next text" skip_gram.cpp 's/^      reach\.clear\(\);$//'
mutant "word2vec: a word is around itself" skip_gram.cpp 's/if \(j == i\) continue;//'
mutant "word2vec: noise that pulls" skip_gram.cpp 's/softplus\(at::mm\(x, noise\.t\(\)\)\)/softplus(-at::mm(x, noise.t()))/'
mutant "word2vec: one noise word for each" skip_gram.cpp 's/options_\.negatives \* at::softplus/at::softplus/'
mutant "word2vec: frequent words stay" skip_gram.cpp 's/options_\.subsample == 0 \? 1\.0/true ? 1.0/'
mutant "ATCL: downhill" atcl.cpp 's/delta \+ length \* way/delta - length * way/'
mutant "ATCL: the gradient's own length" atcl.cpp 's/gradient \/ norm, torch/gradient, torch/'
mutant "ATCL: out of the ball" atcl.cpp 's/\.clamp_max\(1\.0\)//'
mutant "SimCLR: masked tokens weigh 1" simclr.cpp 's/options_\.mlm_weight \* totals\.loss/totals.loss/'
mutant "SupCon: labels of two views" supcon.cpp 's/batch\.labels\.repeat\(\{.*\}\)/batch.labels.repeat({2})/'
mutant "bank: rows by the place in the batch" memory_bank.cpp \
  's/bank_\.index_copy_\(0, indices,/bank_.index_copy_(0, at::arange(indices.size(0), indices.options()),/'
mutant "bank: its momentum is its complement" memory_bank.cpp \
  's/options_\.bank_momentum \* old \+ \(1 - options_\.bank_momentum\) \* seen/options_.bank_momentum * seen + (1 - options_.bank_momentum) * old/'
mutant "bank: rows keep the length of a mean" memory_bank.cpp \
  's/unit_rows\((options_\.bank_momentum \* old .* seen)\)/(\1)/'
mutant "bank: it is not saved" memory_bank.cpp 's/bank_ = register_buffer\("bank", (.*)\);/bank_ = \1;/'
mutant "bank: its constant is not saved" memory_bank.cpp \
  's/^ +register_buffer\("log_normalizer", (at::full\(.*\))\);/\1;/'
mutant "bank: negatives that every step has" memory_bank.cpp 's/context\.order\(images_\)/StepContext{}.order(images_)/'
mutant "bank: the own row among the negatives" memory_bank.cpp 's/problem\.row_ids = rows\.ids/problem.row_ids = rows.ids + images_/'
mutant "bank: the constant is estimated anew" memory_bank.cpp 's/= estimated\(\) \? log_normalizer_ : estimate/= estimate/; s/ && !estimated\(\)\)/)/'
mutant "SwAV: prototypes keep the length they got" swav.cpp 's/if \(!frozen\(context\)\) prototypes_\.copy_/if (false) prototypes_.copy_/'
mutant "SwAV: frozen prototypes move" swav.cpp 's/frozen\(context\) \? prototypes_\.detach\(\) : //'
mutant "SwAV: a view predicts its own code" swav.cpp 's/if \(v != w\) wanted/wanted/'
mutant "SwAV: small views give codes" swav.cpp 's/const auto assigned = .*/const auto assigned = scores.size();/'
mutant "SwAV: the queue's codes, not the batch's" swav.cpp 's/\.slice\(0, earlier\.size\(0\)\)\.clone/.slice(0, 0, scores.size(0)).clone/'
mutant "SwAV: the queue drops the newest" swav.cpp 's/at::cat\(\{(gather\(.*, batch, 1\)), queue_\}, 1\)/at::cat({queue_, \1}, 1)/'
mutant "SwAV: the queue is used before it is full" swav.cpp 's/queue_\[0\]\[-1\]\.any/queue_.any/'
mutant "SwAV: the queue fills from the first epoch on" swav.cpp 's/\|\| context\.epoch < options_\.queue_from_epoch//'
mutant "SwAV: statistics are joint whatever is asked for" swav.cpp 's/view_forward_ == ViewForward::per_view/false/'
mutant "SwAV: the queue is not saved" swav.cpp 's/queue_ = register_buffer\("queue", (.*)\);/queue_ = \1;/'
mutant "SimCLR: statistics are joint whatever is asked for" simclr.cpp 's/project_views\(batch, view_forward_\)/project_views(batch, ViewForward::joint)/'
mutant "SimCLR: negatives above the limit are counted with pairs" simclr.cpp 's/above - own - 2 \* pairs/above - own/'
mutant "SimCLR: an image is its own false negative" simclr.cpp 's/sizes \* \(sizes - 1\)/sizes * sizes/'
mutant "SimCLR: labels for indices" simclr.cpp 's/masked\.ids = batch\.indices/masked.ids = batch.labels/'
mutant "SimCLR: indices for labels" simclr.cpp 's/masked\.ids = batch\.labels/masked.ids = batch.indices/'
mutant "SimCLR: nothing is left out by cosine" simclr.cpp 's/loss_options_\.cosine_limit = options/(void)options/'
mutant "SimCLR: negatives' cosines with pairs" simclr.cpp 's/images\.square\(\)\.sum\(\)/unit.square().sum()/'
mutant "SimCLR: dclw for dcl" simclr.cpp 's/return dcl\(z0, z1, temperature, masked\)/return dclw(z0, z1, temperature, options_.sigma, masked)/'
mutant "SimCLR: no prior" simclr.cpp 's/options_\.positive_prior, options_\.beta/0.0, options_.beta/'
mutant "SupCon: in for out" supcon.cpp 's/options_\.loss == Form::out/options_.loss == Form::in/'
mutant "SupCon: a row with itself counts" supcon.cpp 's/ - classes\.select\(1, width \+ 1\)\.sum\(\)//'

# --- what came of them -----------------------------------------------------------------------

[ "$list" = yes ] && exit 0
if [ "$count" -eq 0 ]; then
  say "no mistake's description or file holds '$words'; --list shows them" >&2
  exit 2
fi
say "$count mistakes, $((count - bad)) found"
[ "$bad" -eq 0 ]
