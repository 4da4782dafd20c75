// SPDX-License-Identifier: Apache-2.0
#include "clr/io/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "clr/core/error.h"
#include "clr/io/file.h"

namespace clr {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are stored as they lie in memory");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMaxRank = 64;
/// NumPy leaves room for the first size to grow to this many digits.
constexpr std::size_t kGrowthDigits = 21;

struct Dtype {
  torch::ScalarType type;
  const char* name;
};

constexpr std::array<Dtype, 6> kDtypes{{{torch::kFloat32, "<f4"},
                                        {torch::kFloat16, "<f2"},
                                        {torch::kFloat64, "<f8"},
                                        {torch::kInt64, "<i8"},
                                        {torch::kInt32, "<i4"},
                                        {torch::kUInt8, "|u1"}}};

/// The header's text: a Python dictionary with exactly descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {
    expect('{');
    while (peek() != '}') {
      read_entry();
      if (peek() == ',') ++at_;
    }
    ++at_;
    skip_spaces();
    if (at_ != text_.size()) fail();
    if (seen_ != (kDescr | kOrder | kShape)) fail();
  }

  torch::ScalarType dtype = torch::kFloat32;
  std::vector<std::int64_t> shape;

 private:
  static constexpr unsigned kDescr = 1;
  static constexpr unsigned kOrder = 2;
  static constexpr unsigned kShape = 4;

  [[noreturn]] void fail(const std::string& message = "the header is damaged") const {
    throw Error(ErrorKind::data, where_ + ": " + message);
  }

  void skip_spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  char peek() {
    skip_spaces();
    if (at_ == text_.size()) fail();
    return text_[at_];
  }

  void expect(char wanted) {
    if (peek() != wanted) fail();
    ++at_;
  }

  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail();
    const auto end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail();
    std::string word(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return word;
  }

  void read_entry() {
    const std::string key = quoted();
    expect(':');
    unsigned bit = 0;
    if (key == "descr") {
      bit = kDescr;
      read_dtype();
    } else if (key == "fortran_order") {
      bit = kOrder;
      read_order();
    } else if (key == "shape") {
      bit = kShape;
      read_shape();
    } else {
      fail();
    }
    if ((seen_ & bit) != 0) fail();
    seen_ |= bit;
  }

  void read_dtype() {
    if (peek() == '[') fail("expected one number type, got a structure");
    const std::string name = quoted();
    const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                     [&](const Dtype& each) { return name == each.name; });
    if (found == kDtypes.end()) {
      fail("expected the type <f4, <f2, <f8, <i8, <i4 or |u1, got " + name);
    }
    dtype = found->type;
  }

  void read_order() {
    skip_spaces();
    if (text_.substr(at_, 4) == "True") {
      fail("expected C order, got Fortran order; numpy.ascontiguousarray makes it so");
    }
    if (text_.substr(at_, 5) != "False") fail();
    at_ += 5;
  }

  void read_shape() {
    expect('(');
    std::uint64_t extent = torch::elementSize(torch::kFloat64);
    while (peek() != ')') {
      constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
      std::uint64_t size = 0;
      const std::size_t begin = at_;
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0;
           ++at_) {
        if (size > kLimit / 10 - 1) fail("the shape is too large");
        size = 10 * size + static_cast<std::uint64_t>(text_[at_] - '0');
      }
      if (at_ == begin) fail();
      if (size > kLimit / extent || shape.size() == kMaxRank) fail("the shape is too large");
      extent *= std::max<std::uint64_t>(size, 1);
      shape.push_back(static_cast<std::int64_t>(size));
      if (peek() == ',') {
        ++at_;
      } else if (peek() != ')') {
        fail();
      }
    }
    ++at_;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  unsigned seen_ = 0;
};

std::string make_header(const torch::Tensor& tensor) {
  const auto* dtype = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& each) {
    return each.type == tensor.scalar_type();
  });
  TORCH_CHECK(dtype != kDtypes.end(), "npy: dtype ", torch::toString(tensor.scalar_type()),
              " cannot be stored");
  std::string shape;
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    shape += (i == 0 ? "" : ", ") + std::to_string(tensor.size(i));
  }
  if (tensor.dim() == 1) shape += ",";
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", dtype->name, shape);
  if (tensor.dim() > 0) text.append(kGrowthDigits - std::to_string(tensor.size(0)).size(), ' ');
  const std::size_t fixed = kMagic.size() + 4;
  text.append(kAlignment - (fixed + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  const auto length = static_cast<std::uint16_t>(text.size());
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  return header + text;
}

}  // namespace

void write_npy(const std::filesystem::path& path, const torch::Tensor& tensor) {
  const torch::Tensor plain = tensor.detach().to(torch::kCPU).contiguous();
  const std::string header = make_header(plain);
  DurableFile file(path);
  file.write(header);
  file.write(plain.const_data_ptr(), plain.nbytes());
  file.commit();
}

torch::Tensor read_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, ErrorKind::data);
  const std::string where = path.string();
  const auto fail = [&](const std::string& message) {
    throw Error(ErrorKind::data, where + ": " + message);
  };
  if (bytes.size() < kMagic.size() + 4 || !bytes.starts_with(kMagic)) fail("not a .npy file");
  const auto byte = [&](std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at]));
  };
  const std::size_t major = byte(6);
  if ((major != 1 && major != 2) || byte(7) != 0) {
    fail(fmt::format("expected version 1.0 or 2.0, got {}.{}", major, byte(7)));
  }
  const std::size_t begin = major == 1 ? 10 : 12;
  if (bytes.size() < begin) fail("cut off in the header");
  std::size_t length = byte(8) | byte(9) << 8;
  if (major == 2) length |= byte(10) << 16 | byte(11) << 24;
  if (length > bytes.size() - begin) fail("cut off in the header");
  const HeaderParser header(std::string_view(bytes).substr(begin, length), where);

  std::uint64_t expected = torch::elementSize(header.dtype);
  for (const std::int64_t size : header.shape) expected *= static_cast<std::uint64_t>(size);
  const std::size_t got = bytes.size() - begin - length;
  if (got != expected) fail(fmt::format("expected {} bytes of values, got {}", expected, got));
  torch::Tensor tensor = torch::empty(header.shape, torch::dtype(header.dtype));
  if (got > 0) std::memcpy(tensor.data_ptr(), bytes.data() + begin + length, got);
  return tensor;
}

}  // namespace clr
