// SPDX-License-Identifier: Apache-2.0
#include "clr/io/onnx_file.h"

#include <ATen/ops/full.h>
#include <fmt/format.h>
#include <onnx.pb-c.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <deque>
#include <exception>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/io/file.h"

namespace clr {
namespace {

using torch::jit::Node;
using torch::jit::Value;

constexpr std::int64_t kIrVersion = 8;
constexpr std::int64_t kOpset = 15;
/// What protobuf can hold, less some room for names and nodes.
constexpr std::uint64_t kMaxBytes = (std::uint64_t{1} << 31) - (std::uint64_t{1} << 20);

/// The messages of a model. They point to one another and to texts; all live as long as this.
class Messages {
 public:
  char* text(std::string value) { return texts_.emplace_back(std::move(value)).data(); }

  std::vector<std::int64_t>& integers(std::vector<std::int64_t> values) {
    return integers_.emplace_back(std::move(values));
  }

  Onnx__AttributeProto* attribute(const std::string& name) {
    auto& message = attributes_.emplace_back(Onnx__AttributeProto ONNX__ATTRIBUTE_PROTO__INIT);
    message.name = text(name);
    message.has_type = 1;
    return &message;
  }

  Onnx__NodeProto* node() { return &nodes_.emplace_back(Onnx__NodeProto ONNX__NODE_PROTO__INIT); }

  Onnx__TensorProto* tensor() {
    return &tensors_.emplace_back(Onnx__TensorProto ONNX__TENSOR_PROTO__INIT);
  }

  Onnx__StringStringEntryProto* entry(const std::string& key, const std::string& value) {
    auto& message =
        entries_.emplace_back(Onnx__StringStringEntryProto ONNX__STRING_STRING_ENTRY_PROTO__INIT);
    message.key = text(key);
    message.value = text(value);
    return &message;
  }

  /// A float32 tensor [N, sizes...].
  Onnx__ValueInfoProto* batch(const std::string& name, const std::vector<std::int64_t>& sizes) {
    auto& shape = shapes_.emplace_back(Onnx__TensorShapeProto ONNX__TENSOR_SHAPE_PROTO__INIT);
    auto& dimensions = shape_dimensions_.emplace_back();
    for (std::size_t k = 0; k <= sizes.size(); ++k) {
      auto& dimension = dimensions_.emplace_back(
          Onnx__TensorShapeProto__Dimension ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
      if (k == 0) {
        dimension.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        dimension.dim_param = text("N");
      } else {
        dimension.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dimension.dim_value = sizes[k - 1];
      }
      dimensions.push_back(&dimension);
    }
    shape.n_dim = dimensions.size();
    shape.dim = dimensions.data();
    auto& tensor =
        tensor_types_.emplace_back(Onnx__TypeProto__Tensor ONNX__TYPE_PROTO__TENSOR__INIT);
    tensor.has_elem_type = 1;
    tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor.shape = &shape;
    auto& type = types_.emplace_back(Onnx__TypeProto ONNX__TYPE_PROTO__INIT);
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type.tensor_type = &tensor;
    auto& value = values_.emplace_back(Onnx__ValueInfoProto ONNX__VALUE_INFO_PROTO__INIT);
    value.name = text(name);
    value.type = &type;
    return &value;
  }

  std::vector<char*>& names(std::vector<char*> values) {
    return names_.emplace_back(std::move(values));
  }
  std::vector<Onnx__AttributeProto*>& attributes(std::vector<Onnx__AttributeProto*> values) {
    return attribute_lists_.emplace_back(std::move(values));
  }

 private:
  // Addresses of a deque's elements stay.
  std::deque<std::string> texts_;
  std::deque<std::vector<std::int64_t>> integers_;
  std::deque<Onnx__AttributeProto> attributes_;
  std::deque<std::vector<Onnx__AttributeProto*>> attribute_lists_;
  std::deque<std::vector<char*>> names_;
  std::deque<Onnx__NodeProto> nodes_;
  std::deque<Onnx__TensorProto> tensors_;
  std::deque<Onnx__StringStringEntryProto> entries_;
  std::deque<Onnx__TensorShapeProto__Dimension> dimensions_;
  std::deque<std::vector<Onnx__TensorShapeProto__Dimension*>> shape_dimensions_;
  std::deque<Onnx__TensorShapeProto> shapes_;
  std::deque<Onnx__TypeProto__Tensor> tensor_types_;
  std::deque<Onnx__TypeProto> types_;
  std::deque<Onnx__ValueInfoProto> values_;
};

/// Operations of a recorded network as ONNX nodes.
class GraphWriter {
 public:
  GraphWriter(const torch::jit::Module& network, Messages& messages, std::string where)
      : messages_(messages), where_(std::move(where)) {
    const auto graph = network.get_method("forward").graph();
    objects_[graph->inputs().at(0)] = {"", network._ivalue()};
    names_[graph->inputs().at(1)] = "pixels";
    const Value* last = graph->outputs().at(0);
    names_[last] = "features";
    for (const Node* node : graph->nodes()) add(*node);
  }

