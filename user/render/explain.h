// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `explain`: the way of one packet, step by step. What does not apply is left out of the text, and
// null in JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/model.h"

namespace anycast::render {

struct Explained {
	std::string interface; // "" if nothing is attached
	std::uint32_t generation = 0;
	std::string flow; // "" if the packet is of none that can be told
	const Vip *vip = nullptr;
	const Pool *pool = nullptr;

	// The live flow table's entry.
	struct Known {
		std::string backend;
		std::uint64_t packets = 0;
		std::uint32_t generation = 0;
	};
	std::optional<Known> known;
	bool table_asked = false;

	std::uint32_t table_size = 0;
	std::optional<std::uint32_t> hash, slot;
	std::vector<std::string> candidates; // the slot's backends, owner first
	const Backend *backend = nullptr;
	bool local = false;

	struct Hop {
		std::string interface, gateway, mac, error;
		std::uint32_t mtu = 0;
	};
	std::optional<Hop> hop;
	std::uint32_t reserve = 0;

	std::string verdict, reason, help;
	std::string in, out; // hex; out is "" if nothing leaves
};

nlohmann::ordered_json explained_json(const Explained &explained);
std::string explained_text(const Explained &explained);

} // namespace anycast::render
