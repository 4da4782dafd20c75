// SPDX-License-Identifier: Apache-2.0
#include "clr/model/network_graph.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <memory>
#include <string>

namespace clr {
namespace {

using torch::jit::Module;
using Units = std::shared_ptr<torch::jit::CompilationUnit>;

constexpr const char* kTypeName = "__torch__.clr.Network";

/// A part of a network as TorchScript has it: the same tensors under the same names.
void fill(Module& target, const torch::nn::Module& source, const Units& units) {
  // What Module.eval() of Python sets; the recorded operations are those of evaluation mode.
  target.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& item : source.named_parameters(/*recurse=*/false)) {
    target.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
  }
  for (const auto& item : source.named_buffers(/*recurse=*/false)) {
    target.register_buffer(item.key(), item.value());
  }
  for (const auto& item : source.named_children()) {
    Module part(c10::QualifiedName(kTypeName), units, /*shouldMangle=*/true);
    fill(part, *item.value(), units);
    target.register_module(item.key(), part);
  }
}

}  // namespace

Module record_network(Encoder& encoder, MlpHead* projector, std::int64_t side) {
  TORCH_CHECK(!encoder.is_training() && (projector == nullptr || !projector->is_training()),
              "expected networks in evaluation mode");
  const auto units = std::make_shared<torch::jit::CompilationUnit>();
  Module module(c10::QualifiedName(kTypeName), units, /*shouldMangle=*/true);
  fill(module, encoder, units);
  if (projector != nullptr) {
    Module part(c10::QualifiedName(kTypeName), units, /*shouldMangle=*/true);
    fill(part, *projector, units);
    module.register_module("projector", part);
  }
  const torch::NoGradGuard no_grad;
  const auto forward = [&](const torch::jit::Stack& inputs) {
    torch::Tensor h = encoder.forward({inputs.at(0).toTensor()});
    if (projector != nullptr) h = projector->forward(h);
    return torch::jit::Stack{h};
  };
  // Two images: a batch of one could be mistaken for a dimension to broadcast.
  const torch::Tensor pixels = torch::zeros({2, 3, side, side});
  const auto recorded = torch::jit::tracer::trace(
      {pixels}, forward, [](const torch::Tensor&) { return std::string(); }, /*strict=*/true,
      /*force_outplace=*/true, &module, {"pixels"});
  const std::shared_ptr<torch::jit::Graph>& graph = recorded.first->graph;
  torch::jit::EliminateDeadCode(graph);
  auto* function =
      units->create_function(c10::QualifiedName(*module.type()->name(), "forward"), graph);
  module.type()->addMethod(function);
  return module;
}

}  // namespace clr
