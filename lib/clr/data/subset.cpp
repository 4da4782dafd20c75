// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <utility>

#include "clr/data/dataset.h"
#include "clr/data/fingerprint.h"
#include "clr/data/text_dataset.h"

namespace clr {
namespace {

/// Some items of `Base`.
template <class Base>
class Subset : public Base {
 public:
  Subset(std::shared_ptr<const Base> base, std::vector<std::int64_t> indices)
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

 protected:
  const Base& base() const { return *base_; }
  std::int64_t at(std::int64_t index) const { return indices_.at(static_cast<std::size_t>(index)); }

 private:
  std::shared_ptr<const Base> base_;
  std::vector<std::int64_t> indices_;
};

class TextSubset final : public Subset<TextDataset> {
 public:
  using Subset::Subset;

  std::int64_t columns() const override { return base().columns(); }
  std::string_view text(std::int64_t index, std::int64_t column) const override {
    return base().text(at(index), column);
  }
  std::pair<std::int64_t, std::int64_t> document(std::int64_t index) const override {
    return home().document(index);
  }
  const TextDataset& home() const override { return base().home(); }
  std::int64_t at_home(std::int64_t index) const override { return base().at_home(at(index)); }
};

}  // namespace

std::unique_ptr<Dataset> make_subset(std::shared_ptr<const Dataset> base,
                                     std::vector<std::int64_t> indices) {
  if (auto texts = std::dynamic_pointer_cast<const TextDataset>(base))
    return std::make_unique<TextSubset>(std::move(texts), std::move(indices));
  return std::make_unique<Subset<Dataset>>(std::move(base), std::move(indices));
}

}  // namespace clr
