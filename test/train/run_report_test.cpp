// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_report.h"

#include <fmt/format.h>

#include "clr/io/file.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

Json config_of(double temperature, int seed) {
  return {{"method", {{"type", "simclr"}, {"temperature", temperature}}},
          {"augment",
           {{"views",
             Json::array({{{"count", 2},
                           {"chain", Json::array({{{"type", "random_resized_crop"},
                                                   {"scale", Json::array({0.2, 1.0})}}})}}})}}},
          {"train", {{"epochs", 2}, {"seed", seed}}}};
}

struct Made {
  Json config;
  double top1 = 0.0;
  bool finished = true;
  double loss = 2.0;
};

/// A run's folder as pretrain and linear-eval leave it.
fs::path make_run(const fs::path& folder, const Made& made) {
  fs::create_directories(folder / "linear_eval");
  write_file_durably(folder / "config.json", made.config.dump());
  write_file_durably(folder / "metrics.jsonl",
                     "{\"kind\":\"epoch\",\"step\":3,\"images_per_s\":100.0}\n"
                     "{\"kind\":\"epoch\",\"step\":6,\"images_per_s\":300.0}\n{\"kind\":\"st");
  if (!made.finished) return folder;
  write_file_durably(folder / "result.json",
                     Json{{"loss", made.loss}, {"images_per_s", 0.0}, {"knn_top1", 0.3}}.dump());
  write_file_durably(folder / "linear_eval" / "result.json",
                     Json{{"protocol", "lbfgs"},
                          {"top1", made.top1},
                          {"ci95", {made.top1 - 0.1, made.top1 + 0.1}},
                          {"knn", Json::array({{{"k", 10}, {"top1", 0.25}}})}}
                         .dump());
  return folder;
}

RunReport report_on(const fs::path& folder) {
  return make_report(read_run_records({folder.string()}));
}

