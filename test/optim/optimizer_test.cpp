// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: weight decay written into the gradients or given to excluded
// groups, LARS adapting excluded groups or adding decay after the norms, buffers of another memory
// layout walked as they lie, one step count for all of Adam's parameters, constant rates that are
// scheduled.
#include "clr/optim/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>
#include <random>

#include "clr/optim/schedule.h"
#include "support/catch.h"

namespace {

using clr::Json;
using clr::NamedTensors;
using clr::Optimizer;
using clr::OptimizerGroup;
using torch::Tensor;

clr::Component<Optimizer> describe(const Json& json) {
  clr::Component<Optimizer> component;
  component.read(json, clr::Place("test"));
  return component;
}

Tensor random(std::vector<std::int64_t> shape, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor values = torch::empty(shape);
  for (std::int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = normal(engine);
  return values;
}

/// A convolution, a matrix, a bias and a scale.
NamedTensors make_parameters() {
  NamedTensors parameters{{"conv.weight", random({4, 3, 3, 3}, 1)},
                          {"linear.weight", random({5, 7}, 2)},
                          {"linear.bias", random({5}, 3)},
                          {"norm.weight", random({37}, 4)}};
  for (auto& item : parameters) item.second.requires_grad_();
  return parameters;
}

std::vector<OptimizerGroup> one_group(const NamedTensors& parameters) {
  return {OptimizerGroup{parameters, false, 1.0, false}};
}

/// Gradients that depend on the parameter and the step, so that an error in one step stays.
void set_gradients(const NamedTensors& parameters, int step) {
  std::uint32_t seed = 100 * static_cast<std::uint32_t>(step + 1);
  for (const auto& [name, parameter] : parameters) {
    const Tensor noise = random(parameter.sizes().vec(), ++seed);
    parameter.mutable_grad() = 0.3 * parameter.detach() + noise.to(parameter.dtype());
  }
}

std::vector<Tensor> tensors(const NamedTensors& named) {
  std::vector<Tensor> result;
  for (const auto& item : named) result.push_back(item.second);
  return result;
}

NamedTensors cloned(const NamedTensors& named) {
  NamedTensors result;
  for (const auto& [name, tensor] : named) {
    result.emplace_back(name, tensor.detach().clone().requires_grad_(tensor.requires_grad()));
  }
  return result;
}

double largest_difference(const NamedTensors& a, const NamedTensors& b) {
  double largest = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    largest = std::max(largest, (a[k].second - b[k].second).abs().max().item<double>());
  }
  return largest;
}

bool same_bytes(const NamedTensors& a, const NamedTensors& b) {
  bool same = a.size() == b.size();
  for (std::size_t k = 0; same && k < a.size(); ++k) {
    same = a[k].first == b[k].first && torch::equal(a[k].second, b[k].second);
  }
  return same;
}

double rate_of(int step) { return 0.05 * (1 + 0.3 * std::cos(step)); }

const std::vector<Json> kAll{
    {{"type", "sgd"}, {"momentum", 0.0}, {"weight_decay", 0.01}},
    {{"type", "sgd"}, {"momentum", 0.9}, {"weight_decay", 0.01}},
    {{"type", "sgd"}, {"momentum", 0.8}, {"nesterov", true}, {"weight_decay", 0.02}},
    {{"type", "lars"}, {"weight_decay", 0.01}, {"trust_coefficient", 0.02}},
    {{"type", "lars"}, {"nesterov", true}, {"clip", true}, {"trust_coefficient", 0.02}},
    {{"type", "adam"}, {"weight_decay", 0.1}, {"beta1", 0.8}, {"beta2", 0.95}},
    {{"type", "adamw"}, {"weight_decay", 0.1}, {"eps", 1e-3}},
};

}  // namespace

