// SPDX-License-Identifier: Apache-2.0
#include "clr/io/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace clr {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

std::string reason(int error) {
  std::string text = std::system_category().message(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

/// A file open for reading that closes itself.
class Input {
 public:
  Input(const std::filesystem::path& path, ErrorKind kind) : path_(path), kind_(kind) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail();
  }
  ~Input() { ::close(descriptor_); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  std::size_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail();
    return status.st_size > 0 ? static_cast<std::size_t>(status.st_size) : 0;
  }

  /// Reads up to `size` bytes; 0 at the end.
  std::size_t read(char* data, std::size_t size) {
    while (true) {
      const ssize_t count = ::read(descriptor_, data, size);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) fail();
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(kind_, path_.string() + ": cannot be read: " + reason(errno));
  }

  const std::filesystem::path& path_;
  ErrorKind kind_;
  int descriptor_;
};

}  // namespace

DurableFile::DurableFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  temporary_ += ".tmp";
  // A rename would replace a folder's, a pipe's or a device's name by a plain file.
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode)) fail(EISDIR);
    throw Error(ErrorKind::output, path_.string() + ": cannot be written: not a regular file");
  }
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(errno);
}

DurableFile::~DurableFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void DurableFile::fail(int error) const {
  throw Error(ErrorKind::output, path_.string() + ": cannot be written: " + reason(error));
}

void DurableFile::write(const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = ::write(descriptor_, bytes, size);
    if (count < 0) {
      if (errno == EINTR) continue;
      fail(errno);
    }
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
}

void DurableFile::commit() {
  if (::fsync(descriptor_) != 0) fail(errno);
  // A file system over a network may report a full disk only here.
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail(error);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail(error);
  }
  flush_folder(path_.parent_path());
}

void write_file_durably(const std::filesystem::path& path, std::string_view bytes) {
  DurableFile file(path);
  file.write(bytes);
  file.commit();
}

void flush_folder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? std::filesystem::path(".") : folder;
  const int descriptor = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A folder that may be written but not listed cannot be opened: nothing more can be done for it.
  if (descriptor < 0 && errno == EACCES) return;
  const bool good = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  // Some file systems know no fsync of a folder and say EINVAL.
  if (!good && error != EINVAL) {
    throw Error(ErrorKind::output, name.string() + ": cannot be written: " + reason(error));
  }
}

std::string read_file(const std::filesystem::path& path, ErrorKind kind) {
  Input input(path, kind);
  std::string bytes(input.size(), '\0');
  std::size_t filled = 0;
  while (true) {
    // The size is a guess only: files below /proc say 0, and a file may grow meanwhile.
    if (filled == bytes.size()) bytes.resize(bytes.size() + 4096);
    const std::size_t count = input.read(bytes.data() + filled, bytes.size() - filled);
    if (count == 0) break;
    filled += count;
  }
  bytes.resize(filled);
  return bytes;
}

struct Sha256::Context {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();

  Context() = default;
  ~Context() { EVP_MD_CTX_free(handle); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

namespace {

void require_openssl(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL's SHA-256 failed");
}

}  // namespace

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  require_openssl(
      context_->handle == nullptr ? 0 : EVP_DigestInit_ex(context_->handle, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, std::size_t size) {
  require_openssl(EVP_DigestUpdate(context_->handle, data, size));
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  require_openssl(EVP_DigestFinal_ex(context_->handle, digest.data(), &size));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path, ErrorKind kind) {
  Input input(path, kind);
  Sha256 hash;
  std::vector<char> piece(kPiece);
  while (const std::size_t count = input.read(piece.data(), piece.size())) {
    hash.update(piece.data(), count);
  }
  return hash.hex();
}

}  // namespace clr
