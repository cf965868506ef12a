// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Config and Ids as JSON, for the state file: exact both ways. Reading is strict: a missing,
// unknown or mistyped member is an error.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/image.h"
#include "core/model.h"
#include "util/result.h"

namespace anycast {

nlohmann::json config_to_json(const Config &config);
Result<Config> config_from_json(const nlohmann::json &json);

nlohmann::json ids_to_json(const Ids &ids);
Result<Ids> ids_from_json(const nlohmann::json &json);

} // namespace anycast
