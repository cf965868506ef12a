// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/drops.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/names.h"
#include "core/reasons.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

template <typename T> ordered_json or_null(const std::optional<T> &value)
{
	return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json address_json(const std::optional<Address> &address)
{
	return address ? ordered_json(address->text()) : ordered_json(nullptr);
}

std::string end_text(const Address &address, const std::optional<std::uint16_t> &port)
{
	if (!port)
		return address.text();
	return fmt::format(fmt::runtime(address.is_v4() ? "{}:{}" : "[{}]:{}"), address.text(),
			   *port);
}

std::string label_of(const DropSample &sample)
{
	const ReasonInfo *info = find_reason(sample.reason);
	return info ? std::string(info->label) : std::to_string(sample.reason);
}

} // namespace

std::string rate_text(double per_second)
{
	return fmt::format(fmt::runtime(per_second < 10 ? "{:.1f}/s" : "{:.0f}/s"), per_second);
}

ordered_json sample_json(const DropSample &sample)
{
	return {{"source", address_json(sample.source)},
		{"source_port", or_null(sample.source_port)},
		{"destination", address_json(sample.destination)},
		{"destination_port", or_null(sample.destination_port)},
		{"protocol", sample.protocol ? ordered_json(protocol_name(*sample.protocol))
					     : ordered_json(nullptr)},
		{"ttl", or_null(sample.ttl)},
		{"source_mac", sample.source_mac.empty() ? ordered_json(nullptr)
							 : ordered_json(sample.source_mac)},
		{"vlans", sample.vlans},
		{"length", sample.bytes}};
}

std::string sample_text(const DropSample &sample)
{
	std::string text =
		sample.source
			? fmt::format("{} -> {}", end_text(*sample.source, sample.source_port),
				      end_text(*sample.destination, sample.destination_port))
			: sample.source_mac;
	if (sample.protocol)
		text += fmt::format(" {} ttl {}", protocol_name(*sample.protocol), *sample.ttl);
	if (!sample.vlans.empty())
		text += fmt::format(" vlan {}", fmt::join(sample.vlans, "."));
	return fmt::format("{}{}{} bytes", text, text.empty() ? "" : ", ", sample.bytes);
}

ordered_json followed_json(const FollowedDrop &drop)
{
	ordered_json json{{"time", drop.time},
			  {"interface", drop.interface},
			  {"reason", label_of(drop.sample)},
			  {"packets", drop.packets},
			  {"per_second", or_null(drop.per_second)}};
	json.update(sample_json(drop.sample));
	return json;
}

std::string followed_text(const FollowedDrop &drop)
{
	return fmt::format("{}  {}  {}  {}  ({} so far{})\n", drop.time, drop.interface,
			   label_of(drop.sample), sample_text(drop.sample), drop.packets,
			   drop.per_second ? ", " + rate_text(*drop.per_second) : "");
}

} // namespace anycast::render