CATCH_TEST_CASE("sgd, adam and adamw are torch::optim's", "[optim]") {
  CATCH_REQUIRE(clr::optimizers().names() ==
                std::vector<std::string>{"sgd", "lars", "adam", "adamw"});
  for (const Json& json : kAll) {
    if (json["type"] == "lars") continue;
    CATCH_INFO(json.dump());
    const NamedTensors ours = make_parameters();
    const NamedTensors theirs = cloned(ours);
    const auto optimizer = clr::optimizers().make(describe(json), one_group(ours));
    std::unique_ptr<torch::optim::Optimizer> expected;
    const double decay = json["weight_decay"];
    if (json["type"] == "sgd") {
      const auto options = torch::optim::SGDOptions(0.1)
                               .momentum(json["momentum"].get<double>())
                               .nesterov(json.value("nesterov", false))
                               .weight_decay(decay);
      expected = std::make_unique<torch::optim::SGD>(tensors(theirs), options);
    } else {
      const std::tuple<double, double> betas{json.value("beta1", 0.9), json.value("beta2", 0.999)};
      const double eps = json.value("eps", 1e-8);
      if (json["type"] == "adam") {
        expected = std::make_unique<torch::optim::Adam>(
            tensors(theirs), torch::optim::AdamOptions().betas(betas).eps(eps).weight_decay(decay));
      } else {
        expected = std::make_unique<torch::optim::AdamW>(
            tensors(theirs),
            torch::optim::AdamWOptions().betas(betas).eps(eps).weight_decay(decay));
      }
    }
    for (int step = 0; step < 10; ++step) {
      set_gradients(ours, step);
      set_gradients(theirs, step);
      for (auto& group : expected->param_groups()) group.options().set_lr(rate_of(step));
      expected->step();
      optimizer->step(rate_of(step), 99.0);
    }
    CATCH_CHECK(largest_difference(ours, theirs) < 1e-6);
    CATCH_CHECK(largest_difference(ours, make_parameters()) > 0.05);
  }
}

CATCH_TEST_CASE("lars is its formula in float64", "[optim]") {
  for (const bool nesterov : {false, true}) {
    for (const bool clip : {false, true}) {
      CATCH_INFO("nesterov " << nesterov << ", clip " << clip);
      NamedTensors parameters = make_parameters();
      parameters.emplace_back("zeros", torch::zeros({4}, torch::requires_grad()));
      NamedTensors exact;
      std::vector<Tensor> momentum;
      for (const auto& [name, parameter] : parameters) {
        exact.emplace_back(name, parameter.detach().to(torch::kFloat64));
        momentum.push_back(torch::zeros_like(exact.back().second));
      }
      const double decay = 0.05;
      const double trust = 0.04;  // so that clipping takes part of the parameters
      const OptimizerGroup adapted{
          {parameters[0], parameters[1], parameters[4]}, false, 1.0, false};
      const OptimizerGroup excluded{{parameters[2], parameters[3]}, true, 1.0, false};
      const auto optimizer = clr::optimizers().make(describe({{"type", "lars"},
                                                              {"momentum", 0.7},
                                                              {"nesterov", nesterov},
                                                              {"clip", clip},
                                                              {"weight_decay", decay},
                                                              {"trust_coefficient", trust},
                                                              {"eps", 1e-3}}),
                                                    {adapted, excluded});
      int clipped = 0;
      int adaptive = 0;
      for (int step = 0; step < 10; ++step) {
        const double rate = rate_of(step);
        set_gradients(parameters, step);
        if (step == 3) parameters[1].second.mutable_grad().zero_();
        for (std::size_t k = 0; k < exact.size(); ++k) {
          Tensor& p = exact[k].second;
          Tensor g = parameters[k].second.grad().to(torch::kFloat64);
          if (k != 2 && k != 3) {
            g = g + decay * p;
            const double p_norm = p.norm().item<double>();
            const double g_norm = g.norm().item<double>();
            if (p_norm > 0 && g_norm > 0) {
              double factor = trust * p_norm / (g_norm + 1e-3);
              if (clip && factor > rate) {
                factor = rate;
                ++clipped;
              } else {
                ++adaptive;
              }
              g = g * (clip ? factor / rate : factor);
            }
          }
          momentum[k] = 0.7 * momentum[k] + g;
          p -= rate * (nesterov ? g + 0.7 * momentum[k] : momentum[k]);
        }
        optimizer->step(rate, 99.0);
      }
      if (clip) CATCH_CHECK((clipped > 0 && adaptive > 0));
      CATCH_CHECK(largest_difference(parameters, exact) < 1e-6);
    }
  }
}

CATCH_TEST_CASE("gradients are read, not written", "[optim]") {
  for (const Json& json : kAll) {
    CATCH_INFO(json.dump());
    const NamedTensors parameters = make_parameters();
    const auto optimizer = clr::optimizers().make(describe(json), one_group(parameters));
    for (int step = 0; step < 2; ++step) {
      set_gradients(parameters, step);
      NamedTensors before;
      for (const auto& [name, parameter] : parameters) {
        before.emplace_back(name, parameter.grad().clone());
      }
      optimizer->step(0.1, 0.1);
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        CATCH_CHECK(torch::equal(parameters[k].second.grad(), before[k].second));
      }
    }
    optimizer->zero_grad();
    for (const auto& item : parameters) CATCH_CHECK_FALSE(item.second.grad().defined());
  }
}

