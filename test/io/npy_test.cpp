// SPDX-License-Identifier: Apache-2.0
#include "clr/io/npy.h"

#include <ATen/Functions.h>

#include <filesystem>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/io/file.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

std::string file_of(const std::string& dictionary, const std::string& values, char major = 1) {
  std::string length{static_cast<char>(dictionary.size() & 0xFF),
                     static_cast<char>(dictionary.size() >> 8)};
  if (major == 2) length += std::string(2, '\0');
  return std::string("\x93NUMPY", 6) + major + '\0' + length + dictionary + values;
}

std::string data_error(const std::filesystem::path& path) {
  try {
    read_npy(path);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::data);
    return error.what();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("npy: every dtype and rank comes back", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.npy";
  for (const auto dtype : {torch::kFloat32, torch::kFloat16, torch::kFloat64, torch::kInt64,
                           torch::kInt32, torch::kUInt8}) {
    for (const std::vector<std::int64_t>& shape :
         std::vector<std::vector<std::int64_t>>{{}, {1}, {7}, {0}, {3, 0, 2}, {2, 3, 4, 5}}) {
      const torch::Tensor tensor = at::arange(720).narrow(0, 13, 120).to(dtype);
      std::int64_t count = 1;
      for (const auto size : shape) count *= size;
      const torch::Tensor shaped = tensor.narrow(0, 0, count).reshape(shape);
      write_npy(path, shaped);
      const torch::Tensor back = read_npy(path);
      CATCH_CHECK(back.scalar_type() == dtype);
      CATCH_CHECK(back.sizes().vec() == shape);
      CATCH_CHECK(at::equal(back, shaped));
    }
  }
}

CATCH_TEST_CASE("npy: values are written in C order whatever the layout", "[io]") {
  const TemporaryFolder folder;
  const torch::Tensor tensor = at::arange(12, torch::kFloat32).reshape({3, 4});
  write_npy(folder.path() / "plain.npy", tensor.t().contiguous());
  write_npy(folder.path() / "view.npy", tensor.t());
  CATCH_CHECK(read_file(folder.path() / "plain.npy", ErrorKind::data) ==
              read_file(folder.path() / "view.npy", ErrorKind::data));
}

// The headers that numpy 2.4's save() writes.
CATCH_TEST_CASE("npy: the bytes are numpy's", "[io]") {
  const TemporaryFolder folder;
  const std::vector<std::pair<torch::Tensor, std::string>> cases = {
      {at::ones({}, torch::kFloat32), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }"},
      {at::zeros({2, 1}, torch::kFloat16),
       "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 1), }"},
      {at::zeros({3}, torch::kInt64), "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"},
      {at::zeros({2, 3, 4}, torch::kUInt8),
       "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }"}};
  for (const auto& [tensor, dictionary] : cases) {
    write_npy(folder.path() / "a.npy", tensor);
    std::string header = dictionary;
    header.resize(117, ' ');
    const std::string bytes = read_file(folder.path() / "a.npy", ErrorKind::data);
    CATCH_CHECK(bytes.substr(0, 128) == file_of(header + '\n', ""));
    CATCH_CHECK(bytes.size() == 128 + tensor.nbytes());
  }
  write_npy(folder.path() / "a.npy", at::ones({}, torch::kFloat32));
  CATCH_CHECK(read_file(folder.path() / "a.npy", ErrorKind::data).substr(128) ==
              std::string("\x00\x00\x80\x3F", 4));
}

CATCH_TEST_CASE("npy: version 2.0, other spacing and quotes are read", "[io]") {
  const TemporaryFolder folder;
  const std::string values("\x01\x00\x00\x00\xFF\xFF\xFF\xFF", 8);
  const std::string dictionary = "{\"shape\":(2 ,),'fortran_order':False ,'descr':'<i4'}\n";
  for (const char version : {char{1}, char{2}}) {
    write_file_durably(folder.path() / "a.npy", file_of(dictionary, values, version));
    CATCH_CHECK(at::equal(read_npy(folder.path() / "a.npy"), at::tensor({1, -1}, torch::kInt32)));
  }
}

CATCH_TEST_CASE("npy: what is wrong with a file is said", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.npy";
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  const std::string eight(8, '\0');
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return file_of(text.replace(text.find(from), from.size(), to), eight);
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not a .npy file"},
      {"PK\x03\x04 and so on", "not a .npy file"},
      {file_of(good, eight, 3), "expected version 1.0 or 2.0, got 3.0"},
      {file_of(good, eight).substr(0, 30), "cut off in the header"},
      {file_of(good, eight.substr(1)), "expected 8 bytes of values, got 7"},
      {file_of(good, eight + "x"), "expected 8 bytes of values, got 9"},
      {with("<f4", ">f4"), "expected the type <f4, <f2, <f8, <i8, <i4 or |u1, got >f4"},
      {with("<f4", "|O"), "expected the type <f4, <f2, <f8, <i8, <i4 or |u1, got |O"},
      {with("'<f4'", "[('a', '<f4')]"), "expected one number type, got a structure"},
      {with("False", "True"),
       "expected C order, got Fortran order; numpy.ascontiguousarray makes it so"},
      {with("False", "None"), "the header is damaged"},
      {with("(2,)", "(-2,)"), "the header is damaged"},
      {with("(2,)", "2"), "the header is damaged"},
      {with("(2,)", "(99999999999999999999,)"), "the shape is too large"},
      {with("(2,)", "(4294967296, 4294967296, 0)"), "the shape is too large"},
      {with("'shape': (2,), ", ""), "the header is damaged"},
      {with("'descr'", "'shape': (2,), 'descr'"), "the header is damaged"},
      {with("'descr'", "'other'"), "the header is damaged"},
      {with("}", ""), "the header is damaged"},
      {with("}", "} x"), "the header is damaged"},
      {with("'shape'", "'shape"), "the header is damaged"}};
  for (const auto& [bytes, message] : cases) {
    write_file_durably(path, bytes);
    CATCH_CHECK(data_error(path) == path.string() + ": " + message);
  }
  CATCH_CHECK(data_error(folder.path() / "none.npy") ==
              (folder.path() / "none.npy").string() +
                  ": cannot be read: no such file or directory");
}

CATCH_TEST_CASE("npy: other dtypes are a programmer's error", "[io]") {
  const TemporaryFolder folder;
  CATCH_CHECK_THROWS_AS(write_npy(folder.path() / "a.npy", at::zeros({2}, torch::kBFloat16)),
                        c10::Error);
  CATCH_CHECK_FALSE(std::filesystem::exists(folder.path() / "a.npy"));
}

}  // namespace clr
