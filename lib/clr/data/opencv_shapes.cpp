// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "clr/core/rng.h"
#include "clr/data/shapes.h"
#include "clr/io/drawing.h"

namespace clr {
namespace {

constexpr double kPi = std::numbers::pi;

/// Masks are drawn this much larger and averaged down.
constexpr int kOversampling = 4;

/// Share of the object that the texture's first colour covers, the same for all textures: the
/// colours of an object do not tell its texture.
constexpr double kTextureShare = 0.4;

/// Radius of the circle of the object's area, by the side of the image.
constexpr double kLeastRadius = 0.23;
constexpr double kMostRadius = 0.30;

/// Farthest corner of any outline, by that radius: all outlines have the same room to be moved in.
constexpr double kReach = 1.6;

enum class Outline { circle, square, triangle, star, cross, heart };
enum class Texture { striped, dotted, ringed, rayed };
constexpr std::array<const char*, 6> kOutlineNames = {"circle", "square", "triangle",
                                                      "star",   "cross",  "heart"};
constexpr std::array<const char*, 4> kTextureNames = {"striped", "dotted", "ringed", "rayed"};

struct ShapeClass {
  Outline outline;
  Texture texture;
};

/// Ten of five outlines and two textures, ten more of the other textures, then the sixth outline.
ShapeClass class_of(int label) {
  if (label < 20) {
    return {static_cast<Outline>(label % 10 / 2),
            static_cast<Texture>(2 * (label / 10) + label % 2)};
  }
  return {Outline::heart, static_cast<Texture>(label - 20)};
}

/// Draws of one image, by number.
enum Draw : std::uint32_t {
  kDrawRadius,
  kDrawX,
  kDrawY,
  kDrawRotation,
  kDrawPhaseU,
  kDrawPhaseV,
  kDrawPeriod,
  kDrawSwap,
  kDrawDark,  // and two more
  kDrawLight = kDrawDark + 3,
};

using Polygon = std::vector<cv::Point2d>;

/// Corners at equal angles, with the radii given in turn.
Polygon radial(int corners, const std::vector<double>& radii) {
  Polygon polygon;
  for (int i = 0; i < corners; ++i) {
    const double angle = 2 * kPi * i / corners - kPi / 2;
    const double radius = radii[static_cast<std::size_t>(i) % radii.size()];
    polygon.emplace_back(radius * std::cos(angle), radius * std::sin(angle));
  }
  return polygon;
}

Polygon corners_of(Outline outline) {
  switch (outline) {
    case Outline::circle:
      return radial(96, {1.0});
    case Outline::square:
      return radial(4, {1.0});
    case Outline::triangle:
      return radial(3, {1.0});
    case Outline::star:
      return radial(10, {1.0, 0.45});
    case Outline::cross: {
      constexpr double kArm = 0.34;
      return {{-kArm, -1}, {kArm, -1}, {kArm, -kArm}, {1, -kArm}, {1, kArm},   {kArm, kArm},
              {kArm, 1},   {-kArm, 1}, {-kArm, kArm}, {-1, kArm}, {-1, -kArm}, {-kArm, -kArm}};
    }
    case Outline::heart:
      break;
  }
  Polygon heart;
  for (int i = 0; i < 96; ++i) {
    const double t = 2 * kPi * i / 96;
    heart.emplace_back(16 * std::pow(std::sin(t), 3), -13 * std::cos(t) + 5 * std::cos(2 * t) +
                                                          2 * std::cos(3 * t) + std::cos(4 * t));
  }
  return heart;
}

/// The outline with its centroid at the origin and the area of the unit circle.
Polygon unit_outline(Outline outline) {
  Polygon polygon = corners_of(outline);
  double area = 0.0;
  cv::Point2d moment(0, 0);
  for (std::size_t i = 0; i < polygon.size(); ++i) {
    const cv::Point2d a = polygon[i];
    const cv::Point2d b = polygon[(i + 1) % polygon.size()];
    area += a.cross(b) / 2;
    moment += (a + b) * (a.cross(b) / 6);
  }
  const double scale = std::sqrt(kPi / std::abs(area));
  for (cv::Point2d& corner : polygon) corner = (corner - moment / area) * scale;
  return polygon;
}

/// A mask of the outline, turned and scaled by `along`: where its x axis ends.
cv::Mat1b fill(const Polygon& outline, int side, const cv::Point2d& center,
               const cv::Point2d& along) {
  constexpr int kShift = 8;  // bits of a fraction of a pixel
  std::vector<cv::Point> corners;
  for (const cv::Point2d& corner : outline) {
    const cv::Point2d turned(corner.x * along.x - corner.y * along.y,
                             corner.x * along.y + corner.y * along.x);
    // The centre of the first pixel is at 0 for OpenCV, at 1/2 for us.
    const cv::Point2d place = (center + turned - cv::Point2d(0.5, 0.5)) * (1 << kShift);
    corners.emplace_back(static_cast<int>(std::lround(place.x)),
                         static_cast<int>(std::lround(place.y)));
  }
  cv::Mat1b mask = cv::Mat1b::zeros(side, side);
  cv::fillPoly(mask, std::vector<std::vector<cv::Point>>{corners}, cv::Scalar(255), cv::LINE_8,
               kShift);
  return mask;
}

/// What a texture looks like: its first colour is where this is largest. In units of the radius;
/// `period` is that of the stripes.
double texture_field(Texture texture, double u, double v, double period, double phase_u,
                     double phase_v) {
  const double turn = 2 * kPi / period;
  switch (texture) {
    case Texture::striped:
      return std::sin(turn * u + 2 * kPi * phase_u);
    case Texture::dotted: {
      // Three waves at 120 degrees add up on a triangular lattice.
      const double scale = turn / 1.1;
      const double x = scale * u + 2 * kPi * phase_u;
      const double y = scale * v + 2 * kPi * phase_v;
      const double half = y * std::sqrt(0.75);
      return std::cos(x) + std::cos(x / 2 + half) + std::cos(x / 2 - half);
    }
    case Texture::ringed:
      return std::sin(turn * std::hypot(u, v) + 2 * kPi * phase_u);
    case Texture::rayed:
      break;
  }
  return std::sin(7 * std::atan2(v, u) + 2 * kPi * phase_u);
}

/// A dark picture of soft clutter. Its grain is fine and even, so that little of it is recognised
/// in a random crop: what two crops of an image share and others lack should be the object.
cv::Mat3f draw_background(int number, int size, std::uint64_t seed) {
  const cv::Mat3f::value_type dark(0.2F, 0.2F, 0.2F);
  cv::Mat3f picture(size, size, dark);
  std::uint32_t layer = 0;
  for (const auto& [cells, strength] : {std::pair{4, 0.02}, std::pair{16, 0.08}}) {
    cv::Mat3f grid(cells, cells);
    std::uint64_t index = static_cast<std::uint64_t>(number) * 4096;
    for (auto& cell : grid) {
      const Rng rng(seed, {index++, layer, 0}, OpId::shape_background);
      const double gray = rng.uniform(3, -strength, strength);
      for (int c = 0; c < 3; ++c) {
        const auto draw = static_cast<std::uint32_t>(c);
        cell[c] = static_cast<float>(gray + rng.uniform(draw, -strength / 4, strength / 4));
      }
    }
    ++layer;
    cv::Mat3f smooth;
    cv::resize(grid, smooth, picture.size(), 0, 0, cv::INTER_CUBIC);
    picture += smooth;
  }
  return picture;
}

/// A random hue of about the given brightness.
cv::Vec3f draw_color(const Rng& rng, std::uint32_t draw, double least, double most) {
  const double hue = rng.uniform(draw, 0.0, 6.0);
  const double brightness = rng.uniform(draw + 1, least, most);
  const double depth = rng.uniform(draw + 2, 0.0, 0.3);
  cv::Vec3f color;
  for (int c = 0; c < 3; ++c) {
    // Each channel rises and falls once around the wheel, a third of it after the one before.
    const double away = std::abs(std::remainder(hue - 2.0 * c, 6.0));
    const double share = std::clamp(2.0 - away, 0.0, 1.0);
    color[c] = static_cast<float>(std::clamp(brightness + depth * (share - 0.5), 0.0, 1.0));
  }
  return color;
}

}  // namespace

std::vector<std::string> shape_class_names(int classes) {
  std::vector<std::string> names;
  for (int label = 0; label < classes; ++label) {
    const ShapeClass one = class_of(label);
    names.push_back(std::string(kOutlineNames[static_cast<std::size_t>(one.outline)]) + "_" +
                    kTextureNames[static_cast<std::size_t>(one.texture)]);
  }
  return names;
}

struct ShapeArtist::Impl {
  int size = 0;
  int classes = 0;
  std::uint64_t seed = 0;
  std::vector<Polygon> outlines{};
  std::vector<cv::Mat3f> backgrounds{};
};

ShapeArtist::ShapeArtist(int size, int classes, std::uint64_t seed)
    : impl_(std::make_unique<Impl>(Impl{size, classes, seed})) {
  quieten_opencv();
  for (std::size_t i = 0; i < kOutlineNames.size(); ++i) {
    impl_->outlines.push_back(unit_outline(static_cast<Outline>(i)));
  }
  for (int i = 0; i < kShapeBackgrounds; ++i) {
    impl_->backgrounds.push_back(draw_background(i, size, seed));
  }
}

ShapeArtist::~ShapeArtist() = default;

DrawnShape ShapeArtist::draw(ShapesSplit split, std::int64_t index) const {
  const Rng rng(impl_->seed,
                {static_cast<std::uint64_t>(index), static_cast<std::uint32_t>(split), 0},
                OpId::shape);
  DrawnShape drawn;
  drawn.label = static_cast<int>(index % impl_->classes);
  drawn.background = static_cast<int>(index / impl_->classes % kShapeBackgrounds);
  const ShapeClass shape = class_of(drawn.label);

  const int side = kOversampling * impl_->size;
  const double radius = side * rng.uniform(kDrawRadius, kLeastRadius, kMostRadius);
  const double room = std::max(0.0, side / 2.0 - kReach * radius);
  const cv::Point2d center(side / 2.0 + rng.uniform(kDrawX, -room, room),
                           side / 2.0 + rng.uniform(kDrawY, -room, room));
  const double rotation = rng.uniform(kDrawRotation, -kPi / 6, kPi / 6);
  const cv::Point2d along(std::cos(rotation), std::sin(rotation));

  const Polygon& outline = impl_->outlines[static_cast<std::size_t>(shape.outline)];
  const double wanted = kPi * radius * radius;
  cv::Mat1b object = fill(outline, side, center, along * radius);
  // What is filled takes in the pixels of the border, of which a star has more than a circle.
  object =
      fill(outline, side, center, along * (radius * std::sqrt(wanted / cv::countNonZero(object))));

  const double period = rng.uniform(kDrawPeriod, 0.55, 0.65);
  const double phase_u = rng.uniform(kDrawPhaseU, 0.0, 1.0);
  const double phase_v = rng.uniform(kDrawPhaseV, 0.0, 1.0);
  std::vector<cv::Point> pixels;
  cv::findNonZero(object, pixels);
  std::vector<float> field;
  field.reserve(pixels.size());
  for (const cv::Point& pixel : pixels) {
    const cv::Point2d offset =
        (cv::Point2d(pixel.x + 0.5, pixel.y + 0.5) - center) * (1.0 / radius);
    field.push_back(static_cast<float>(texture_field(
        shape.texture, offset.dot(along), along.cross(offset), period, phase_u, phase_v)));
  }
  std::vector<float> ranked = field;
  const auto cut = ranked.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(ranked.size()) *
                                                                (1 - kTextureShare));
  std::nth_element(ranked.begin(), cut, ranked.end());
  cv::Mat1b first = cv::Mat1b::zeros(side, side);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (field[i] >= *cut) first(pixels[i]) = 255;
  }

  const cv::Moments moments = cv::moments(object, true);
  drawn.area = moments.m00 / (kOversampling * kOversampling);
  drawn.center_x = (moments.m10 / moments.m00 + 0.5) / kOversampling;
  drawn.center_y = (moments.m01 / moments.m00 + 0.5) / kOversampling;

  const cv::Vec3f colors[2] = {draw_color(rng, kDrawDark, 0.40, 0.50),
                               draw_color(rng, kDrawLight, 0.88, 0.98)};
  const cv::Size small(impl_->size, impl_->size);
  cv::Mat1b object_share;
  cv::Mat1b first_share;
  cv::resize(object, object_share, small, 0, 0, cv::INTER_AREA);
  cv::resize(first, first_share, small, 0, 0, cv::INTER_AREA);
  const cv::Mat3f& background = impl_->backgrounds[static_cast<std::size_t>(drawn.background)];
  drawn.image.width = impl_->size;
  drawn.image.height = impl_->size;
  drawn.image.pixels.reserve(3 * small.area());
  for (int y = 0; y < impl_->size; ++y) {
    for (int x = 0; x < impl_->size; ++x) {
      const float all = static_cast<float>(object_share(y, x)) / 255.0F;
      const float one = static_cast<float>(first_share(y, x)) / 255.0F;
      const cv::Vec3f color =
          background(y, x) * (1.0F - all) + colors[0] * one + colors[1] * (all - one);
      for (int c = 0; c < 3; ++c) {
        drawn.image.pixels.push_back(cv::saturate_cast<std::uint8_t>(255.0F * color[c]));
      }
    }
  }
  return drawn;
}

}  // namespace clr
