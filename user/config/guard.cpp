// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [gtsm], [guard], [icmp].
#include <map>

#include <fmt/format.h>

#include "config/sections.h"
#include "core/reasons.h"

namespace anycast {

namespace {

constexpr std::int64_t kMaxHops = 254;

void read_peer(TableReader &reader, Config &config, std::map<Address, Where> &seen)
{
	Diagnostics &diagnostics = reader.diagnostics();
	GtsmPeer peer;
	reader.missing("address");
	if (const auto address = reader.address("address")) {
		check_unicast(diagnostics, "gtsm.peers.address", *address);
		peer.address = address->value;
		const auto [first, is_new] = seen.emplace(address->value, address->at);
		if (!is_new)
			diagnostics.error(
				address->at,
				fmt::format("gtsm.peers.address: duplicate peer {} (first on "
					    "line {})",
					    address->value.text(), first->second.line));
	}
	if (const auto hops = reader.integer("hops", 0, kMaxHops))
		peer.hops = static_cast<std::uint16_t>(hops->value);
	config.gtsm_peers.push_back(peer);
	if (config.gtsm_peers.size() == config.limits.peers + 1ull)
		diagnostics.error(reader.at(), fmt::format("more peers than limits.peers = {}",
							   config.limits.peers));
}

} // namespace

void read_gtsm(TableReader &root, Config &config)
{
	root.section("gtsm", [&](TableReader &gtsm) {
		for (const Placed<Address> &local : gtsm.addresses("local")) {
			check_unicast(gtsm.diagnostics(), "gtsm.local", local);
			config.gtsm_local.push_back(local.value);
		}
		std::map<Address, Where> seen;
		gtsm.each("peers", [&](TableReader &peer) { read_peer(peer, config, seen); });
	});
}

void read_guard(TableReader &root, Config &config)
{
	root.section("guard", [&](TableReader &guard) {
		guard.section("rules", [&](TableReader &rules) {
			for (const auto &[label, at] : rules.keys()) {
				const auto action = rules.choice(label, kActions);
				const ReasonInfo *reason = find_reason(std::string_view(label));
				if (reason != nullptr && reason->cls == AX_CLASS_RULE) {
					if (action)
						config.rules[label] =
							static_cast<ax_action>(action->value);
					continue;
				}
				rules.diagnostics().error(
					at,
					fmt::format("guard.rules.{}: {}; the nearest rules are {}",
						    label,
						    reason != nullptr ? "a reason, but no rule"
								      : "no such rule",
						    fmt::join(nearest_labels(label, 3), ", ")));
			}
		});
	});
}

void read_icmp(TableReader &root, Config &config)
{
	root.section("icmp", [&](TableReader &icmp) {
		if (const auto answers = icmp.integer("answers_per_second", 0, INT32_MAX))
			config.icmp.answers_per_second = static_cast<std::uint32_t>(answers->value);
		if (const auto echo = icmp.boolean("echo"))
			config.icmp.echo = echo->value;
		if (config.icmp.answers_per_second == 0)
			icmp.diagnostics().warn(
				icmp.at("answers_per_second"),
				"icmp.answers_per_second: with 0 nobody learns why large packets "
				"disappear; path MTU discovery to the VIPs does not work");
	});
}

} // namespace anycast
