// SPDX-License-Identifier: Apache-2.0
#include "clr/config/load.h"

#include <filesystem>
#include <fstream>

#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

template <class Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

CATCH_TEST_CASE("extends merges, and each part remembers its file", "[config]") {
  const TemporaryFolder folder;
  write(folder.path() / "base.json", R"({"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": 5})");
  write(folder.path() / "top.json",
        R"({"extends": "base.json", "a": {"y": 3}, "list": [9], "gone": null})");
  ConfigDocument document = load_config((folder.path() / "top.json").string(), "pretrain");
  CATCH_CHECK(document.value == Json::parse(R"({"a": {"x": 1, "y": 3}, "list": [9]})"));
  const Place root = document.place();
  CATCH_CHECK((root / "a" / "x").str() == (folder.path() / "base.json").string() + ": /a/x");
  CATCH_CHECK((root / "a" / "y").str() == (folder.path() / "top.json").string() + ": /a/y");
  CATCH_CHECK((root / "list" / 0).str() == (folder.path() / "top.json").string() + ": /list/0");
}

CATCH_TEST_CASE("--set replaces values, list items and whole parts", "[config]") {
  const TemporaryFolder folder;
  write(folder.path() / "c.json", R"({"a": {"x": 1}, "list": [{"p": 1}, {"p": 2}]})");
  ConfigDocument document = load_config((folder.path() / "c.json").string(), "pretrain");
  document.set("a.x=2.5");
  document.set("a.text=hello");
  document.set("list.1.p=7");
  document.set("b.c.d=[1, 2]");
  CATCH_CHECK(
      document.value ==
      Json::parse(
          R"({"a": {"x": 2.5, "text": "hello"}, "list": [{"p": 1}, {"p": 7}], "b": {"c": {"d": [1, 2]}}})"));
  CATCH_CHECK((document.place() / "a" / "x").str() == "--set a.x=2.5: /a/x");
  CATCH_CHECK(message_of([&] { document.set("a.x"); }) == "--set a.x: expected key.path=value");
  CATCH_CHECK(message_of([&] { document.set("list.2.p=1"); }) ==
              "--set list.2.p=1: /list/2: expected an index below 2");
  document.set("list.2=3");
  CATCH_CHECK(document.value["list"] == Json::parse(R"([{"p": 1}, {"p": 7}, 3])"));
  CATCH_CHECK(message_of([&] { document.set("list.4=3"); }) ==
              "--set list.4=3: /list/4: expected an index below 3");
  CATCH_CHECK(message_of([&] { document.set("list.x=3"); }) ==
              "--set list.x=3: /list/x: expected an index below 3");
  CATCH_CHECK(message_of([&] { document.set("a.x.y=1"); }) ==
              "--set a.x.y=1: /a/x/y: expected an object or a list on the way, got 2.5");
}

CATCH_TEST_CASE("Missing files, cycles and wrong kinds are named", "[config]") {
  const TemporaryFolder folder;
  const std::string a = (folder.path() / "a.json").string();
  write(a, R"({"extends": "b.json"})");
  CATCH_CHECK(message_of([&] {
                load_config(a, "pretrain");
              }).starts_with(a + ": /extends: no such file: "));
  write(folder.path() / "b.json", R"({"extends": "a.json"})");
  CATCH_CHECK(message_of([&] { load_config(a, "pretrain"); }).find("remove the cycle") !=
              std::string::npos);
  write(folder.path() / "b.json", "[1]");
  CATCH_CHECK(message_of([&] { load_config(a, "pretrain"); }).find("expected an object") !=
              std::string::npos);
  CATCH_CHECK(message_of([&] { load_config((folder.path() / "no.json").string(), "pretrain"); }) ==
              (folder.path() / "no.json").string() + ": no such file");
}

CATCH_TEST_CASE("Presets are found by name, with a hint for a typo", "[config]") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "pretrain");
  write(folder.path() / "pretrain" / "good_name.json", R"({"a": 1})");
  setenv("CLR_CONFIGS", folder.path().c_str(), 1);
  CATCH_CHECK(load_config("good_name", "pretrain").value["a"] == 1);
  CATCH_CHECK(message_of([&] {
                load_config("god_name", "pretrain");
              }).find("did you mean \"good_name\"?") != std::string::npos);
  unsetenv("CLR_CONFIGS");
}

}  // namespace
}  // namespace clr