CATCH_TEST_CASE("a parameter without a gradient is left alone", "[optim]") {
  for (const Json& json : kAll) {
    CATCH_INFO(json.dump());
    const NamedTensors parameters = make_parameters();
    const auto optimizer = clr::optimizers().make(describe(json), one_group(parameters));
    const Tensor before = parameters[1].second.detach().clone();
    for (int step = 0; step < 3; ++step) {
      set_gradients(parameters, step);
      parameters[1].second.mutable_grad().reset();
      optimizer->step(0.1, 0.1);
    }
    CATCH_CHECK(torch::equal(parameters[1].second, before));

    // It then starts as if the steps before had not been.
    const NamedTensors alone{{"linear.weight", before.clone().requires_grad_()}};
    const auto fresh = clr::optimizers().make(describe(json), one_group(alone));
    set_gradients(alone, 5);
    parameters[1].second.mutable_grad() = alone[0].second.grad().clone();
    optimizer->step(0.1, 0.1);
    fresh->step(0.1, 0.1);
    CATCH_CHECK(torch::equal(parameters[1].second, alone[0].second));
  }
}

CATCH_TEST_CASE("groups have their own rates and exclusions", "[optim]") {
  for (const Json& json : kAll) {
    CATCH_INFO(json.dump());
    const NamedTensors start = make_parameters();
    const NamedTensors together = cloned(start);
    const std::vector<OptimizerGroup> groups{{{together[0]}, false, 1.0, false},
                                             {{together[1]}, false, 0.1, false},
                                             {{together[2]}, false, 1.0, true},
                                             {{together[3]}, true, 10.0, true}};
    const auto optimizer = clr::optimizers().make(describe(json), groups);
    set_gradients(together, 0);
    optimizer->step(0.05, 0.2);

    const std::vector<double> rates{0.05, 0.005, 0.2, 2.0};
    for (std::size_t k = 0; k < start.size(); ++k) {
      CATCH_INFO(start[k].first);
      const NamedTensors alone = cloned({start[k]});
      Json plain = json;
      if (k == 3) {
        plain["weight_decay"] = 0.0;
        if (json["type"] == "lars") {
          plain = {{"type", "sgd"}, {"nesterov", json.value("nesterov", false)}};
        }
      }
      const auto single = clr::optimizers().make(describe(plain), one_group(alone));
      alone[0].second.mutable_grad() = together[k].second.grad().clone();
      single->step(rates[k], 99.0);
      CATCH_CHECK(largest_difference({together[k]}, alone) < 1e-7);
      CATCH_CHECK_FALSE(torch::equal(alone[0].second, start[k].second));
    }
  }
}

CATCH_TEST_CASE("state saved and loaded continues exactly", "[optim]") {
  for (const Json& json : kAll) {
    CATCH_INFO(json.dump());
    const NamedTensors unbroken = make_parameters();
    const auto first = clr::optimizers().make(describe(json), one_group(unbroken));
    for (int step = 0; step < 5; ++step) {
      set_gradients(unbroken, step);
      first->step(rate_of(step), 1.0);
    }
    const NamedTensors resumed = cloned(unbroken);
    const NamedTensors saved = cloned(first->state());
    const auto second = clr::optimizers().make(describe(json), one_group(resumed));
    second->load_state(saved);
    CATCH_CHECK(same_bytes(second->state(), saved));
    for (int step = 5; step < 10; ++step) {
      set_gradients(unbroken, step);
      set_gradients(resumed, step);
      first->step(rate_of(step), 1.0);
      second->step(rate_of(step), 1.0);
    }
    CATCH_CHECK(same_bytes(resumed, unbroken));
    CATCH_CHECK(same_bytes(second->state(), first->state()));
    // The loaded tensors were copied, not kept.
    if (!saved.empty()) CATCH_CHECK_FALSE(same_bytes(second->state(), saved));
  }
}

CATCH_TEST_CASE("names of the state", "[optim]") {
  const NamedTensors parameters{{"a.weight", torch::ones({2, 3}, torch::requires_grad())},
                                {"b", torch::ones({4}, torch::requires_grad())}};
  const auto names = [&](const Json& json) {
    std::vector<std::string> result;
    for (const auto& item :
         clr::optimizers().make(describe(json), one_group(parameters))->state()) {
      result.push_back(item.first);
    }
    return result;
  };
  using Names = std::vector<std::string>;
  CATCH_CHECK(names({{"type", "sgd"}}) == Names{"momentum.a.weight", "momentum.b"});
  CATCH_CHECK(names({{"type", "sgd"}, {"momentum", 0}}).empty());
  CATCH_CHECK(names({{"type", "lars"}}) == Names{"momentum.a.weight", "momentum.b"});
  CATCH_CHECK(names({{"type", "adamw"}}) == Names{"exp_avg.a.weight", "exp_avg.b",
                                                  "exp_avg_sq.a.weight", "exp_avg_sq.b",
                                                  "step.a.weight", "step.b"});
}

