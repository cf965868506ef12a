// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/objects.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "core/names.h"
#include "core/vip_places.h"
#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;
using VisitVip = std::function<void(const Vip &, const VipCount &)>;
using VisitBackend = std::function<void(const BackendCount &)>;

void each_vip(const InterfaceObjects &objects, const VisitVip &visit)
{
	// stats_of() lists them in the configuration's order.
	for (std::size_t i = 0; i < objects.config->vips.size(); i++)
		if (objects.only.empty() || objects.only == objects.config->vips[i].name)
			visit(objects.config->vips[i],
			      i < objects.stats.vips.size() ? objects.stats.vips[i] : VipCount{});
}

void each_backend(const InterfaceObjects &objects, const VisitBackend &visit)
{
	for (const BackendCount &backend : objects.stats.backends)
		if (objects.only.empty() || objects.only == backend.pool + "/" + backend.backend)
			visit(backend);
}

std::vector<std::string> vips_of(const Config &config, const std::string &pool)
{
	std::vector<std::string> names;
	for (const Vip &vip : config.vips)
		if (vip.pool == pool)
			names.push_back(vip.name);
	return names;
}

// When its slow start began; 0: it is not at one.
std::int64_t since_of(const Config &config, const BackendCount &count)
{
	const auto pool = std::ranges::find(config.pools, count.pool, &Pool::name);
	if (pool == config.pools.end())
		return 0;
	const auto backend = std::ranges::find(pool->backends, count.backend, &Backend::name);
	return backend == pool->backends.end() ? 0 : backend->since;
}

std::string port_text(std::uint16_t port)
{
	return port == 0 ? "any" : std::to_string(port);
}

} // namespace

ordered_json vips_json(const std::vector<InterfaceObjects> &interfaces)
{
	ordered_json out = ordered_json::array();
	for (const InterfaceObjects &objects : interfaces) {
		ordered_json vips = ordered_json::array();
		each_vip(objects, [&](const Vip &vip, const VipCount &count) {
			vips.push_back({{"vip", vip.name},
					{"address", place_of(vip)},
					{"port", vip.port},
					{"protocol", protocol_name(vip.protocol)},
					{"pool", vip.pool},
					{"forward", forward_name(vip.forward)},
					{"packets", count.packets},
					{"bytes", count.bytes}});
		});
		out.push_back({{"interface", objects.stats.interface}, {"vips", std::move(vips)}});
	}
	return {{"interfaces", std::move(out)}};
}

std::string vips_text(const std::vector<InterfaceObjects> &interfaces)
{
	Table table({{"INTERFACE"},
		     {"VIP"},
		     {"ADDRESS"},
		     {"PORT", Align::kRight},
		     {"PROTOCOL"},
		     {"POOL"},
		     {"FORWARD"},
		     {"PACKETS", Align::kRight},
		     {"BYTES", Align::kRight}});
	for (const InterfaceObjects &objects : interfaces)
		each_vip(objects, [&](const Vip &vip, const VipCount &count) {
			table.row({objects.stats.interface, vip.name, place_of(vip),
				   port_text(vip.port), protocol_name(vip.protocol), vip.pool,
				   std::string(forward_name(vip.forward)),
				   std::to_string(count.packets), bytes_text(count.bytes)});
		});
	return table.empty() ? "no VIPs\n" : table.text();
}

ordered_json backends_json(const std::vector<InterfaceObjects> &interfaces)
{
	ordered_json out = ordered_json::array();
	for (const InterfaceObjects &objects : interfaces) {
		ordered_json backends = ordered_json::array();
		each_backend(objects, [&](const BackendCount &backend) {
			const std::int64_t since = since_of(*objects.config, backend);
			backends.push_back(
				{{"pool", backend.pool},
				 {"backend", backend.backend},
				 {"address", backend.address},
				 {"state", backend.state},
				 {"weight", backend.weight},
				 {"since", since == 0 ? ordered_json() : ordered_json(since)},
				 {"share", backend.share},
				 {"packets", backend.packets},
				 {"bytes", backend.bytes},
				 {"vips", vips_of(*objects.config, backend.pool)}});
		});
		out.push_back({{"interface", objects.stats.interface},
			       {"backends", std::move(backends)}});
	}
	return {{"interfaces", std::move(out)}};
}

std::string backends_text(const std::vector<InterfaceObjects> &interfaces)
{
	Table table({{"INTERFACE"},
		     {"POOL"},
		     {"BACKEND"},
		     {"ADDRESS"},
		     {"STATE"},
		     {"WEIGHT", Align::kRight},
		     {"SHARE", Align::kRight},
		     {"PACKETS", Align::kRight},
		     {"BYTES", Align::kRight}});
	for (const InterfaceObjects &objects : interfaces)
		each_backend(objects, [&](const BackendCount &backend) {
			const bool slow = since_of(*objects.config, backend) != 0;
			table.row({objects.stats.interface, backend.pool, backend.backend,
				   backend.address, backend.state + (slow ? ", slow start" : ""),
				   std::to_string(backend.weight), percent_text(backend.share),
				   std::to_string(backend.packets), bytes_text(backend.bytes)});
		});
	return table.empty() ? "no backends\n" : table.text();
}

} // namespace anycast::render
