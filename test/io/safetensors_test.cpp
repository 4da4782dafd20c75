// SPDX-License-Identifier: Apache-2.0
#include "clr/io/safetensors.h"

#include <ATen/Functions.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/io/file.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

const std::vector<torch::ScalarType> kAllDtypes = {
    torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64,
    torch::kInt32,   torch::kInt16,   torch::kInt8,    torch::kUInt8,    torch::kBool};

std::string python_name(torch::ScalarType type) {
  const std::map<torch::ScalarType, std::string> names = {
      {torch::kFloat64, "float64"}, {torch::kFloat32, "float32"},   {torch::kFloat16, "float16"},
      {torch::kInt64, "int64"},     {torch::kBFloat16, "bfloat16"}, {torch::kInt32, "int32"},
      {torch::kUInt8, "uint8"},     {torch::kBool, "bool"}};
  return names.at(type);
}

std::string file_of(const std::string& header, const std::string& values) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + values;
}

/// The message of reading a file of those bytes; "" where it is read.
std::string error_of(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  std::string header_message;
  try {
    read_safetensors_header(path);
  } catch (const Error& error) {
    header_message = error.what();
  }
  try {
    read_safetensors(path);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::checkpoint);
    const std::string message = error.what();
    CATCH_CHECK(message.find('\n') == std::string::npos);
    CATCH_CHECK(message.starts_with(path.string() + ": "));
    // Only values can be wrong without the header's reader seeing it.
    if (message.find("neither 0 nor 1") == std::string::npos)
      CATCH_CHECK(header_message == message);
    return message.substr(path.string().size() + 2);
  }
  CATCH_CHECK(header_message.empty());
  return "";
}

}  // namespace

CATCH_TEST_CASE("safetensors: every dtype and rank comes back", "[io]") {
  const TemporaryFolder folder;
  SafeTensors content;
  for (const auto dtype : kAllDtypes) {
    const std::string name = torch::toString(dtype);
    const torch::Tensor values = at::arange(-30, 30).reshape({3, 4, 5}).to(dtype);
    content.tensors.emplace_back(name + ".cube", values);
    content.tensors.emplace_back(name + ".scalar", values[2][1][3].clone());
    content.tensors.emplace_back(name + ".empty", values.narrow(1, 0, 0));
    content.tensors.emplace_back(name + ".none", values.flatten().narrow(0, 0, 0));
  }
  content.metadata = {{"config", "{\"a\": \"\\ \n\"}"}, {"name", "gr\xC3\xBC\xC3\x9F"}, {"", ""}};
  write_safetensors(folder.path() / "a.safetensors", content);
  const SafeTensors back = read_safetensors(folder.path() / "a.safetensors");
  CATCH_CHECK(back.metadata == content.metadata);
  CATCH_REQUIRE(back.tensors.size() == content.tensors.size());
  for (const auto& [name, tensor] : content.tensors) {
    const torch::Tensor found = back.find(name);
    CATCH_REQUIRE(found.defined());
    CATCH_CHECK(found.scalar_type() == tensor.scalar_type());
    CATCH_CHECK(found.is_contiguous());
    CATCH_CHECK(found.sizes() == tensor.sizes());
    CATCH_CHECK(at::equal(found, tensor));
  }
  CATCH_CHECK_FALSE(back.find("nobody").defined());

  const SafeTensorsHeader header = read_safetensors_header(folder.path() / "a.safetensors");
  CATCH_CHECK(header.metadata == content.metadata);
  CATCH_REQUIRE(header.entries.size() == back.tensors.size());
  for (std::size_t i = 0; i < header.entries.size(); ++i) {
    CATCH_CHECK(header.entries[i].name == back.tensors[i].first);
    CATCH_CHECK(header.entries[i].dtype == back.tensors[i].second.scalar_type());
    CATCH_CHECK(header.entries[i].shape == back.tensors[i].second.sizes().vec());
  }
}

CATCH_TEST_CASE("safetensors: bits survive, not-a-numbers included", "[io]") {
  const TemporaryFolder folder;
  const torch::Tensor bits = at::tensor({0x7FC12345, -1, 0x00000001, 0x7F800000}, torch::kInt32);
  write_safetensors(folder.path() / "a", {{{"x", bits.view(torch::kFloat32)}}, {}});
  CATCH_CHECK(at::equal(read_safetensors(folder.path() / "a").find("x").view(torch::kInt32), bits));
}

