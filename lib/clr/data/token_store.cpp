// SPDX-License-Identifier: Apache-2.0
#include "clr/data/token_store.h"

#include <algorithm>
#include <utility>

#include "clr/core/error.h"
#include "clr/core/parallel.h"

namespace clr {
namespace {

/// What one thread cuts at a time.
struct Part {
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> counts;
  std::map<std::int64_t, std::string> bad;
};

}  // namespace

TokenStore::TokenStore(const TextDataset& texts, const WordPiece& pieces, int threads)
    : columns_(texts.columns()) {
  constexpr std::int64_t kItems = 4096;
  const std::int64_t size = texts.size();
  std::vector<Part> parts(static_cast<std::size_t>((size + kItems - 1) / kItems));
  parallel_for(static_cast<std::int64_t>(parts.size()), threads, [&](std::int64_t number) {
    Part& part = parts[static_cast<std::size_t>(number)];
    const std::int64_t last = std::min(size, (number + 1) * kItems);
    for (std::int64_t index = number * kItems; index < last; ++index) {
      for (std::int64_t column = 0; column < columns_; ++column) {
        const std::size_t before = part.ids.size();
        try {
          pieces.encode(texts.text(index, column), part.ids);
        } catch (const Error& error) {
          part.bad.emplace(index, error.what());
        }
        part.counts.push_back(part.ids.size() - before);
      }
    }
  });
  std::size_t total = 0;
  for (const Part& part : parts) total += part.ids.size();
  ids_.reserve(total);
  ends_.reserve(static_cast<std::size_t>(size * columns_));
  std::uint64_t end = 0;
  for (Part& part : parts) {
    ids_.insert(ids_.end(), part.ids.begin(), part.ids.end());
    for (const std::uint64_t count : part.counts) ends_.push_back(end += count);
    bad_.merge(part.bad);
    part = {};
  }
}

std::span<const std::int32_t> TokenStore::tokens(std::int64_t index, std::int64_t column) const {
  const auto at = static_cast<std::size_t>(index * columns_ + column);
  const std::uint64_t first = at == 0 ? 0 : ends_.at(at - 1);
  return std::span(ids_).subspan(first, ends_.at(at) - first);
}

void TokenStore::require_good(std::int64_t index) const {
  if (const auto found = bad_.find(index); found != bad_.end())
    throw Error(ErrorKind::data, found->second);
}

void TokenStore::require_all_good() const {
  if (!bad_.empty()) require_good(bad_.begin()->first);
}

std::vector<std::int64_t> TokenStore::counts(std::int32_t pieces) const {
  std::vector<std::int64_t> result(static_cast<std::size_t>(pieces), 0);
  for (const std::int32_t id : ids_) ++result.at(static_cast<std::size_t>(id));
  return result;
}

}  // namespace clr