  std::vector<Onnx__NodeProto*> nodes;
  std::vector<Onnx__TensorProto*> initializers;
  std::uint64_t bytes = 0;  ///< of the initialisers

 private:
  /// A part of the network, or one of its tensors.
  struct Object {
    std::string path;
    c10::IValue value;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::usage,
                fmt::format("{}: expected operations that have a form in ONNX here, got {}; the "
                            "format torchscript holds any",
                            where_, what));
  }

  void add(const Node& node) {
    const auto kind = node.kind();
    if (kind == c10::prim::GetAttr) {
      get_attribute(node);
    } else if (kind == c10::aten::_convolution || kind == c10::aten::conv2d) {
      convolution(node);
    } else if (kind == c10::aten::batch_norm) {
      batch_norm(node);
    } else if (kind == c10::aten::relu) {
      emit(node, "Relu", {name(node.input(0))});
    } else if (kind == c10::aten::max_pool2d) {
      max_pool(node);
    } else if (kind == c10::aten::adaptive_avg_pool2d) {
      require(node, integers(node.input(1)) == std::vector<std::int64_t>{1, 1});
      emit(node, "GlobalAveragePool", {name(node.input(0))});
    } else if (kind == c10::aten::flatten) {
      require(node, integer(node.input(1)) == 1 && integer(node.input(2)) == -1);
      emit(node, "Flatten", {name(node.input(0))}, {integer_attribute("axis", 1)});
    } else if (kind == c10::aten::add) {
      require(node, constant(node.input(2)).toScalar().toDouble() == 1.0);
      emit(node, "Add", {name(node.input(0)), name(node.input(1))});
    } else if (kind == c10::aten::t) {
      emit(node, "Transpose", {name(node.input(0))}, {integers_attribute("perm", {1, 0})});
    } else if (kind == c10::aten::matmul) {
      emit(node, "MatMul", {name(node.input(0)), name(node.input(1))});
    } else if (kind == c10::aten::addmm) {
      // bias, input, transposed weight, beta, alpha
      require(node, constant(node.input(3)).toScalar().toDouble() == 1.0 &&
                        constant(node.input(4)).toScalar().toDouble() == 1.0);
      emit(node, "Gemm", {name(node.input(1)), name(node.input(2)), name(node.input(0))});
    } else if (kind != c10::prim::Constant && kind != c10::prim::ListConstruct) {
      fail(kind.toQualString());
    }
  }

  void get_attribute(const Node& node) {
    const Object& parent = objects_.at(node.input());
    const std::string& attribute = node.s(c10::attr::name);
    const c10::IValue value = parent.value.toObjectRef().getAttr(attribute);
    objects_[node.output()] = {parent.path.empty() ? attribute : parent.path + "." + attribute,
                               value};
  }

  void convolution(const Node& node) {
    // input, weight, bias, stride, padding, dilation, then (_convolution) transposed,
    // output_padding, groups or (conv2d) groups.
    const bool general = node.kind() == c10::aten::_convolution;
    if (general) require(node, !constant(node.input(6)).toBool());
    std::vector<std::string> inputs{name(node.input(0)), name(node.input(1))};
    if (!is_none(node.input(2))) inputs.push_back(name(node.input(2)));
    emit(node, "Conv", inputs,
         {integers_attribute("strides", pair(node.input(3))),
          integers_attribute("pads", twice(pair(node.input(4)))),
          integers_attribute("dilations", pair(node.input(5))),
          integer_attribute("group", integer(node.input(general ? 8 : 6)))});
  }

