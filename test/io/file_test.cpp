// SPDX-License-Identifier: Apache-2.0
#include "clr/io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "clr/core/error.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

std::string output_error(const fs::path& path) {
  try {
    write_file_durably(path, "new");
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::output);
    return error.what();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("a durable write replaces the file and leaves nothing beside it", "[io]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a.bin";
  write_file_durably(path, "first, longer");
  const std::string bytes("two\0\xFF", 5);
  write_file_durably(path, bytes);
  CATCH_CHECK(read_file(path, ErrorKind::data) == bytes);
  CATCH_CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

CATCH_TEST_CASE("an abandoned durable file changes nothing", "[io]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a.bin";
  write_file_durably(path, "old");
  {
    DurableFile file(path);
    file.write("half of the new");
    CATCH_CHECK(read_file(path, ErrorKind::data) == "old");
  }
  CATCH_CHECK(read_file(path, ErrorKind::data) == "old");
  CATCH_CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

CATCH_TEST_CASE("a file that cannot be written is named with the reason", "[io]") {
  const TemporaryFolder folder;
  const fs::path missing = folder.path() / "none" / "a.bin";
  CATCH_CHECK(output_error(missing) ==
              missing.string() + ": cannot be written: no such file or directory");
  fs::create_directory(folder.path() / "sub");
  CATCH_CHECK(output_error(folder.path() / "sub") ==
              (folder.path() / "sub").string() + ": cannot be written: is a directory");
  write_file_durably(folder.path() / "file", "");
  CATCH_CHECK(output_error(folder.path() / "file" / "a.bin") ==
              (folder.path() / "file" / "a.bin").string() + ": cannot be written: not a directory");
}

CATCH_TEST_CASE("a device or a pipe is refused, not replaced", "[io]") {
  const TemporaryFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  CATCH_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CATCH_CHECK(output_error(pipe) == pipe.string() + ": cannot be written: not a regular file");
  CATCH_CHECK(fs::is_fifo(pipe));
}

CATCH_TEST_CASE("a full disk is named as such", "[io]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a.bin";
  // What is written goes by way of PATH.tmp; /dev/full takes no byte.
  fs::create_symlink("/dev/full", folder.path() / "a.bin.tmp");
  CATCH_CHECK(output_error(path) == path.string() + ": cannot be written: no space left on device");
  CATCH_CHECK_FALSE(fs::exists(path));
}

CATCH_TEST_CASE("reading a missing file or a folder is an error of the kind asked for", "[io]") {
  const TemporaryFolder folder;
  for (const ErrorKind kind : {ErrorKind::data, ErrorKind::checkpoint}) {
    for (const fs::path& path : {folder.path() / "missing", folder.path()}) {
      try {
        read_file(path, kind);
        CATCH_FAIL("nothing thrown");
      } catch (const Error& error) {
        CATCH_CHECK(error.kind() == kind);
        CATCH_CHECK(std::string(error.what()).starts_with(path.string() + ": cannot be read: "));
      }
    }
  }
}

CATCH_TEST_CASE("files whose size is not known beforehand are read whole", "[io]") {
  CATCH_CHECK(
      read_file("/proc/self/stat", ErrorKind::data).starts_with(std::to_string(::getpid())));
}

CATCH_TEST_CASE("sha256 has the values of FIPS 180-4's examples", "[io]") {
  CATCH_CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CATCH_CHECK(sha256_hex("abc") ==
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1'000'000, 'a');
  const std::string digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  CATCH_CHECK(sha256_hex(million) == digest);
  Sha256 pieces;
  for (std::size_t i = 0; i < million.size(); i += 1000) pieces.update(million.data() + i, 1000);
  CATCH_CHECK(pieces.hex() == digest);
  const TemporaryFolder folder;
  write_file_durably(folder.path() / "a", million + million + million);
  CATCH_CHECK(sha256_file(folder.path() / "a") == sha256_hex(million + million + million));
}

}  // namespace clr
