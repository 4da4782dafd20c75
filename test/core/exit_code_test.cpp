// SPDX-License-Identifier: Apache-2.0
#include "clr/core/exit_code.h"

#include <torch/types.h>

#include "clr/core/error.h"
#include "support/catch.h"

namespace clr {
namespace {

template <class Exception>
ExitReport report(const Exception& exception) {
  return report_exception(std::make_exception_ptr(exception));
}

CATCH_TEST_CASE("Each kind of error is its exit code", "[core]") {
  CATCH_CHECK(report(Error(ErrorKind::usage, "a: b")).code == 2);
  CATCH_CHECK(report(Error(ErrorKind::config, "a: b")).code == 3);
  CATCH_CHECK(report(Error(ErrorKind::data, "a: b")).code == 4);
  CATCH_CHECK(report(Error(ErrorKind::checkpoint, "a: b")).code == 5);
  CATCH_CHECK(report(Error(ErrorKind::device, "a: b")).code == 6);
  CATCH_CHECK(report(Error(ErrorKind::diverged, "a: b")).code == 7);
  CATCH_CHECK(report(Error(ErrorKind::output, "a: b")).code == 8);
  CATCH_CHECK(report(Error(ErrorKind::stopped, "a: b")).code == 75);
  CATCH_CHECK(report(Error(ErrorKind::data, "a: b")).message == "a: b");
}

CATCH_TEST_CASE("What nobody expected is 70 and says what to report", "[core]") {
  const ExitReport bug = report(std::logic_error("first\nsecond"));
  CATCH_CHECK(bug.code == 70);
  CATCH_CHECK(bug.message.find("this is a bug in clr: first;") != std::string::npos);
  CATCH_CHECK(bug.message.find('\n') == std::string::npos);
  CATCH_CHECK(bug.message.find("clr --version") != std::string::npos);
  CATCH_CHECK(report(42).code == 70);
  try {
    torch::zeros({2}).view({3});
  } catch (...) {
    CATCH_CHECK(report_exception(std::current_exception()).code == 70);
  }
}

CATCH_TEST_CASE("Memory that ran out is the device's fault", "[core]") {
  CATCH_CHECK(report(std::bad_alloc()).code == 6);
  try {
    torch::empty({std::int64_t{1} << 50});
  } catch (...) {
    const ExitReport memory = report_exception(std::current_exception());
    CATCH_CHECK(memory.code == 6);
    CATCH_CHECK(memory.message.find("train.batch_size") != std::string::npos);
  }
}

}  // namespace
}  // namespace clr
