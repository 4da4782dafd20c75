// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "clr/loss/contrastive.h"
#include "clr/loss/op.h"
#include "clr/loss/row_loops.h"
#include "clr/loss/row_pieces.h"

namespace clr {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

constexpr double kMinNorm = 1e-12;

using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const OptionalTensor&);
using Backward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                            c10::SymInt, torch::ScalarType, bool, bool);

std::tuple<Tensor, Tensor> call_forward(const Tensor& x0, const OptionalTensor& x1) {
  static const auto op = detail::find_op<Forward>("clr::unit_rows");
  return op.call(x0, x1);
}

bool is_real(const Tensor& x) {
  const auto type = x.scalar_type();
  return type == torch::kFloat64 || type == torch::kFloat32 || type == torch::kFloat16 ||
         type == torch::kBFloat16;
}

void check(const Tensor& x0, const OptionalTensor& x1) {
  TORCH_CHECK(x0.dim() == 2 && is_real(x0),
              "unit_rows: expected [N, D] of a floating-point type, got ", x0.scalar_type(), " ",
              x0.sym_sizes());
  if (!x1) return;
  TORCH_CHECK(x1->dim() == 2 && x1->sym_size(1) == x0.sym_size(1) &&
                  x1->scalar_type() == x0.scalar_type() && x1->device() == x0.device(),
              "unit_rows: expected the second tensor as the first, ", x0.scalar_type(), " ",
              x0.sym_sizes(), " on ", x0.device(), ", got ", x1->scalar_type(), " ",
              x1->sym_sizes(), " on ", x1->device());
}

torch::ScalarType type_of_rows(const Tensor& x) {
  return c10::promoteTypes(x.scalar_type(), torch::kFloat32);
}

/// Rows and their norms.
std::tuple<Tensor, Tensor> forward(const Tensor& x0, const OptionalTensor& x1) {
  check(x0, x1);
  const std::int64_t n0 = x0.size(0);
  const std::int64_t rows = n0 + (x1 ? x1->size(0) : 0);
  const auto type = type_of_rows(x0);
  Tensor z = at::empty({rows, x0.size(1)}, x0.options().dtype(type));
  Tensor norms = at::empty({rows, 1}, z.options());
  const auto fill = [&](const Tensor& x, std::int64_t start) {
    if (x.is_cpu()) {
      Tensor unit = z.narrow(0, start, x.size(0));
      Tensor norm = norms.narrow(0, start, x.size(0));
      detail::unit_rows_cpu(x, kMinNorm, unit, norm);
      return;
    }
    detail::in_pieces(x.size(0), z.device(), [&](std::int64_t first, std::int64_t count) {
      const Tensor piece = x.narrow(0, first, count).to(type);
      Tensor norm = norms.narrow(0, start + first, count);
      // In float64, or the squares of 1e30 would leave float32.
      norm.copy_(at::linalg_vector_norm(piece, 2, {1}, true, torch::kFloat64));
      Tensor target = z.narrow(0, start + first, count);
      at::div_out(target, piece, norm.clamp_min(kMinNorm));
    });
  };
  fill(x0, 0);
  if (x1) fill(*x1, n0);
  return {z, norms};
}

std::tuple<Tensor, Tensor> forward_meta(const Tensor& x0, const OptionalTensor& x1) {
  check(x0, x1);
  const c10::SymInt rows = x0.sym_size(0) + (x1 ? x1->sym_size(0) : c10::SymInt(0));
  const auto options = x0.options().dtype(type_of_rows(x0));
  return {at::empty_symint({rows, x0.sym_size(1)}, options), at::empty_symint({rows, 1}, options)};
}

