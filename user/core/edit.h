// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Edits of a configuration, as `vip` and `backend` make them. Idempotent: what is there already, or
// gone already, is no error and no change. What the file's schema forbids is not checked here.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/model.h"
#include "util/result.h"

namespace anycast {

// As typed; each edit takes what it needs.
struct ObjectEdit {
	std::string name, address, pool, protocol = "tcp", forward = "ipip";
	std::uint16_t port = 0;
	std::uint32_t weight = 100;
	std::string server_id{};
};

Status add_vip(Config &config, const ObjectEdit &edit);
Status del_vip(Config &config, const ObjectEdit &edit);
Status add_backend(Config &config, const ObjectEdit &edit);
Status del_backend(Config &config, const ObjectEdit &edit);
Status set_state(Config &config, const ObjectEdit &edit, ax_backend_state state);
Status set_weight(Config &config, const ObjectEdit &edit);

Result<const Vip *> find_vip(const Config &config, const std::string &name);
// POOL/NAME, or NAME where only one pool has it; a backend's address will do for its name.
Result<std::pair<Pool *, Backend *>> find_backend(Config &config, const std::string &wanted);

} // namespace anycast
