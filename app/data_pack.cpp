// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "clr/config/load.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/core/stop.h"
#include "clr/data/pack_writer.h"
#include "clr/train/eval_config.h"
#include "data.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::size_t kMostListed = 20;

struct PackCommandOptions {
  std::string data;
  std::string out;
  std::string format = "jpeg";
  PackOptions pack;
  std::optional<std::int64_t> side;
  std::vector<std::string> sets;
  int threads = 0;
  bool force = false;
  bool json = false;
};

void check_output(const PackCommandOptions& options) {
  if (!options.out.ends_with(".clrpack")) {
    throw Error(ErrorKind::usage,
                options.out + ": expected a name that ends with .clrpack, got another");
  }
  std::error_code ignored;
  if (fs::exists(options.out, ignored) && !options.force) {
    throw Error(
        ErrorKind::usage,
        options.out + ": is there already; add --force to write it anew, or choose another");
  }
}

void run(PackCommandOptions options) {
  const auto start = std::chrono::steady_clock::now();
  check_output(options);
  read_value(Json(options.format), Place("--format"), options.pack.format);
  if (options.pack.format == PackFormat::original) {
    if (options.side.value_or(0) != 0) {
      throw Error(ErrorKind::usage,
                  "--side: expected none with --format original, which changes no file; use jpeg");
    }
    options.pack.side = 0;
  }
  if (options.side) options.pack.side = *options.side;
  ConfigDocument document;
  for (const std::string& set : options.sets) document.set(set);
  const DataConfig config = read_eval_config(document).data;
  const auto dataset = open_images(options.data, config, "clr data pack");
  catch_stop_signals();
  PackSummary summary;
  {
    Progress progress("packing", dataset->size());
    summary =
        write_pack(*dataset, config, options.pack, options.out, all_cores_unless(options.threads),
                   [&](std::int64_t done) { progress.update(done); });
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (std::size_t i = 0; i < summary.left_out.size() && i < kMostListed; ++i) {
    log_warning("left out: {}: {}", summary.left_out[i].name, summary.left_out[i].reason);
  }
  if (summary.left_out.size() > kMostListed) {
    log_warning("... and {} more", summary.left_out.size() - kMostListed);
  }
  log_info("{} images in {}", format_count(summary.images), format_duration(seconds));
  const auto bytes = static_cast<double>(summary.bytes);
  print_facts(
      {{"pack", options.out},
       {"images", fmt::format("{}; {} reduced to a shorter side of {}, {} taken as they are",
                              format_count(summary.images), format_count(summary.reduced),
                              options.pack.side, format_count(summary.unchanged))},
       {"left out", format_count(static_cast<std::int64_t>(summary.left_out.size()))},
       {"classes", format_count(static_cast<std::int64_t>(dataset->classes().size()))},
       {"size", fmt::format("{}, {} an image", format_bytes(bytes),
                            format_bytes(bytes / static_cast<double>(summary.images)))}});
  log_info("next: --data {} wherever images are read", options.out);
  if (options.json) {
    print_json({{"out", options.out},
                {"images", summary.images},
                {"reduced", summary.reduced},
                {"unchanged", summary.unchanged},
                {"left_out", summary.left_out.size()},
                {"classes", dataset->classes()},
                {"bytes", summary.bytes},
                {"seconds", seconds}});
  }
}

}  // namespace

void add_data_pack_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<PackCommandOptions>();
  CLI::App* command =
      data.add_subcommand("pack", "write a set into one file that loads faster: smaller, in order");
  command->add_option("data", options->data, "images, as --data takes them")
      ->type_name("PATH")
      ->required();
  command->add_option("out", options->out, "the file, with all labels and names")
      ->type_name("OUT.clrpack")
      ->required();
  command
      ->add_option("--format", options->format,
                   "jpeg: encoded anew where needed; raw: pixels; original: files as they are")
      ->check(CLI::IsMember({"jpeg", "raw", "original"}))
      ->capture_default_str();
  command
      ->add_option("--side", options->side,
                   "reduce images whose shorter side is longer (default: 256; 0: none)")
      ->check(CLI::Range(0, 65500));
  command->add_option("--quality", options->pack.quality, "of JPEGs that are encoded")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--set", options->sets, "data.KEY=VALUE, repeatable")
      ->allow_extra_args(false);
  command->add_option("--threads", options->threads, "threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--force", options->force, "replace OUT.clrpack if it is there");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