/// Gradients of x0, the first rows, and x1; of no elements where they are not wanted.
std::tuple<Tensor, Tensor> backward(const Tensor& gradient, const Tensor& all_rows,
                                    const Tensor& all_norms, std::int64_t n0,
                                    torch::ScalarType type, bool wants_x0, bool wants_x1) {
  const Tensor z = all_rows.contiguous();
  const Tensor norms = all_norms.contiguous();
  TORCH_CHECK(z.dim() == 2 && gradient.sizes() == z.sizes() && norms.dim() == 2 &&
                  norms.size(0) == z.size(0) && norms.size(1) == 1 && n0 >= 0 && n0 <= z.size(0) &&
                  gradient.scalar_type() == z.scalar_type() &&
                  norms.scalar_type() == z.scalar_type(),
              "unit_rows_backward: expected what unit_rows gave, got a gradient ", gradient.sizes(),
              ", rows ", z.sizes(), ", norms ", norms.sizes());
  const auto part = [&](bool wanted, std::int64_t start, std::int64_t rows) {
    if (!wanted) return at::empty({0}, z.options().dtype(type));
    Tensor dx = at::empty({rows, z.size(1)}, z.options().dtype(type));
    if (z.is_cpu()) {
      detail::unit_rows_gradient_cpu(z.narrow(0, start, rows), norms.narrow(0, start, rows),
                                     kMinNorm, gradient.narrow(0, start, rows), dx);
      return dx;
    }
    detail::in_pieces(rows, z.device(), [&](std::int64_t first, std::int64_t count) {
      const Tensor unit = z.narrow(0, start + first, count);
      const Tensor dz = gradient.narrow(0, start + first, count);
      const Tensor norm = norms.narrow(0, start + first, count);
      // Below the smallest norm the divisor is a constant, and nothing is radial.
      const Tensor radial = (unit * dz).sum(1, true).masked_fill_(norm <= kMinNorm, 0);
      dx.narrow(0, first, count).copy_((dz - unit * radial).div_(norm.clamp_min(kMinNorm)));
    });
    return dx;
  };
  return {part(wants_x0, 0, n0), part(wants_x1, n0, z.size(0) - n0)};
}

std::tuple<Tensor, Tensor> backward_meta(const Tensor&, const Tensor& z, const Tensor&,
                                         c10::SymInt n0, torch::ScalarType type, bool wants_x0,
                                         bool wants_x1) {
  const auto part = [&](bool wanted, const c10::SymInt& rows) {
    const auto options = z.options().dtype(type);
    return wanted ? at::empty_symint({rows, z.sym_size(1)}, options) : at::empty({0}, options);
  };
  return {part(wants_x0, n0), part(wants_x1, z.sym_size(0) - n0)};
}

class UnitRows : public Function<UnitRows> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x0,
                               const OptionalTensor& x1) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [z, norms] = call_forward(x0, x1);
    context->save_for_backward({z, norms});
    context->mark_non_differentiable({norms});
    context->saved_data["n0"] = x0.sym_size(0);
    context->saved_data["type"] = x0.scalar_type();
    context->saved_data["two"] = x1.has_value();
    return {z, norms};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    detail::refuse_double_backward("unit_rows");
    static const auto op = detail::find_op<Backward>("clr::unit_rows_backward");
    const variable_list saved = context->get_saved_variables();
    const bool wants_x0 = context->needs_input_grad(0);
    const bool wants_x1 = context->saved_data["two"].toBool() && context->needs_input_grad(1);
    const auto [dx0, dx1] =
        op.call(gradients[0], saved[0], saved[1], context->saved_data["n0"].toSymInt(),
                context->saved_data["type"].toScalarType(), wants_x0, wants_x1);
    return {wants_x0 ? dx0 : Tensor(), wants_x1 ? dx1 : Tensor()};
  }
};

std::tuple<Tensor, Tensor> forward_autograd(const Tensor& x0, const OptionalTensor& x1) {
  const variable_list results = UnitRows::apply(x0, x1);
  return {results[0], results[1]};
}

}  // namespace

Tensor unit_rows(const Tensor& x0, const Tensor& x1) {
  return std::get<0>(call_forward(x0, detail::some(x1)));
}

TORCH_LIBRARY_FRAGMENT(clr, m) {
  m.def("unit_rows(Tensor x0, Tensor? x1=None) -> (Tensor, Tensor)", detail::op_tags());
  m.def(
      "unit_rows_backward(Tensor gradient, Tensor rows, Tensor norms, SymInt n0, ScalarType dtype, "
      "bool wants_x0, bool wants_x1) -> (Tensor, Tensor)",
      detail::op_tags());
  detail::add_kernels(m, "unit_rows", &forward, &forward_meta);
  detail::add_kernels(m, "unit_rows_backward", &backward, &backward_meta);
  m.impl("unit_rows", torch::dispatch(c10::DispatchKey::Autograd, &forward_autograd));
  m.impl("unit_rows_backward", torch::dispatch(c10::DispatchKey::Autograd,
                                               torch::autograd::autogradNotImplementedFallback()));
}

}  // namespace clr