CATCH_TEST_CASE("state of something else is refused", "[optim]") {
  const NamedTensors parameters = make_parameters();
  const auto optimizer =
      clr::optimizers().make(describe({{"type", "adam"}}), one_group(parameters));
  const NamedTensors good = cloned(optimizer->state());
  const auto message = [&](const NamedTensors& state) -> std::string {
    try {
      optimizer->load_state(state);
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::checkpoint);
      return error.what();
    }
    return "";
  };
  CATCH_CHECK(message(good).empty());
  NamedTensors state(good.begin() + 1, good.end());
  CATCH_CHECK_THAT(message(state), Catch::Contains(good[0].first));
  state = good;
  state.emplace_back("momentum.conv.weight", torch::zeros({1}));
  CATCH_CHECK_THAT(message(state), Catch::Contains("momentum.conv.weight"));
  state = good;
  state[1].second = torch::zeros({7, 5});
  CATCH_CHECK_THAT(message(state),
                   Catch::Contains("exp_avg.linear.weight of shape [5, 7], got [7, 5]"));
}

CATCH_TEST_CASE("the layout of tensors does not matter", "[optim]") {
  const auto channels_last = torch::MemoryFormat::ChannelsLast;
  for (const Json& json : kAll) {
    CATCH_INFO(json.dump());
    const NamedTensors plain = make_parameters();
    const NamedTensors moved = cloned(plain);
    const auto first = clr::optimizers().make(describe(json), one_group(plain));
    const auto second = clr::optimizers().make(describe(json), one_group(moved));
    for (int step = 0; step < 4; ++step) {
      set_gradients(plain, step);
      set_gradients(moved, step);
      Tensor weight = moved[0].second;
      Tensor gradient = weight.grad();
      // State made before, gradients as they come, in each combination.
      if (step >= 1) {
        weight.mutable_grad().reset();
        weight.set_data(weight.detach().contiguous(channels_last));
        weight.mutable_grad() =
            step == 2 ? gradient.contiguous(channels_last) : gradient.contiguous();
      }
      first->step(0.1, 0.1);
      second->step(0.1, 0.1);
    }
    CATCH_CHECK(moved[0].second.is_contiguous(channels_last));
    CATCH_CHECK(largest_difference(plain, moved) < 1e-6);
  }
}

CATCH_TEST_CASE("options are checked", "[optim]") {
  for (const Json& json : std::vector<Json>{{{"type", "sgd"}, {"momentum", 1.0}},
                                            {{"type", "sgd"}, {"momentum", -0.1}},
                                            {{"type", "sgd"}, {"learning_rate", -1}},
                                            {{"type", "sgd"}, {"beta1", 0.5}},
                                            {{"type", "lars"}, {"trust_coefficient", 0}},
                                            {{"type", "adam"}, {"beta2", 1}},
                                            {{"type", "adamw"}, {"weight_decay", -1}},
                                            {{"type", "lamb"}}}) {
    CATCH_INFO(json.dump());
    CATCH_CHECK_THROWS_AS(describe(json), clr::Error);
  }
}

CATCH_TEST_CASE("weight decay along a cosine", "[optim]") {
  clr::OptimizerOptions options;
  options.weight_decay = 0.04;
  CATCH_CHECK(clr::weight_decay_at(options, 70, 100) == 0.04);
  options.final_weight_decay = 0.4;
  CATCH_CHECK(clr::weight_decay_at(options, 0, 100) == Approx(0.04).epsilon(1e-12));
  CATCH_CHECK(clr::weight_decay_at(options, 50, 100) == Approx(0.22).epsilon(1e-12));
  CATCH_CHECK(clr::weight_decay_at(options, 25, 100) ==
              Approx(0.4 - 0.36 * (1 + std::sqrt(0.5)) / 2).epsilon(1e-12));
  CATCH_CHECK(clr::weight_decay_at(options, 100, 100) == Approx(0.4).epsilon(1e-12));

  // Mistakes: it changes nothing; excluded groups get it too.
  for (const char* type : {"sgd", "lars", "adam", "adamw"}) {
    CATCH_INFO(type);
    const auto after = [&](double configured, double set, bool excluded) {
      const NamedTensors parameters = make_parameters();
      const auto optimizer =
          clr::optimizers().make(describe({{"type", type}, {"weight_decay", configured}}),
                                 {OptimizerGroup{parameters, excluded, 1.0, false}});
      optimizer->set_weight_decay(set);
      set_gradients(parameters, 0);
      optimizer->step(0.1, 0.1);
      return parameters[0].second.detach();
    };
    CATCH_CHECK(torch::equal(after(0.0, 0.3, false), after(0.3, 0.3, false)));
    CATCH_CHECK_FALSE(torch::equal(after(0.3, 0.0, false), after(0.3, 0.3, false)));
    CATCH_CHECK(torch::equal(after(0.0, 0.3, true), after(0.0, 0.0, true)));
  }
}