CATCH_TEST_CASE("safetensors: views and channels-last are written row by row", "[io]") {
  const TemporaryFolder folder;
  const torch::Tensor base = at::arange(2 * 3 * 4 * 5, torch::kFloat32).reshape({2, 3, 4, 5});
  const std::vector<torch::Tensor> views = {base.contiguous(at::MemoryFormat::ChannelsLast),
                                            base.transpose(0, 3), base.select(1, 2),
                                            base.slice(3, 0, 5, 2), at::ones({1}).expand({4, 4})};
  for (const torch::Tensor& view : views) {
    CATCH_REQUIRE_FALSE(view.is_contiguous());
    write_safetensors(folder.path() / "view", {{{"x", view}}, {}});
    write_safetensors(folder.path() / "plain", {{{"x", view.contiguous().clone()}}, {}});
    CATCH_CHECK(at::equal(read_safetensors(folder.path() / "view").find("x"), view));
    CATCH_CHECK(sha256_file(folder.path() / "view") == sha256_file(folder.path() / "plain"));
  }
}

CATCH_TEST_CASE("safetensors: equal content gives equal bytes, whatever the order", "[io]") {
  const TemporaryFolder folder;
  const torch::Tensor a = at::arange(5, torch::kFloat32);
  const torch::Tensor b = at::arange(3);
  const torch::Tensor c = at::ones({1}, torch::kBool);
  write_safetensors(folder.path() / "1", {{{"a", a}, {"b", b}, {"c", c}, {"aa", a}}, {{"k", "v"}}});
  write_safetensors(folder.path() / "2", {{{"c", c}, {"aa", a}, {"b", b}, {"a", a}}, {{"k", "v"}}});
  const std::string bytes = read_file(folder.path() / "1", ErrorKind::data);
  CATCH_CHECK(bytes == read_file(folder.path() / "2", ErrorKind::data));
  // Written out by hand, as the reference implementation has it.
  std::string header =
      "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"dtype\":\"I64\",\"shape\":[3],"
      "\"data_offsets\":[0,24]},\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[24,44]},"
      "\"aa\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[44,64]},"
      "\"c\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[64,65]}}";
  while (header.size() % 8 != 0) header += ' ';
  CATCH_CHECK(bytes.substr(0, 8 + header.size()) == file_of(header, ""));
  CATCH_CHECK(bytes.size() == 8 + header.size() + 65);
}

CATCH_TEST_CASE("safetensors: files without tensors and padded headers are read", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "a", {});
  CATCH_CHECK(read_safetensors(folder.path() / "a").tensors.empty());
  CATCH_CHECK(error_of(folder.path() / "b", file_of("{}", "")).empty());
  CATCH_CHECK(error_of(folder.path() / "b", file_of("{\"__metadata__\":{}}    ", "")).empty());
  // Offsets need not follow the order of the names.
  CATCH_CHECK(error_of(folder.path() / "b",
                       file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                               "\"b\":{\"shape\":[],\"data_offsets\":[0,1],\"dtype\":\"U8\"}}",
                               "xy"))
                  .empty());
  CATCH_CHECK(read_safetensors(folder.path() / "b").find("a")[0].item<int>() == 'y');
  CATCH_CHECK(read_safetensors(folder.path() / "b").find("b").item<int>() == 'x');
}