template <class Work>
std::string message_of(ErrorKind kind, Work work) {
  try {
    work();
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == kind);
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

CATCH_TEST_CASE("Runs that differ in the seed only are a group", "[train]") {
  const TemporaryFolder folder;
  // Named so that the order of names is not that of values.
  make_run(folder.path() / "a", {config_of(10.0, 0), 0.5});
  make_run(folder.path() / "b", {config_of(9.0, 1), 0.4});
  make_run(folder.path() / "c", {config_of(9.0, 0), 0.8});
  const RunReport report = report_on(folder.path());
  CATCH_REQUIRE(report.keys.size() == 1);
  CATCH_CHECK(report.keys[0].pointer == "/method/temperature");
  CATCH_CHECK(report.keys[0].head == "temperature");
  CATCH_REQUIRE(report.groups.size() == 2);
  CATCH_CHECK(report.groups[0].values[0].get<double>() == 9.0);
  CATCH_CHECK(report.runs[report.groups[0].runs[0]].folder.filename() == "c");

  const MetricSummary& linear = report.groups[0].metrics.at("linear_top1");
  CATCH_CHECK(linear.summary.mean == Approx(0.6));
  CATCH_CHECK(linear.summary.deviation == Approx(0.282842712474619));
  // t(1) = 12.706 times 0.2, within 0 to 1.
  CATCH_CHECK(linear.summary.ci95[0] == 0.0);
  CATCH_CHECK(linear.summary.ci95[1] == 1.0);
  // A single run's interval is what its evaluation said.
  CATCH_CHECK(report.groups[1].metrics.at("linear_top1").summary.ci95[0] == Approx(0.4));
  // Two epochs of as many images at 100/s and 300/s.
  CATCH_CHECK(report.groups[0].metrics.at("images_per_s").summary.mean == Approx(150.0));
  CATCH_CHECK(report.groups[0].metrics.at("knn_top1").summary.mean == Approx(0.25));
  CATCH_CHECK(report.judged_by == "linear_top1");
  CATCH_CHECK(report.best == 0U);
  CATCH_CHECK(report.keys_tell_apart);
  const bool in_order =
      report.metrics == std::vector<std::string>{"loss", "training_knn_top1", "knn_top1",
                                                 "linear_top1", "images_per_s"};
  CATCH_CHECK(in_order);
}

CATCH_TEST_CASE("Other evaluations of a run have metrics of their own", "[train]") {
  const TemporaryFolder folder;
  const fs::path run = make_run(folder.path() / "a", {config_of(0.5, 0), 0.5});
  for (const char* name : {"linear_eval_projection", "finetune"}) {
    fs::create_directory(run / name);
    write_file_durably(run / name / "result.json", Json{{"top1", 0.7}}.dump());
  }
  fs::create_directory(run / "begun");
  write_file_durably(run / "begun" / "config.json", "{}");

  CATCH_SECTION("all of them") {
    const RunReport report = report_on(run);
    CATCH_REQUIRE(report.groups.size() == 1);
    const auto& metrics = report.groups[0].metrics;
    CATCH_CHECK(metrics.at("linear_projection_top1").summary.mean == 0.7);
    CATCH_CHECK(metrics.at("finetune_top1").summary.mean == 0.7);
    CATCH_CHECK(report.judged_by == "linear_top1");
    CATCH_CHECK(contains(report.runs[0].problem, "begun: not finished"));
  }
  CATCH_SECTION("one of them, named by its folder") {
    const RunReport report = report_on(run / "finetune");
    CATCH_REQUIRE(report.groups.size() == 1);
    CATCH_CHECK(report.judged_by == "finetune_top1");
    CATCH_CHECK_FALSE(report.groups[0].metrics.contains("linear_top1"));
  }
  CATCH_SECTION("a run named twice is one run") {
    CATCH_CHECK(
        read_run_records({run.string(), (run / "finetune").string(), folder.path().string()})
            .size() == 1);
  }
  CATCH_SECTION("a mean over several data sets is no linear accuracy") {
    const Json sets =
        Json::array({{{"data", "birds"}, {"top1", 0.9}}, {{"data", "cars"}, {"top1", 0.7}}});
    write_file_durably(run / "linear_eval" / "result.json",
                       Json{{"protocol", "lbfgs"}, {"top1", 0.8}, {"transfer", sets}}.dump());
    // Another run, on one set: it is not compared with the mean.
    make_run(folder.path() / "b", {config_of(0.1, 0), 0.5});
    const RunReport report = report_on(folder.path());
    CATCH_REQUIRE(report.groups.size() == 2);
    const auto& metrics = report.groups[1].metrics;
    CATCH_CHECK(metrics.at("transfer_top1").summary.mean == 0.8);
    CATCH_CHECK_FALSE(metrics.contains("linear_top1"));
    CATCH_CHECK_FALSE(metrics.contains("knn_top1"));
    CATCH_CHECK(report.judged_by == "linear_top1");
    CATCH_CHECK(report.best == 0U);
  }
  CATCH_SECTION("an evaluation that belongs to no run") {
    fs::create_directory(folder.path() / "bare");
    write_file_durably(
        folder.path() / "bare" / "result.json",
        Json{{"protocol", "lbfgs"}, {"layer", "projection"}, {"checkpoint", "x"}, {"top1", 0.9}}
            .dump());
    const RunReport report = report_on(folder.path());
    CATCH_CHECK(report.groups.size() == 2);
    CATCH_CHECK(report.keys.empty());
    CATCH_CHECK_FALSE(report.keys_tell_apart);
    CATCH_CHECK(std::any_of(report.groups.begin(), report.groups.end(), [](const auto& group) {
      return group.metrics.contains("linear_projection_top1") && !group.metrics.contains("loss");
    }));
  }
}

CATCH_TEST_CASE("What is not complete is named with its reason", "[train]") {
  const TemporaryFolder folder;
  make_run(folder.path() / "good", {config_of(0.5, 0), 0.5});
  make_run(folder.path() / "killed", {config_of(0.5, 1), 0.5, false});
  make_run(folder.path() / "torn", {config_of(0.5, 2), 0.5});
  write_file_durably(folder.path() / "torn" / "result.json", "{\"loss\": ");
  make_run(folder.path() / "odd", {config_of(0.5, 3), 0.5});
  write_file_durably(folder.path() / "odd" / "linear_eval" / "result.json", "{\"top1\": \"x\"}");
  fs::create_directory(folder.path() / "failed");
  write_file_durably(folder.path() / "failed" / "failed.txt", "exit 7: diverged\n");
  fs::create_directory(folder.path() / "unrelated");

  const RunReport report = report_on(folder.path());
  CATCH_REQUIRE(report.groups.size() == 1);
  CATCH_CHECK(report.groups[0].runs.size() == 1);
  const auto problem = [&report](const std::string& name) -> std::string {
    for (const RunRecord& run : report.runs) {
      if (run.folder.filename() == name) return run.problem;
    }
    return "no such run";
  };
  CATCH_CHECK(problem("good").empty());
  CATCH_CHECK(problem("killed") == "not finished: no result.json; 6 steps done");
  CATCH_CHECK(contains(problem("torn"), "result.json:1:"));
  CATCH_CHECK(contains(problem("odd"), "/top1: expected a number, got \"x\""));
  CATCH_CHECK(problem("failed") == "exit 7: diverged");
  CATCH_CHECK(report.runs.size() == 5);

  CATCH_CHECK(contains(message_of(ErrorKind::data, [] { read_run_records({"nowhere"}); }),
                       "nowhere: no such run"));
  CATCH_CHECK(
      contains(message_of(ErrorKind::data,
                          [&] { read_run_records({(folder.path() / "unrelated").string()}); }),
               "expected a run"));
}

CATCH_TEST_CASE("Keys are named by as many words as needed", "[train]") {
  const TemporaryFolder folder;
  Json first = config_of(0.5, 0);
  Json second = config_of(0.5, 0);
  second["encoder"] = {{"type", "resnet50"}};
  first["encoder"] = {{"type", "resnet18"}};
  first["optimizer"] = {{"type", "sgd"}, {"momentum", 0.9}};
  second["optimizer"] = {{"type", "adam"}, {"beta1", 0.9}};
  second["augment"]["views"][0]["chain"][0]["scale"] = {0.5, 1.0};

  CATCH_SECTION("types of two sections; a list of numbers is one value") {
    make_run(folder.path() / "a", {first, 0.5});
    make_run(folder.path() / "b", {second, 0.6});
    const RunReport report = report_on(folder.path());
    std::vector<std::string> heads;
    for (const ReportKey& key : report.keys) heads.push_back(key.head);
    // What only one of the optimisers has is no difference in a value.
    const bool as_expected =
        heads == std::vector<std::string>{"scale", "encoder.type", "optimizer.type"};
    CATCH_CHECK(as_expected);
    CATCH_CHECK(report.keys[0].pointer == "/augment/views/0/chain/0/scale");
    CATCH_CHECK(find_key(report, "scale", "--rows") == 0);
    CATCH_CHECK(find_key(report, "augment.views.0.chain.0.scale", "--rows") == 0);
    CATCH_CHECK(find_key(report, "/encoder/type", "--rows") == 1);
    CATCH_CHECK(
        contains(message_of(ErrorKind::usage, [&] { find_key(report, "encoder.typ", "--rows"); }),
                 "did you mean \"encoder.type\""));
    CATCH_CHECK(find_metric(report, "linear", "--value") == "linear_top1");
    CATCH_CHECK(
        contains(message_of(ErrorKind::usage, [&] { find_metric(report, "linea", "--value"); }),
                 "did you mean \"linear\""));
  }
  CATCH_SECTION("chains of other operations are one value") {
    Json third = first;
    third["augment"]["views"][0]["chain"].push_back({{"type", "solarize"}});
    make_run(folder.path() / "a", {first, 0.5});
    make_run(folder.path() / "c", {third, 0.6});
    const RunReport report = report_on(folder.path());
    CATCH_REQUIRE(report.keys.size() == 1);
    CATCH_CHECK(report.keys[0].pointer == "/augment/views/0/chain");
    CATCH_CHECK(value_text(report.groups[0].values[0]).size() <= 40);
  }
  CATCH_SECTION("labels stand for what they determine") {
    Json third = first;
    third["augment"]["views"][0]["chain"].push_back({{"type", "solarize"}});
    third["train"]["epochs"] = 4;
    Json longer = first;
    longer["train"]["epochs"] = 4;
    const auto label = [](const fs::path& run, const char* text) {
      write_file_durably(run / "labels.json", text);
    };
    label(make_run(folder.path() / "a", {first, 0.5}), R"({"op": "none"})");
    label(make_run(folder.path() / "b", {longer, 0.6}), R"({"op": "none"})");
    label(make_run(folder.path() / "c", {third, 0.7}), R"({"op": "solarize"})");
    const RunReport report = report_on(folder.path());
    CATCH_REQUIRE(report.keys.size() == 2);
    CATCH_CHECK(report.keys[0].pointer == "/labels/op");
    CATCH_CHECK(report.keys[1].pointer == "/train/epochs");

    const HeatMap map = make_heat_map(report, 0, 1, "linear_top1");
    const bool named = map.rows == std::vector<std::string>{"none", "solarize"} &&
                       map.columns == std::vector<std::string>{"2", "4"};
    CATCH_CHECK(named);
    CATCH_CHECK(*map.values[0][0] == Approx(50.0));
    CATCH_CHECK(*map.values[0][1] == Approx(60.0));
    CATCH_CHECK_FALSE(map.values[1][0].has_value());
    CATCH_CHECK(*map.values[1][1] == Approx(70.0));
    CATCH_CHECK(map.title == "linear top-1 in %, one run a cell");
  }
}

CATCH_TEST_CASE("A heat map's cell is the mean over seeds", "[train]") {
  const TemporaryFolder folder;
  for (const int seed : {0, 1, 2}) {
    for (const double temperature : {0.1, 0.5}) {
      for (const int epochs : {2, 10}) {
        Json config = config_of(temperature, seed);
        config["train"]["epochs"] = epochs;
        make_run(folder.path() / fmt::format("{}_{}_{}", temperature, epochs, seed),
                 {config, 0.1 * seed + temperature, true, epochs + seed / 10.0});
      }
    }
  }
  const RunReport report = report_on(folder.path());
  const HeatMap map = make_heat_map(report, find_key(report, "temperature", ""),
                                    find_key(report, "epochs", ""), "loss");
  CATCH_CHECK(map.title == "loss, mean of 3 runs a cell");
  const bool numbers_in_order = map.columns == std::vector<std::string>{"2", "10"};
  CATCH_CHECK(numbers_in_order);
  CATCH_CHECK(*map.values[0][0] == Approx(2.1));
  CATCH_CHECK(*map.values[1][1] == Approx(10.1));
}

}  // namespace clr