  void batch_norm(const Node& node) {
    // input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled
    require(node, !constant(node.input(5)).toBool());
    const std::string mean = name(node.input(3));
    const std::string own = mean.substr(0, mean.rfind('.'));
    const std::int64_t channels = tensor(node.input(3)).numel();
    const auto or_constant = [&](const Value* value, const char* kind, double number) {
      return is_none(value)
                 ? initializer(own + "." + kind, at::full({channels}, number, at::kFloat))
                 : name(value);
    };
    emit(node, "BatchNormalization",
         {name(node.input(0)), or_constant(node.input(1), "weight", 1.0),
          or_constant(node.input(2), "bias", 0.0), mean, name(node.input(4))},
         {float_attribute("epsilon", constant(node.input(7)).toDouble())});
  }

  void max_pool(const Node& node) {
    // input, kernel_size, stride, padding, dilation, ceil_mode
    require(node, !constant(node.input(5)).toBool());
    emit(node, "MaxPool", {name(node.input(0))},
         {integers_attribute("kernel_shape", pair(node.input(1))),
          integers_attribute("strides", pair(node.input(2))),
          integers_attribute("pads", twice(pair(node.input(3)))),
          integers_attribute("dilations", pair(node.input(4)))});
  }

  void require(const Node& node, bool good) const {
    if (!good) fail(std::string(node.kind().toQualString()) + " with other arguments");
  }

  void emit(const Node& node, const char* type, const std::vector<std::string>& inputs,
            std::vector<Onnx__AttributeProto*> attributes = {}) {
    Onnx__NodeProto& message = *messages_.node();
    message.op_type = messages_.text(type);
    const std::string output = name_of_output(node.output());
    message.name = messages_.text(fmt::format("{}_{}", type, nodes.size()));
    std::vector<char*> texts;
    for (const std::string& input : inputs) texts.push_back(messages_.text(input));
    auto& input_names = messages_.names(std::move(texts));
    message.n_input = input_names.size();
    message.input = input_names.data();
    auto& output_names = messages_.names({messages_.text(output)});
    message.n_output = output_names.size();
    message.output = output_names.data();
    auto& list = messages_.attributes(std::move(attributes));
    message.n_attribute = list.size();
    message.attribute = list.data();
    nodes.push_back(&message);
  }

  Onnx__AttributeProto* integer_attribute(const std::string& key, std::int64_t value) {
    Onnx__AttributeProto* message = messages_.attribute(key);
    message->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    message->has_i = 1;
    message->i = value;
    return message;
  }

  Onnx__AttributeProto* float_attribute(const std::string& key, double value) {
    Onnx__AttributeProto* message = messages_.attribute(key);
    message->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    message->has_f = 1;
    message->f = static_cast<float>(value);
    return message;
  }

  Onnx__AttributeProto* integers_attribute(const std::string& key,
                                           std::vector<std::int64_t> values) {
    Onnx__AttributeProto* message = messages_.attribute(key);
    message->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    auto& kept = messages_.integers(std::move(values));
    message->n_ints = kept.size();
    message->ints = kept.data();
    return message;
  }

  static std::vector<std::int64_t> twice(std::vector<std::int64_t> values) {
    const std::size_t count = values.size();
    for (std::size_t k = 0; k < count; ++k) values.push_back(values[k]);
    return values;
  }

  std::string name_of_output(const Value* value) {
    const auto found = names_.find(value);
    if (found != names_.end()) return found->second;
    return names_[value] = fmt::format("x{}", nodes.size());
  }

  /// The name of a value that was computed, or of a tensor of the network.
  std::string name(const Value* value) {
    const auto computed = names_.find(value);
    if (computed != names_.end()) return computed->second;
    const auto own = objects_.find(value);
    if (own == objects_.end() || !own->second.value.isTensor()) {
      fail("a value of " + std::string(value->node()->kind().toQualString()));
    }
    names_[value] = own->second.path;
    return initializer(own->second.path, own->second.value.toTensor());
  }

  const torch::Tensor& tensor(const Value* value) const {
    return objects_.at(value).value.toTensor();
  }

