// SPDX-License-Identifier: Apache-2.0
// Vector width must not show in the pixels: the sums below are those of a build without
// optimisation and with -DCLR_SINGLE_VERSION. After a change that is meant to change pixels, take
// them from such a build.
#include <algorithm>
#include <cstring>

#include "augment/chains.h"
#include "clr/augment/resample_taps.h"
#include "clr/augment/row_resize.h"
#include "support/catch.h"

namespace clr {
namespace {

/// FNV-1a over the bytes.
std::uint64_t checksum(const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  std::uint64_t sum = 0xcbf29ce484222325U;
  for (const std::uint8_t byte : bytes) sum = (sum ^ byte) * 0x100000001b3U;
  return sum;
}

/// Nothing here is drawn, so that no other function of the C library than blur's exp() has a say.
std::uint64_t checksum_of(const Json& op, const OpParameters& parameters) {
  return checksum(test::apply_op(*test::make_op(op), parameters, test::make_image(75, 53)).values);
}

OpParameters values(std::array<float, 4> values, std::array<std::uint8_t, 4> order = {0, 1, 2, 3}) {
  OpParameters parameters;
  parameters.out = {75, 53};
  parameters.values = values;
  parameters.order = order;
  return parameters;
}

OpParameters crop(Region box, Size out) {
  OpParameters parameters;
  parameters.box = box;
  parameters.out = out;
  return parameters;
}

CATCH_TEST_CASE("every instruction set gives the same bytes", "[augment]") {
  const Json jitter{{"type", "color_jitter"}};
  CATCH_CHECK(checksum_of(jitter, values({1.3F, 1, 1, 0})) == 0xd04b8a50cdf5007bU);
  CATCH_CHECK(checksum_of(jitter, values({1, 0.7F, 1, 0})) == 0x65e42c97eb9aeb52U);
  CATCH_CHECK(checksum_of(jitter, values({1, 1, 1.6F, 0})) == 0x7ef2c7bb2edde6fU);
  CATCH_CHECK(checksum_of(jitter, values({1, 1, 1, -0.13F})) == 0x858bddd69dde9db2U);
  CATCH_CHECK(checksum_of(jitter, values({1.2F, 1.4F, 0.3F, 0.2F}, {3, 0, 1, 2})) ==
              0xfb480a14abfbb714U);
  CATCH_CHECK(checksum_of({{"type", "grayscale"}}, values({})) == 0xf9faa4c20374fa93U);
  CATCH_CHECK(checksum_of({{"type", "solarize"}}, values({0.5F})) == 0x3788babfb39feac0U);
  CATCH_CHECK(checksum_of({{"type", "normalize"}}, values({})) == 0xaefcda616c45ea03U);
  CATCH_CHECK(checksum_of({{"type", "horizontal_flip"}}, values({})) == 0x9de4e62314b56c56U);
  CATCH_CHECK(checksum_of({{"type", "gaussian_blur"}}, values({1.7F})) == 0xbf00ad8145c3ec52U);
  const Json bilinear{{"type", "random_resized_crop"}};
  const Json bicubic{{"type", "random_resized_crop"}, {"interpolation", "bicubic"}};
  for (const auto& [op, smaller, larger] :
       {std::tuple{bilinear, 0x2a346cbc3cf5e459U, 0xb7bdf3299b17e875U},
        std::tuple{bicubic, 0xfdd79d04821389abU, 0xc16b94aa076342baU}}) {
    CATCH_CHECK(checksum_of(op, crop({3, 1, 70, 51}, {29, 23})) == smaller);
    CATCH_CHECK(checksum_of(op, crop({10, 20, 31, 13}, {47, 41})) == larger);
  }
}

CATCH_TEST_CASE("every instruction set renders the same fused view", "[augment]") {
  Json chain = test::full_chain();
  chain[0]["size"] = 45;
  const Augmenter augmenter = test::make_augmenter(test::views_of(chain));
  ViewParameters view;
  view.ops.resize(chain.size());
  for (OpParameters& op : view.ops) op.out = {45, 45};
  view.ops[0].box = {3, 1, 70, 51};
  view.ops[2].values = {1.2F, 1.4F, 0.3F, 0.2F};
  view.ops[2].order = {3, 0, 1, 2};
  view.ops[3].active = false;
  view.ops[4].values = {1.7F};
  view.ops[5].values = {0.5F};
  CATCH_CHECK(checksum(test::render_floats(augmenter, test::make_image(75, 53), 0, view)) ==
              0xf4dda2daed7987f1U);
}

CATCH_TEST_CASE("every form of the horizontal pass gives the same bytes", "[augment]") {
  for (const int in : {1, 2, 7, 40, 150, 333, 900, 3000}) {
    for (const int out : {1, 3, 8, 16, 31, 96, 224}) {
      for (const bool mirrored : {false, true}) {
        Taps taps;
        make_taps(in, out, Interpolation::bicubic, taps);
        if (mirrored) std::reverse(taps.start.begin(), taps.start.end());
        std::array<std::vector<float>, 3> rows;
        std::array<const float*, 3> from{};
        for (std::uint32_t c = 0; c < 3; ++c) {
          rows[c].resize(static_cast<std::size_t>(in) + kRowPadding, 1e30F);
          for (int x = 0; x < in; ++x) {
            rows[c][static_cast<std::size_t>(x)] =
                Rng(9, {static_cast<std::uint64_t>(x), 0, 0}, OpId::none).uniform(c);
          }
          from[c] = rows[c].data();
        }
        const auto made_with = [&](VectorSet set) {
          std::vector<float> made(3 * static_cast<std::size_t>(out), -1.0F);
          resize_row_across(set, from, taps.start.data(), taps.weights.data(), taps.count, out,
                            {made.data(), made.data() + out, made.data() + 2 * out});
          return made;
        };
        const auto plain = made_with(VectorSet::plain);
        for (int set = 1; set <= static_cast<int>(best_vector_set()); ++set) {
          CATCH_CAPTURE(in, out, mirrored, set);
          CATCH_REQUIRE(made_with(static_cast<VectorSet>(set)) == plain);
        }
      }
    }
  }
}

}  // namespace
}  // namespace clr
