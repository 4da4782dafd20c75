// SPDX-License-Identifier: Apache-2.0
#include "clr/core/exit_code.h"

#include <c10/util/Exception.h>

#include <new>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr int kBug = 70;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

ExitReport out_of_memory(const std::string& detail) {
  return {static_cast<int>(ErrorKind::device),
          "memory ran out: " + detail +
              "; lower train.batch_size or set train.micro_batch (clr pretrain --dry-run estimates "
              "the need)"};
}

ExitReport bug(const std::string& detail) {
  return {kBug,
          "internal: this is a bug in clr: " + detail +
              "; please report it with the command line, the configuration and clr --version"};
}

}  // namespace

ExitReport report_exception(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.exit_code(), first_line(error.what())};
  } catch (const std::bad_alloc&) {
    return out_of_memory("an allocation failed");
  } catch (const c10::OutOfMemoryError& error) {
    return out_of_memory(first_line(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string text = first_line(error.what_without_backtrace());
    // The CPU's allocator throws a plain error.
    if (text.find("can't allocate memory") != std::string::npos) return out_of_memory(text);
    return bug(text);
  } catch (const std::exception& error) {
    return bug(first_line(error.what()));
  } catch (...) {
    return bug("an exception of an unknown type");
  }
}

}  // namespace clr
