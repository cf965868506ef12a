// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `vip list|show`, `backend list|show`.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/model.h"
#include "render/reasons.h"

namespace anycast::render {

struct InterfaceObjects {
	const Config *config = nullptr;
	InterfaceStats stats;
	std::string only; // a VIP's name, a backend's "pool/name"; empty: all
};

nlohmann::ordered_json vips_json(const std::vector<InterfaceObjects> &interfaces);
std::string vips_text(const std::vector<InterfaceObjects> &interfaces);
nlohmann::ordered_json backends_json(const std::vector<InterfaceObjects> &interfaces);
std::string backends_text(const std::vector<InterfaceObjects> &interfaces);

} // namespace anycast::render
