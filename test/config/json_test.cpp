// SPDX-License-Identifier: Apache-2.0
#include "clr/config/json.h"

#include "clr/config/fields.h"
#include "support/catch.h"

namespace clr {
namespace {

enum class Color { red, green };
constexpr auto enum_names(Color) { return std::array{"red", "green"}; }

struct Inner {
  double p = 0.5;
  static void fields(auto&& f) { f("p", &Inner::p, In{0, 1}, "probability"); }
};

/// A struct in another, which gives it a default of its own, and one that may be missing.
struct Around {
  Inner inner{0.75};
  std::optional<Inner> maybe;
  static void fields(auto&& f) {
    f("inner", &Around::inner, "always there");
    f("maybe", &Around::maybe, "there or not");
  }
};

struct Outer {
  std::int64_t count = 3;
  bool on = false;
  std::string name = "x";
  Color color = Color::red;
  AutoOr<double> l2;
  std::vector<Inner> list;
  std::array<double, 2> pair{0, 1};
  static void fields(auto&& f) {
    f("count", &Outer::count, In{1, 10}, "how many");
    f("on", &Outer::on, "switch");
    f("name", &Outer::name, "name");
    f("color", &Outer::color, "color");
    f("l2", &Outer::l2, AtLeast{0}, "factor");
    f("list", &Outer::list, "parts");
    f("pair", &Outer::pair, "range");
  }
};

Outer read(const std::string& text) {
  Outer outer;
  read_fields(parse_json(text, "t.json"), Place("t.json"), outer);
  return outer;
}

std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::config);
    return error.what();
  }
  return "accepted";
}

CATCH_TEST_CASE("JSON is read strictly", "[config]") {
  CATCH_CHECK(refusal(R"({"count": 1, "count": 2})") ==
              "t.json: duplicate key \"count\"; keep one");
  CATCH_CHECK(refusal(std::string(100, '[') + std::string(100, ']')) ==
              "t.json: expected at most 64 nested levels, got more");
  CATCH_CHECK(refusal("{\"count\": }").starts_with("t.json:1:"));
  CATCH_CHECK(refusal("{} {}").starts_with("t.json:1:"));
  CATCH_CHECK(refusal("").starts_with("t.json:1:"));
  // Depth counts what is open, not what was.
  CATCH_CHECK_NOTHROW(parse_json("[" + std::string(60, '[') + std::string(60, ']') + "]", "t"));
}

CATCH_TEST_CASE("Every kind of wrong value is refused with its place", "[config]") {
  CATCH_CHECK(refusal(R"({"count": 1.9})") ==
              "t.json: /count: expected an integer in [1, 10], got 1.9");
  CATCH_CHECK(refusal(R"({"count": 3.0})") ==
              "t.json: /count: expected an integer in [1, 10], got 3.0");
  CATCH_CHECK(refusal(R"({"count": true})") ==
              "t.json: /count: expected an integer in [1, 10], got true");
  CATCH_CHECK(refusal(R"({"count": -1})") ==
              "t.json: /count: expected an integer in [1, 10], got -1");
  CATCH_CHECK(refusal(R"({"count": 18446744073709551615})") ==
              "t.json: /count: expected an integer in [1, 10], got 18446744073709551615");
  CATCH_CHECK(refusal(R"({"count": 11})") ==
              "t.json: /count: expected an integer in [1, 10], got 11");
  CATCH_CHECK(refusal(R"({"on": 1})") == "t.json: /on: expected true or false, got 1");
  CATCH_CHECK(refusal(R"({"name": null})") == "t.json: /name: expected a string, got null");
  CATCH_CHECK(
      refusal(R"({"color": "gren"})") ==
      "t.json: /color: expected one of \"red\", \"green\", got \"gren\"; did you mean \"green\"?");
  CATCH_CHECK(refusal(R"({"l2": "automatic"})") ==
              "t.json: /l2: expected \"auto\" or a number at least 0, got \"automatic\"");
  CATCH_CHECK(refusal(R"({"l2": -1})") == "t.json: /l2: expected a number at least 0, got -1");
  CATCH_CHECK(refusal(R"({"list": [{}, {"p": 1.5}]})") ==
              "t.json: /list/1/p: expected a number in [0, 1], got 1.5");
  CATCH_CHECK(refusal(R"({"list": {"p": 1}})") == "t.json: /list: expected a list, got an object");
  CATCH_CHECK(refusal(R"({"pair": [1]})") ==
              "t.json: /pair: expected a list of 2, got a list of 1");
  CATCH_CHECK(refusal(R"({"colour": "red"})") ==
              "t.json: /colour: unknown key; did you mean \"color\"?");
  CATCH_CHECK(refusal(R"({"zzzzzzz": 1})") == "t.json: /zzzzzzz: unknown key");
  CATCH_CHECK(refusal("[]") == "t.json: /: expected an object, got a list of 0");
}