CATCH_TEST_CASE("safetensors: what is wrong with a file is said", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.safetensors";
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return "{\"x\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
           "}}";
  };
  const auto two = [](const std::string& first, const std::string& second) {
    return "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + first +
           "},\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + second + "}}";
  };
  const std::string good = one("\"F32\"", "[2]", "[0,8]");
  const std::string eight(8, '\0');
  CATCH_REQUIRE(error_of(path, file_of(good, eight)).empty());
  CATCH_REQUIRE(error_of(path, file_of(two("[0,2]", "[2,4]"), "abcd")).empty());

  struct Case {
    std::string bytes;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"", "not a safetensors file: 0 bytes, too few for a header"},
      {"1234567", "not a safetensors file: 7 bytes, too few for a header"},
      {eight, "not a safetensors file: the header is no JSON object"},
      {std::string(16, '\xFF'), "not a safetensors file: a header of 18446744073709551615 bytes"},
      {std::string("\x01\xE1\xF5\x05\0\0\0\0{", 9),
       "not a safetensors file: a header of 100000001 bytes, at most 100000000 are allowed"},
      {file_of(good, eight).substr(0, 40), "cut off: a header of"},
      {file_of(good, eight.substr(1)), "cut off: 7 bytes of 8"},
      {file_of(good, eight + "x"), "1 bytes after the last tensor"},
      {file_of("{}", "x"), "1 bytes after the last tensor"},
      {file_of(" {}", ""), "not a safetensors file: the header is no JSON object"},
      {file_of("[]", ""), "not a safetensors file: the header is no JSON object"},
      {file_of("{\"x\":", ""), "header:"},
      {file_of("{} {}", ""), "header:"},
      {file_of("{\"\xFF\":1}", ""), "header:"},
      {file_of("{\"x\":[],\"x\":[]}", ""), "header"},
      {file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", ""), "header"},
      {file_of("{\"__metadata__\":{\"a\":1}}", ""), "__metadata__: expected strings, got 1"},
      {file_of("{\"__metadata__\":null}", ""), "__metadata__: expected an object, got null"},
      {file_of("{\"x\":[]}", ""), "tensor \"x\": expected an object"},
      {file_of("{\"x\":{}}", ""), "tensor \"x\": no dtype"},
      {file_of("{\"x\":{\"dtype\":\"U8\",\"shape\":[]}}", ""), "tensor \"x\": no data_offsets"},
      {file_of("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"z\":1}}", ""),
       "tensor \"x\": unknown key z"},
      {file_of(one("\"F33\"", "[2]", "[0,8]"), eight),
       "tensor \"x\": dtype \"F33\" is not supported"},
      {file_of(one("\"U64\"", "[1]", "[0,8]"), eight),
       "tensor \"x\": dtype \"U64\" is not supported"},
      {file_of(one("1", "[2]", "[0,8]"), eight), "tensor \"x\": dtype 1 is not supported"},
      {file_of(one("\"F32\"", "2", "[0,8]"), eight), "tensor \"x\": shape: expected a list"},
      {file_of(one("\"F32\"", "[-2]", "[0,8]"), eight),
       "tensor \"x\": shape: expected sizes, got -2"},
      {file_of(one("\"F32\"", "[2.0]", "[0,8]"), eight),
       "tensor \"x\": shape: expected sizes, got 2.0"},
      {file_of(one("\"F32\"", "[\"2\"]", "[0,8]"), eight),
       "tensor \"x\": shape: expected sizes, got \"2\""},
      {file_of(one("\"F32\"", "[4611686018427387905]", "[0,4]"), "1234"),
       "tensor \"x\": shape: too large"},
      {file_of(one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), ""),
       "tensor \"x\": shape: too large"},
      {file_of(one("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), ""),
       "tensor \"x\": shape: too large"},
      {file_of(one("\"U8\"", "[0,18446744073709551615]", "[0,0]"), ""),
       "tensor \"x\": shape: too large"},
      {file_of(one("\"F32\"", "[3]", "[0,8]"), eight),
       "tensor \"x\": data_offsets: expected 12 bytes for its shape, got [0, 8]"},
      {file_of(one("\"F32\"", "[2]", "[8,0]"), eight),
       "tensor \"x\": data_offsets: expected 8 bytes for its shape, got [8, 0]"},
      {file_of(one("\"F32\"", "[2]", "[-8,0]"), eight),
       "tensor \"x\": data_offsets: expected [beg"},
      {file_of(one("\"F32\"", "[2]", "[0.0,8]"), eight),
       "tensor \"x\": data_offsets: expected [begin, end], got [0.0,8]"},
      {file_of(one("\"F32\"", "[2]", "[0,8,8]"), eight),
       "tensor \"x\": data_offsets: expected [begin, end], got [0,8,8]"},
      {file_of(one("\"F32\"", "[2]", "[4,12]"), eight + "1234"),
       "tensor \"x\": begins at 4 where 0 was expected: a hole"},
      {file_of(one("\"U8\"", "[1]", "[18446744073709551614,18446744073709551615]"), "x"),
       "tensor \"x\": begins at 18446744073709551614 where 0 was expected: a hole"},
      {file_of(two("[0,2]", "[1,3]"), "abc"),
       "tensor \"y\": begins at 1 where 2 was expected: tensors overlap"},
      {file_of(two("[0,2]", "[0,2]"), "ab"),
       "tensor \"y\": begins at 0 where 2 was expected: tensors overlap"},
      {file_of(two("[0,2]", "[3,5]"), "abcde"),
       "tensor \"y\": begins at 3 where 2 was expected: a hole"},
      {file_of(one("\"BOOL\"", "[2]", "[0,2]"), "\x01\x02"),
       "tensor \"x\": a BOOL is neither 0 nor 1"},
  };
  for (const Case& item : cases) {
    CATCH_INFO(item.message);
    const std::string message = error_of(path, item.bytes);
    CATCH_CHECK(message.substr(0, item.message.size()) == item.message);
  }

  std::string deep = "{\"__metadata__\":";
  for (int i = 0; i < 100'000; ++i) deep += "[";
  CATCH_CHECK_FALSE(error_of(path, file_of(deep, "")).empty());
}

CATCH_TEST_CASE("safetensors: what the Python package wrote is read", "[io]") {
  const std::string folder = std::string(CLR_TEST_DATA_DIR) + "/safetensors/";
  const Json expected = parse_json(read_file(folder + "mixed.json", ErrorKind::data), "mixed.json");
  const SafeTensors content = read_safetensors(folder + "mixed.safetensors");
  CATCH_CHECK(content.metadata == expected["metadata"].get<std::map<std::string, std::string>>());
  CATCH_REQUIRE(content.tensors.size() == expected["tensors"].size());
  for (const auto& [name, wanted] : expected["tensors"].items()) {
    CATCH_INFO(name);
    const torch::Tensor tensor = content.find(name);
    CATCH_REQUIRE(tensor.defined());
    CATCH_CHECK(python_name(tensor.scalar_type()) == wanted["dtype"].get<std::string>());
    CATCH_CHECK(tensor.sizes().vec() == wanted["shape"].get<std::vector<std::int64_t>>());
    if (tensor.is_floating_point()) {
      const auto values = wanted["values"].get<std::vector<double>>();
      CATCH_CHECK(at::equal(tensor.flatten().to(torch::kFloat64), at::tensor(values)));
    } else {
      const auto values = wanted["values"].get<std::vector<std::int64_t>>();
      CATCH_CHECK(at::equal(tensor.flatten().to(torch::kInt64), at::tensor(values)));
    }
  }

  // Written again, the values lie where the package put them.
  const TemporaryFolder own;
  write_safetensors(own.path() / "a", content);
  const auto values_of = [](const std::filesystem::path& path) {
    const std::string bytes = read_file(path, ErrorKind::data);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    return bytes.substr(sizeof length + length);
  };
  CATCH_CHECK(values_of(own.path() / "a") == values_of(folder + "mixed.safetensors"));
}

CATCH_TEST_CASE("safetensors: what the Python package refuses is refused", "[io]") {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(CLR_TEST_DATA_DIR) + "/safetensors")) {
    if (!entry.path().filename().string().starts_with("bad_")) continue;
    CATCH_INFO(entry.path());
    CATCH_CHECK_THROWS_AS(read_safetensors(entry.path()), Error);
    CATCH_CHECK_THROWS_AS(read_safetensors_header(entry.path()), Error);
    ++files;
  }
  CATCH_CHECK(files >= 10);
}

