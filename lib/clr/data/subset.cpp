// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <utility>

#include "clr/data/dataset.h"
#include "clr/data/fingerprint.h"

namespace clr {
namespace {

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> base, std::vector<std::int64_t> indices)
      : base_(std::move(base)), indices_(std::move(indices)) {
    for (const std::int64_t index : indices_) {
      if (index >= 0 && index < base_->size()) continue;
      throw std::out_of_range(
          fmt::format("subset: expected an index in [0, {}), got {}", base_->size(), index));
    }
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  Record get(std::int64_t index) const override { return base_->get(at(index)); }
  std::int64_t label(std::int64_t index) const override { return base_->label(at(index)); }
  std::string name(std::int64_t index) const override { return base_->name(at(index)); }
  std::string location(std::int64_t index) const override { return base_->location(at(index)); }
  const std::vector<std::string>& classes() const override { return base_->classes(); }

  std::string fingerprint() const override {
    Fingerprint result;
    result.add(base_->fingerprint());
    for (const std::int64_t index : indices_) result.add(index);
    return result.hex();
  }

 private:
  std::int64_t at(std::int64_t index) const { return indices_.at(static_cast<std::size_t>(index)); }

  std::shared_ptr<const Dataset> base_;
  std::vector<std::int64_t> indices_;
};

}  // namespace

std::unique_ptr<Dataset> make_subset(std::shared_ptr<const Dataset> base,
                                     std::vector<std::int64_t> indices) {
  return std::make_unique<Subset>(std::move(base), std::move(indices));
}

}  // namespace clr