CATCH_TEST_CASE("Good values are taken and absent ones keep their defaults", "[config]") {
  const Outer outer =
      read(R"({"count": 10, "color": "green", "l2": 0.5, "list": [{"p": 1}, {}], "pair": [2, 3]})");
  CATCH_CHECK(outer.count == 10);
  CATCH_CHECK(outer.color == Color::green);
  CATCH_CHECK_FALSE(outer.l2.automatic);
  CATCH_CHECK(outer.l2.value == 0.5);
  CATCH_CHECK(outer.list.size() == 2);
  CATCH_CHECK(outer.list[0].p == 1.0);
  CATCH_CHECK(outer.list[1].p == 0.5);
  CATCH_CHECK(outer.pair[1] == 3.0);
  CATCH_CHECK_FALSE(outer.on);
  CATCH_CHECK(read(R"({"l2": "auto"})").l2.automatic);
}

CATCH_TEST_CASE("A dump is read back to itself", "[config]") {
  const Json dump = dump_value(read(R"({"count": 7, "l2": 0.001, "list": [{"p": 0.25}]})"));
  CATCH_CHECK(dump_value(read(dump.dump())) == dump);
  CATCH_CHECK(dump["list"][0]["p"] == 0.25);
  CATCH_CHECK(dump["l2"] == 0.001);
}

CATCH_TEST_CASE("The schema says what the reader does", "[config]") {
  const Json schema = fields_schema<Outer>();
  CATCH_CHECK(schema["additionalProperties"] == false);
  CATCH_CHECK(schema["properties"]["count"]["type"] == "integer");
  CATCH_CHECK(schema["properties"]["count"]["minimum"] == 1.0);
  CATCH_CHECK(schema["properties"]["count"]["default"] == 3);
  CATCH_CHECK(schema["properties"]["color"]["enum"] == Json::array({"red", "green"}));
  CATCH_CHECK(schema["properties"]["list"]["items"]["properties"]["p"]["maximum"] == 1.0);
}

CATCH_TEST_CASE("A section may be missing, and stays so", "[config]") {
  Around around;
  read_fields(parse_json("{}", "t.json"), Place("t.json"), around);
  CATCH_CHECK_FALSE(around.maybe);
  CATCH_CHECK(dump_value(around) == Json{{"inner", {{"p", 0.75}}}});
  read_fields(parse_json(R"({"maybe": {}})", "t.json"), Place("t.json"), around);
  CATCH_REQUIRE(around.maybe);
  CATCH_CHECK(dump_value(around)["maybe"] == Json{{"p", 0.5}});
  CATCH_CHECK_THROWS_WITH(
      read_fields(parse_json(R"({"maybe": {"p": 2}})", "t.json"), Place("t.json"), around),
      "t.json: /maybe/p: expected a number in [0, 1], got 2");
}

CATCH_TEST_CASE("The schema of a struct in another has the defaults that it gets there",
                "[config]") {
  const Json schema = fields_schema<Around>()["properties"];
  CATCH_CHECK(schema["inner"]["properties"]["p"]["default"] == 0.75);
  CATCH_CHECK(schema["maybe"]["properties"]["p"]["default"] == 0.5);
  CATCH_CHECK_FALSE(schema["maybe"].contains("default"));
}

CATCH_TEST_CASE("The nearest word is offered only when it is near", "[config]") {
  CATCH_CHECK(nearest("temprature", {"temperature", "type"}) == "temperature");
  CATCH_CHECK(nearest("xyz", {"temperature", "type"}).empty());
}

}  // namespace
}  // namespace clr