CATCH_TEST_CASE("safetensors: missing files and folders are errors of checkpoints", "[io]") {
  const TemporaryFolder folder;
  for (const auto& [path, message] : {std::pair(folder.path() / "none", "no such file"),
                                      std::pair(folder.path(), "expected a file")}) {
    try {
      read_safetensors(path);
      CATCH_FAIL("nothing thrown");
    } catch (const Error& error) {
      CATCH_CHECK(error.kind() == ErrorKind::checkpoint);
      CATCH_CHECK(error.what() == path.string() + ": " + message);
    }
  }
}

CATCH_TEST_CASE("safetensors: any damage to a header is refused or read, never worse", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a";
  write_safetensors(path, {{{"weight", at::arange(6, torch::kFloat32).reshape({2, 3})},
                            {"steps", at::tensor(7)},
                            {"flag", at::ones({3}, torch::kBool)}},
                           {{"config", "{}"}}});
  const std::string good = read_file(path, ErrorKind::data);
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = good;
    const auto changes = 1 + random() % 3;
    for (unsigned change = 0; change < changes; ++change) {
      bytes[random() % bytes.size()] = static_cast<char>(random() % 128);
    }
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    refused += error_of(path, bytes).empty() ? 0 : 1;
  }
  CATCH_CHECK(refused > 500);
}

CATCH_TEST_CASE("safetensors: content that cannot be stored is a programmer's error", "[io]") {
  const TemporaryFolder folder;
  const torch::Tensor x = at::ones({1});
  CATCH_CHECK_THROWS_AS(write_safetensors(folder.path() / "a", {{{"x", x}, {"x", x}}, {}}),
                        c10::Error);
  CATCH_CHECK_THROWS_AS(write_safetensors(folder.path() / "a", {{{"x", torch::Tensor()}}, {}}),
                        c10::Error);
  CATCH_CHECK_THROWS_AS(write_safetensors(folder.path() / "a", {{{"__metadata__", x}}, {}}),
                        c10::Error);
  CATCH_CHECK_THROWS_AS(
      write_safetensors(folder.path() / "a", {{{"x", x.to(torch::kComplexFloat)}}, {}}),
      c10::Error);
  CATCH_CHECK_FALSE(std::filesystem::exists(folder.path() / "a"));
}

CATCH_TEST_CASE("safetensors: a failed write leaves the older file", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "a", {{{"x", at::ones({2})}}, {}});
  std::filesystem::create_symlink("/dev/full", folder.path() / "a.tmp");
  try {
    write_safetensors(folder.path() / "a", {{{"x", at::zeros({2})}}, {}});
    CATCH_FAIL("nothing thrown");
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::output);
    CATCH_CHECK(error.what() ==
                (folder.path() / "a").string() + ": cannot be written: no space left on device");
  }
  CATCH_CHECK(at::equal(read_safetensors(folder.path() / "a").find("x"), at::ones({2})));
}

}  // namespace clr
