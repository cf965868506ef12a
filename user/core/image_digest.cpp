// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/image_digest.h"

#include <algorithm>
#include <vector>

#include <anycast_xdp/hash.h>
#include <fmt/format.h>

#include "core/names.h"
#include "core/vip_places.h"

namespace anycast {

std::string full_name(const Pool &pool, const Backend &backend)
{
	return pool.name + "/" + backend.name;
}

std::uint64_t image_digest(const Config &config, const std::map<std::string, std::uint64_t> &tables)
{
	std::uint64_t sum = ax_mix(config.hash_seed[0] ^ ax_mix(config.hash_seed[1] + 1));
	std::vector<std::string> lines;

	for (const Vip &vip : config.vips)
		lines.push_back(fmt::format("vip {} {} {} {} {}", place_of(vip), vip.port,
					    vip.protocol, vip.pool, static_cast<int>(vip.forward)));
	for (const Pool &pool : config.pools) {
		const auto table = tables.find(pool.name);
		lines.push_back(fmt::format("pool {} {} {} {} {} {} {:x}", pool.name,
					    pool.table_size, static_cast<int>(pool.all_down),
					    hash_input_name(pool.hash), pool.quic_rotation,
					    pool.fragment_notes,
					    table == tables.end() ? 0 : table->second));
		for (const Backend &backend : pool.backends)
			lines.push_back(fmt::format("backend {} {} {} {} {}",
						    full_name(pool, backend), backend.server_id,
						    backend.address.text(), backend.weight,
						    static_cast<int>(backend.state)));
	}
	std::ranges::sort(lines);
	for (const std::string &line : lines) {
		for (const char c : line)
			sum = ax_mix(sum ^ static_cast<std::uint8_t>(c));
		sum = ax_mix(sum + 0x100);
	}
	return sum;
}

} // namespace anycast