  /// Adds a tensor under a name; the same name names the same tensor.
  std::string initializer(const std::string& path, const torch::Tensor& values) {
    if (!used_.insert(path).second) return path;
    const torch::Tensor& kept =
        tensors_.emplace_back(values.detach().to(torch::kCPU, torch::kFloat32).contiguous());
    Onnx__TensorProto& message = *messages_.tensor();
    message.name = messages_.text(path);
    auto& sizes = messages_.integers(kept.sizes().vec());
    message.n_dims = sizes.size();
    message.dims = sizes.data();
    message.has_data_type = 1;
    message.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    message.has_raw_data = 1;
    message.raw_data.len = kept.nbytes();
    message.raw_data.data = static_cast<std::uint8_t*>(kept.data_ptr());
    initializers.push_back(&message);
    bytes += kept.nbytes();
    return path;
  }

  static bool is_none(const Value* value) { return value->mustBeNone(); }

  c10::IValue constant(const Value* value) const {
    const auto found = torch::jit::toIValue(value);
    if (!found) fail("an argument that is not constant");
    return *found;
  }

  std::int64_t integer(const Value* value) const { return constant(value).toInt(); }

  /// The two values of a 2-d operation, which one may stand for.
  std::vector<std::int64_t> pair(const Value* value) const {
    const std::vector<std::int64_t> values = integers(value);
    return values.size() == 1 ? std::vector<std::int64_t>(2, values[0]) : values;
  }

  std::vector<std::int64_t> integers(const Value* value) const {
    if (value->node()->kind() != c10::prim::ListConstruct) return constant(value).toIntVector();
    std::vector<std::int64_t> values;
    for (const Value* item : value->node()->inputs()) values.push_back(integer(item));
    return values;
  }

  Messages& messages_;
  std::string where_;
  std::unordered_map<const Value*, Object> objects_;
  std::unordered_map<const Value*, std::string> names_;
  std::unordered_set<std::string> used_;
  std::deque<torch::Tensor> tensors_;
};

/// protobuf-c hands its bytes on as they come.
struct FileBuffer {
  ProtobufCBuffer base;
  DurableFile* file;
  std::exception_ptr error;
};

void append(ProtobufCBuffer* buffer, std::size_t size, const std::uint8_t* bytes) {
  auto* self = reinterpret_cast<FileBuffer*>(buffer);
  if (self->error) return;
  // An exception may not cross C.
  try {
    self->file->write(bytes, size);
  } catch (...) {
    self->error = std::current_exception();
  }
}

}  // namespace

void require_onnx(const std::string&) {}

void write_onnx(const std::filesystem::path& path, const torch::jit::Module& network,
                std::int64_t side, std::int64_t features,
                const std::map<std::string, std::string>& metadata) {
  Messages messages;
  GraphWriter writer(network, messages, path.string());
  if (writer.bytes > kMaxBytes) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: expected at most 2 GiB of weights, got {:.1f} GB; ONNX holds no "
                            "more in a file, the format torchscript does",
                            path.string(), static_cast<double>(writer.bytes) / 1e9));
  }
  Onnx__GraphProto graph ONNX__GRAPH_PROTO__INIT;
  graph.name = messages.text("clr");
  graph.n_node = writer.nodes.size();
  graph.node = writer.nodes.data();
  graph.n_initializer = writer.initializers.size();
  graph.initializer = writer.initializers.data();
  Onnx__ValueInfoProto* input = messages.batch("pixels", {3, side, side});
  graph.n_input = 1;
  graph.input = &input;
  Onnx__ValueInfoProto* output = messages.batch("features", {features});
  graph.n_output = 1;
  graph.output = &output;

  Onnx__OperatorSetIdProto opset ONNX__OPERATOR_SET_ID_PROTO__INIT;
  Onnx__OperatorSetIdProto* opsets = &opset;
  opset.domain = messages.text("");
  opset.has_version = 1;
  opset.version = kOpset;
  std::vector<Onnx__StringStringEntryProto*> entries;
  for (const auto& [key, value] : metadata) entries.push_back(messages.entry(key, value));
  Onnx__ModelProto model ONNX__MODEL_PROTO__INIT;
  model.has_ir_version = 1;
  model.ir_version = kIrVersion;
  model.n_opset_import = 1;
  model.opset_import = &opsets;
  model.producer_name = messages.text("clr");
  model.graph = &graph;
  model.n_metadata_props = entries.size();
  model.metadata_props = entries.data();

  DurableFile file(path);
  FileBuffer buffer{{append}, &file, nullptr};
  onnx__model_proto__pack_to_buffer(&model, &buffer.base);
  if (buffer.error) std::rethrow_exception(buffer.error);
  file.commit();
}

}  // namespace clr
