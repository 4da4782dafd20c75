// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "clr/config/load.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/view_preview.h"
#include "clr/io/contact_sheet.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/train/run_config.h"
#include "clr/train/run_folder.h"
#include "data.h"
#include "view_sheet.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct ViewsOptions {
  std::string data;
  std::string config;
  std::string output;
  std::vector<std::string> sets;
  std::int64_t count = 8;
  std::int64_t seed = -1;
  bool json = false;
};

void run(const ViewsOptions& options) {
  require_drawing("data views");
  ConfigDocument document = load_config(options.config, "pretrain");
  for (const std::string& set : options.sets) document.set(set);
  if (options.seed >= 0) document.set("train.seed=" + std::to_string(options.seed));
  const RunConfig config = read_run_config(document);
  const std::shared_ptr<const Dataset> dataset =
      open_images(options.data, config.data, "clr data views");
  const auto augmenter = std::make_shared<const Augmenter>(config.augment);
  const fs::path folder = options.output;
  make_output_folder(folder);

  const std::int64_t count = std::min(options.count, dataset->size());
  const ViewPlaces places(config.augment, *augmenter);
  ViewPreview preview(dataset, augmenter, static_cast<std::uint64_t>(config.train.seed),
                      config.data);
  std::vector<SheetRow> rows;
  std::vector<std::vector<torch::Tensor>> views(augmenter->groups().size());
  std::vector<BadImage> bad;
  std::string lines;
  Progress progress("drawing views", count);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto shown = preview.show(i * dataset->size() / count, bad);
    progress.update(i + 1);
    if (!shown) continue;
    const std::string name = dataset->name(shown->index);
    for (std::size_t view = 0; view < places.views(); ++view) {
      lines += dump_text(Json{{"row", rows.size()},
                              {"index", shown->index},
                              {"name", name},
                              {"width", shown->original.width},
                              {"height", shown->original.height},
                              {"view", view},
                              {"group", places.group(view)},
                              {"operations", shown->parameters[view]}}) +
               "\n";
    }
    rows.push_back(places.row(*shown, name));
    for (std::size_t g = 0; g < views.size(); ++g) views[g].push_back(shown->groups[g]);
  }
  progress.finish();
  for (const BadImage& one : bad) log_warning("{}: {}", one.name, one.reason);
  if (rows.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: none of the {} images asked for can be read",
                                             options.data, count));
  }

  Json groups = Json::array();
  for (std::size_t g = 0; g < views.size(); ++g) {
    const fs::path path =
        folder / (views.size() == 1 ? "views.npy" : fmt::format("views_{}.npy", g));
    const torch::Tensor stacked = torch::stack(views[g]);
    write_npy(path, stacked);
    groups.push_back({{"file", path.string()}, {"shape", stacked.sizes().vec()}});
  }
  const fs::path sheet = folder / "sheet.png";
  const fs::path parameters = folder / "parameters.jsonl";
  write_file_durably(sheet, encode_png(draw_contact_sheet(rows)));
  write_file_durably(parameters, lines);
  log_info("{} images, {} views each: {}", rows.size(), places.views(), sheet.string());
  if (options.json) {
    print_json({{"output", options.output},
                {"images", rows.size()},
                {"views", places.views()},
                {"seed", config.train.seed},
                {"bad_images", bad.size()},
                {"sheet", sheet.string()},
                {"parameters", parameters.string()},
                {"groups", std::move(groups)}});
  }
}

}  // namespace

void add_data_views_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<ViewsOptions>();
  CLI::App* command =
      data.add_subcommand("views", "show images as training sees them, with what was drawn");
  command->add_option("data", options->data, "image folder, CIFAR folder or tar, or list file")
      ->type_name("PATH")
      ->required();
  command->add_option("--config", options->config, "training configuration or preset")->required();
  command->add_option("--count", options->count, "images, spread evenly over the data set")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--output", options->output,
                   "folder for sheet.png, views.npy and parameters.jsonl")
      ->required();
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_option("--seed", options->seed, "train.seed")->check(CLI::NonNegativeNumber);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
