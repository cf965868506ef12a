// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[vips]].
#include <algorithm>

#include "config/services.h"
#include "core/vip_places.h"

namespace anycast {

void Services::read_port(TableReader &reader, Vip &vip)
{
	reader.missing("port");
	if (reader.is_string("port")) {
		if (const auto word = reader.string("port"); word && word->value != "any")
			diagnostics_.error(word->at, fmt::format("vips.port: expected 1..65535 or "
								 "\"any\", not \"{}\"",
								 word->value));
	} else if (const auto port = reader.integer("port", 0, 65535)) { // 0 is "any"
		vip.port = static_cast<std::uint16_t>(port->value);
	}
	if (vip.protocol == 0 && vip.port != 0)
		diagnostics_.error(reader.at("port"),
				   "vips.port: protocol \"any\" needs port \"any\"");
}

void Services::check_ports_of(const Vip &vip, TableReader &reader)
{
	for (const CheckSpec &check : vip.checks)
		if (vip.port == 0 && check.port == 0 && check.type != CheckType::kIcmp &&
		    check.type != CheckType::kExec)
			diagnostics_.error(reader.at("checks"),
					   fmt::format("vips.checks.port: {} has every port; which "
						       "one shall the {} check take?",
						       vip.name, check_type_name(check.type)));
	if (vip.prefix == 0)
		return;
	for (const CheckSpec &check : vip.checks)
		if (!check.target && check.type != CheckType::kExec)
			diagnostics_.error(
				reader.at("checks"),
				fmt::format("vips.checks.target: {} is many addresses; which one "
					    "shall the {} check take?",
					    vip.name, check_type_name(check.type)));
}

void Services::check_pool_of(const Vip &vip, TableReader &reader, Where pool_at)
{
	const auto pool = std::ranges::find(config_.pools, vip.pool, &Pool::name);
	if (pool == config_.pools.end()) {
		diagnostics_.error(pool_at,
				   fmt::format("vips.pool: there is no pool {}", vip.pool));
		return;
	}
	used_pools_.insert(vip.pool);
	if (vip.forward != AX_FORWARD_L2DSR)
		return;
	for (const Backend &backend : pool->backends)
		if (backend.address.is_v4() != vip.address.is_v4())
			diagnostics_.error(
				reader.at("forward"),
				fmt::format("vips.forward: l2dsr keeps the packet as it is, but "
					    "backend {} of pool {} is of another family than {}",
					    backend.name, pool->name, vip.address.text()));
}

// Where it is; nothing if that was not to be read.
std::optional<Where> Services::read_place(TableReader &reader, Vip &vip)
{
	reader.missing("address");
	const auto place = reader.prefix("address");
	if (!place)
		return std::nullopt;
	vip.address = place->value.address;
	check_unicast(diagnostics_, "vips.address", {vip.address, place->at});
	if (const auto &bytes = vip.address.bytes(); bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
		diagnostics_.error(place->at,
				   fmt::format("vips.address: {} is a link-local address: "
					       "no router forwards to it",
					       vip.address.text()));
	if (!place->value.is_host()) {
		const std::uint8_t shortest = vip.address.is_v4() ? kShortestVip4 : kShortestVip6;
		vip.prefix = place->value.bits;
		if (vip.prefix < shortest)
			diagnostics_.error(place->at,
					   fmt::format("vips.address: {} is more than a VIP can "
						       "be: at least /{}",
						       place->value.text(), shortest));
	}
	places_.try_emplace(place->value, vip.name, place->at);
	return place->at;
}

void Services::read_vip(TableReader &reader)
{
	Vip vip;
	vip.name = read_name(reader, "vips.name");
	if (!vip.name.empty())
		once(vip_names_, vip.name, reader.at("name"), "VIP name", vip.name);

	const auto address = read_place(reader, vip);
	if (const auto protocol = reader.choice("protocol", kProtocols))
		vip.protocol = static_cast<std::uint8_t>(protocol->value);
	read_port(reader, vip);
	if (address) {
		const std::string port = vip.port == 0 ? "any" : std::to_string(vip.port);
		once(vip_keys_, {prefix_of(vip), vip.port, vip.protocol}, *address, "VIP",
		     fmt::format("{} port {} protocol {}", place_of(vip), port,
				 word_of(kProtocols, vip.protocol)));
	}
	reader.section("bgp", [&](TableReader &bgp) {
		vip.bgp = read_attributes(bgp);
		const auto [first, is_new] =
			attributes_.try_emplace(vip.address, vip.bgp, bgp.at());
		if (address && !is_new && first->second.first != vip.bgp)
			diagnostics_.error(
				bgp.at(),
				fmt::format("vips.bgp: {} has other attributes on line {}, but one "
					    "address is one route",
					    vip.address.text(), first->second.second.line));
	});
	if (const auto forward = reader.choice("forward", kForwards))
		vip.forward = static_cast<ax_forward>(forward->value);
	if (const auto measure = reader.choice("measure", kMeasures)) {
		vip.measure = static_cast<ax_measure>(measure->value);
		if (vip.measure != AX_MEASURE_NONE && vip.protocol != 17)
			diagnostics_.error(
				measure->at,
				fmt::format("vips.measure: \"{}\" is UDP payload, and the VIP's "
					    "protocol is {}",
					    measure_name(vip.measure),
					    word_of(kProtocols, vip.protocol)));
	}
	vip.checks = read_checks(reader, true);
	check_ports_of(vip, reader);
	if (const auto canary = reader.boolean("canary"))
		vip.canary = canary->value;

	reader.missing("pool");
	if (const auto pool = reader.string("pool")) {
		vip.pool = pool->value;
		if (address)
			check_pool_of(vip, reader, pool->at);
	}
	config_.vips.push_back(std::move(vip));
	within_limit(config_.vips.size(), "vips", config_.limits.vips, reader.at());
}

} // namespace anycast
