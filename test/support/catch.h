// SPDX-License-Identifier: Apache-2.0
// The one way to include Catch2. LibTorch and Catch2 both define CHECK, so here every macro of
// Catch2 has the prefix CATCH_. Include LibTorch's and our own headers before this one.
#pragma once

#define CATCH_CONFIG_PREFIX_ALL
#include <catch2/catch.hpp>
