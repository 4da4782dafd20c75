// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/shapes.h"
#include "clr/io/drawing.h"
#include "data.h"

namespace clr {
namespace {

struct ShapesCommandOptions {
  std::string out;
  ShapesOptions shapes;
  int threads = 0;
  bool json = false;
};

void require_every_class(const char* option, std::int64_t count, int classes) {
  if (count >= classes) return;
  throw Error(
      ErrorKind::usage,
      fmt::format("{}: expected an image or more of each of {} classes, got {}; raise it or "
                  "lower --classes",
                  option, classes, count));
}

void run(const ShapesCommandOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const ShapesOptions& shapes = options.shapes;
  require_drawing("data shapes");
  require_every_class("--train", shapes.train, shapes.classes);
  require_every_class("--test", shapes.test, shapes.classes);
  const int threads = all_cores_unless(options.threads);
  const std::int64_t images = shapes.train + shapes.test;
  {
    Progress progress("drawing", images);
    write_shapes(options.out, shapes, threads, [&](std::int64_t done) { progress.update(done); });
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::string train = (std::filesystem::path(options.out) / "train").string();
  const std::string test = (std::filesystem::path(options.out) / "test").string();
  log_info("{} images in {}", format_count(images), format_duration(seconds));
  print_facts({{"train", fmt::format("{}: {} images", train, format_count(shapes.train))},
               {"test", fmt::format("{}: {} images", test, format_count(shapes.test))},
               {"classes", fmt::format("{}, from {} to {}", shapes.classes,
                                       shape_class_names(shapes.classes).front(),
                                       shape_class_names(shapes.classes).back())},
               {"size", fmt::format("{0} x {0}", shapes.size)}});
  log_info("next: clr pretrain --config simclr_shapes --data {} --out runs/shapes", train);
  if (options.json) {
    print_json({{"out", options.out},
                {"train", shapes.train},
                {"test", shapes.test},
                {"size", shapes.size},
                {"seed", shapes.seed},
                {"classes", shape_class_names(shapes.classes)},
                {"seconds", seconds}});
  }
}

}  // namespace

void add_data_shapes_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<ShapesCommandOptions>();
  ShapesOptions& shapes = options->shapes;
  CLI::App* command = data.add_subcommand(
      "shapes", "draw a labelled image set in which shape and texture make the class");
  command
      ->add_option("out", options->out, "new or empty folder: OUT/train/CLASS and OUT/test/CLASS")
      ->type_name("OUT")
      ->required();
  command->add_option("--train", shapes.train, "training images")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--test", shapes.test, "test images")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--size", shapes.size, "side of the images in pixels")
      ->check(CLI::Range(kLeastShapeSize, kMostShapeSize))
      ->capture_default_str();
  command->add_option("--classes", shapes.classes, "classes")
      ->check(CLI::Range(2, kMostShapeClasses))
      ->capture_default_str();
  command->add_option("--seed", shapes.seed, "draws another set")->capture_default_str();
  command->add_option("--threads", options->threads, "threads that draw (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