CATCH_TEST_CASE("effective learning rate", "[optim]") {
  clr::OptimizerOptions options;
  options.learning_rate = 0.3;
  CATCH_CHECK(clr::effective_learning_rate(options, 4096) == 0.3);
  options.scaling = clr::LearningRateScaling::linear;
  CATCH_CHECK(clr::effective_learning_rate(options, 4096) == Approx(4.8).epsilon(1e-15));
  options.scaling = clr::LearningRateScaling::sqrt;
  options.learning_rate = 0.075;
  CATCH_CHECK(clr::effective_learning_rate(options, 4096) == Approx(4.8).epsilon(1e-15));

  const auto shared = clr::shared_options(describe({{"type", "lars"},
                                                    {"learning_rate", 2.5},
                                                    {"scaling", "sqrt"},
                                                    {"weight_decay", 1e-6},
                                                    {"exclude_norm_and_bias", true},
                                                    {"trust_coefficient", 0.02}}));
  CATCH_CHECK(shared.learning_rate == 2.5);
  CATCH_CHECK(shared.scaling == clr::LearningRateScaling::sqrt);
  CATCH_CHECK(shared.weight_decay == 1e-6);
  CATCH_CHECK(shared.exclude_norm_and_bias);
}

CATCH_TEST_CASE("schedule", "[optim]") {
  clr::ScheduleConfig config;
  const auto factor = [&](std::int64_t step) {
    return clr::schedule_factor(config, step, 100, 10);
  };

  // Cosine without warm-up: 1, a half in the middle, not quite 0 at the last step.
  CATCH_CHECK(factor(0) == 1.0);
  CATCH_CHECK(factor(50) == Approx(0.5));
  CATCH_CHECK(factor(25) == Approx((1 + std::sqrt(0.5)) / 2));
  CATCH_CHECK(factor(99) == Approx((1 - std::cos(std::numbers::pi / 100)) / 2));

  config.warmup_epochs = 2;
  config.warmup_start = 0.2;
  config.final = 0.1;
  CATCH_CHECK(factor(0) == 0.2);
  CATCH_CHECK(factor(10) == Approx(0.6));
  CATCH_CHECK(factor(19) == Approx(0.96));
  CATCH_CHECK(factor(20) == 1.0);
  CATCH_CHECK(factor(60) == Approx(0.55));
  CATCH_CHECK(factor(100) == Approx(0.1));
  config.warmup_epochs = 0.25;  // 2.5 steps, rounded to 3
  CATCH_CHECK(factor(2) == Approx(0.2 + 0.8 * 2 / 3));
  CATCH_CHECK(factor(3) == 1.0);

  config.type = clr::ScheduleType::linear;
  config.warmup_epochs = 2;
  CATCH_CHECK(factor(10) == Approx(0.6));
  CATCH_CHECK(factor(20) == 1.0);
  CATCH_CHECK(factor(40) == Approx(0.775));
  CATCH_CHECK(factor(100) == Approx(0.1));

  config = {};
  config.type = clr::ScheduleType::step;
  config.milestones = {3, 6.5};
  config.gamma = 0.2;
  config.warmup_epochs = 1;
  CATCH_CHECK(factor(0) == 0.0);
  CATCH_CHECK(factor(5) == Approx(0.5));
  CATCH_CHECK(factor(10) == 1.0);
  CATCH_CHECK(factor(29) == 1.0);
  CATCH_CHECK(factor(30) == Approx(0.2));
  CATCH_CHECK(factor(64) == Approx(0.2));
  CATCH_CHECK(factor(65) == Approx(0.04));

  config.type = clr::ScheduleType::constant;
  CATCH_CHECK(factor(5) == Approx(0.5));
  CATCH_CHECK(factor(99) == 1.0);

  // All of it warm-up.
  config.type = clr::ScheduleType::cosine;
  config.warmup_epochs = 10;
  CATCH_CHECK(factor(99) == Approx(0.99));
}
