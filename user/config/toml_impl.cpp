// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// toml++ itself, compiled once.
#define TOML_IMPLEMENTATION
#include "config/reader.h"
