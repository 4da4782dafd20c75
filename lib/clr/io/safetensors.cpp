// SPDX-License-Identifier: Apache-2.0
#include "clr/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <string_view>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/io/file.h"

namespace clr {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are stored as they lie in memory");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::uint64_t kAlignment = 8;
constexpr std::size_t kMaxRank = 64;
constexpr const char* kMetadata = "__metadata__";

struct Dtype {
  torch::ScalarType type;
  const char* name;
};

/// In the order in which tensors are written.
constexpr std::array<Dtype, 10> kDtypes{{{torch::kInt64, "I64"},
                                         {torch::kFloat64, "F64"},
                                         {torch::kFloat32, "F32"},
                                         {torch::kInt32, "I32"},
                                         {torch::kBFloat16, "BF16"},
                                         {torch::kFloat16, "F16"},
                                         {torch::kInt16, "I16"},
                                         {torch::kInt8, "I8"},
                                         {torch::kUInt8, "U8"},
                                         {torch::kBool, "BOOL"}}};

std::size_t rank_of(torch::ScalarType type) {
  const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                   [&](const Dtype& dtype) { return dtype.type == type; });
  TORCH_CHECK(found != kDtypes.end(), "safetensors: dtype ", torch::toString(type),
              " cannot be stored");
  return static_cast<std::size_t>(found - kDtypes.begin());
}

// ---------------------------------------------------------------------------------------- writing

struct Item {
  std::size_t rank;
  const std::string* name;
  const torch::Tensor* tensor;
};

/// The tensors in the order of the file.
std::vector<Item> sorted_items(const SafeTensors& content) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : content.tensors) {
    TORCH_CHECK(tensor.defined(), "safetensors: tensor ", name, " is undefined");
    TORCH_CHECK(name != kMetadata, "safetensors: a tensor cannot be named ", kMetadata);
    items.push_back({rank_of(tensor.scalar_type()), &name, &tensor});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.rank != b.rank ? a.rank < b.rank : *a.name < *b.name;
  });
  return items;
}

/// The header's text, padded.
std::string make_header(const SafeTensors& content, const std::vector<Item>& items) {
  Json header = Json::object();
  if (!content.metadata.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, value] : content.metadata) metadata[key] = value;
    header[kMetadata] = std::move(metadata);
  }
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const Item& item : items) {
    TORCH_CHECK(names.insert(*item.name).second, "safetensors: two tensors are named ", *item.name);
    const std::uint64_t end = offset + item.tensor->nbytes();
    // push_back: an ordered_json looks names up one by one.
    header.get_ref<Json::object_t&>().push_back(
        {*item.name, Json{{"dtype", kDtypes[item.rank].name},
                          {"shape", item.tensor->sizes().vec()},
                          {"data_offsets", {offset, end}}}});
    offset = end;
  }
  // Metadata may hold paths, which need not be UTF-8.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  TORCH_CHECK(text.size() <= kMaxHeader, "safetensors: header of ", text.size(), " bytes");
  return text;
}

// ---------------------------------------------------------------------------------------- reading

struct StoredTensor {
  std::string name;
  torch::ScalarType dtype = torch::kFloat32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// An opened file whose header has passed every check.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : where_(path.string()) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (status.type() == std::filesystem::file_type::not_found) fail("no such file");
    if (!std::filesystem::is_regular_file(status)) fail("expected a file");
    file_.open(path, std::ios::binary);
    if (!file_) fail("cannot be read: " + std::generic_category().message(errno));
    size_ = std::filesystem::file_size(path, error);
    if (error) fail("cannot be read: " + error.message());
    read_header();
  }

  const std::vector<StoredTensor>& entries() const { return entries_; }
  std::map<std::string, std::string> take_metadata() { return std::move(metadata_); }

  torch::Tensor load(const StoredTensor& entry) {
    torch::Tensor tensor = torch::empty(entry.shape, torch::dtype(entry.dtype));
    file_.seekg(static_cast<std::streamoff>(buffer_begin_ + entry.begin));
    read(static_cast<char*>(tensor.data_ptr()), entry.end - entry.begin);
    if (entry.dtype == torch::kBool) {
      const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
      if (std::any_of(bytes, bytes + tensor.numel(), [](unsigned char byte) { return byte > 1; })) {
        fail("tensor \"" + entry.name + "\": a BOOL is neither 0 nor 1");
      }
    }
    return tensor;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorKind::checkpoint, where_ + ": " + message);
  }

  void read(char* data, std::uint64_t count) {
    file_.read(data, static_cast<std::streamsize>(count));
    if (static_cast<std::uint64_t>(file_.gcount()) != count) fail("cannot be read to its end");
  }

  void read_header() {
    if (size_ < kLengthBytes) {
      fail(fmt::format("not a safetensors file: {} bytes, too few for a header", size_));
    }
    std::uint64_t length = 0;
    read(reinterpret_cast<char*>(&length), sizeof length);
    if (length > kMaxHeader) {
      fail(fmt::format("not a safetensors file: a header of {} bytes, at most {} are allowed",
                       length, kMaxHeader));
    }
    if (length > size_ - kLengthBytes) {
      fail(fmt::format("cut off: a header of {} bytes, but {} follow", length,
                       size_ - kLengthBytes));
    }
    buffer_begin_ = kLengthBytes + length;
    std::string text(length, '\0');
    read(text.data(), length);
    if (text.empty() || text[0] != '{')
      fail("not a safetensors file: the header is no JSON object");
    const Json header = parse(text);
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        read_metadata(value);
      } else {
        entries_.push_back(read_entry(name, value));
      }
    }
    check_cover();
  }

  Json parse(const std::string& text) const {
    try {
      return parse_json(text, where_ + ": header");
    } catch (const Error& error) {
      throw Error(ErrorKind::checkpoint, error.what());
    }
  }

  void read_metadata(const Json& value) {
    if (!value.is_object()) fail("__metadata__: expected an object, got " + show(value));
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__: expected strings, got " + show(text));
      metadata_[key] = text.get<std::string>();
    }
  }

  StoredTensor read_entry(const std::string& name, const Json& value) const {
    const auto wrong = [&](const std::string& what) { fail("tensor \"" + name + "\": " + what); };
    if (!value.is_object()) wrong("expected an object, got " + show(value));
    for (const auto& [key, unused] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") wrong("unknown key " + key);
    }
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!value.contains(key)) wrong(std::string("no ") + key);
    }
    StoredTensor entry;
    entry.name = name;

    const Json& dtype = value["dtype"];
    const auto* known = std::find_if(kDtypes.begin(), kDtypes.end(),
                                     [&](const Dtype& each) { return dtype == each.name; });
    if (known == kDtypes.end()) wrong("dtype " + show(dtype) + " is not supported");
    entry.dtype = known->type;

    const Json& shape = value["shape"];
    if (!shape.is_array() || shape.size() > kMaxRank) {
      wrong(
          fmt::format("shape: expected a list of at most {} sizes, got {}", kMaxRank, show(shape)));
    }
    // Strides are products too, so sizes of 0 must not hide an overflow of the others.
    std::uint64_t elements = 1;
    std::uint64_t extent = torch::elementSize(entry.dtype);
    for (const Json& size : shape) {
      if (!size.is_number_unsigned()) wrong("shape: expected sizes, got " + show(size));
      const auto number = size.get<std::uint64_t>();
      constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
      if (number > kLimit / extent) wrong("shape: too large");
      extent *= std::max<std::uint64_t>(number, 1);
      elements *= number;
      entry.shape.push_back(static_cast<std::int64_t>(number));
    }

    const Json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      wrong("data_offsets: expected [begin, end], got " + offsets.dump());
    }
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    const std::uint64_t bytes = elements * torch::elementSize(entry.dtype);
    if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
      wrong(fmt::format("data_offsets: expected {} bytes for its shape, got [{}, {}]", bytes,
                        entry.begin, entry.end));
    }
    return entry;
  }

  void check_cover() const {
    std::vector<const StoredTensor*> order;
    for (const StoredTensor& entry : entries_) order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
      return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::uint64_t covered = 0;
    for (const StoredTensor* entry : order) {
      if (entry->begin != covered) {
        fail(fmt::format("tensor \"{}\": begins at {} where {} was expected: {}", entry->name,
                         entry->begin, covered,
                         entry->begin < covered ? "tensors overlap" : "a hole"));
      }
      covered = entry->end;
    }
    const std::uint64_t buffer = size_ - buffer_begin_;
    if (covered > buffer) fail(fmt::format("cut off: {} bytes of {}", buffer, covered));
    if (covered < buffer) {
      fail(fmt::format("{} bytes after the last tensor", buffer - covered));
    }
  }

  std::string where_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
  std::uint64_t buffer_begin_ = 0;
  std::vector<StoredTensor> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

torch::Tensor SafeTensors::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == tensors.end() ? torch::Tensor() : found->second;
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  const std::vector<Item> items = sorted_items(content);
  const std::string header = make_header(content, items);
  const std::uint64_t length = header.size();
  DurableFile file(path);
  file.write(&length, sizeof length);
  file.write(header);
  for (const Item& item : items) {
    const torch::Tensor plain = item.tensor->detach().to(torch::kCPU).contiguous();
    file.write(plain.const_data_ptr(), plain.nbytes());
  }
  file.commit();
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  Reader reader(path);
  SafeTensors content;
  for (const StoredTensor& entry : reader.entries()) {
    content.tensors.emplace_back(entry.name, reader.load(entry));
  }
  content.metadata = reader.take_metadata();
  return content;
}

SafeTensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  Reader reader(path);
  SafeTensorsHeader header;
  for (const StoredTensor& entry : reader.entries()) {
    header.entries.push_back({entry.name, entry.dtype, entry.shape});
  }
  header.metadata = reader.take_metadata();
  return header;
}

}  // namespace clr
