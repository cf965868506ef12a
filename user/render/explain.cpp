// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/explain.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/names.h"
#include "core/vip_places.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kShownBytes = 94; // of a frame, as text: two outer headers and an inner one

ordered_json text_or_null(const std::string &text)
{
	return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

template <typename T> ordered_json value_or_null(const std::optional<T> &value)
{
	return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string port_text(std::uint16_t port)
{
	return port == 0 ? "any" : std::to_string(port);
}

ordered_json vip_json(const Vip *vip)
{
	if (vip == nullptr)
		return nullptr;
	return {{"vip", vip->name},
		{"address", place_of(*vip)},
		{"port", vip->port},
		{"protocol", protocol_name(vip->protocol)},
		{"forward", forward_name(vip->forward)}};
}

ordered_json hop_json(const std::optional<Explained::Hop> &hop)
{
	if (!hop)
		return nullptr;
	return {{"interface", text_or_null(hop->interface)},
		{"mac", text_or_null(hop->mac)},
		{"gateway", text_or_null(hop->gateway)},
		{"mtu", hop->mtu == 0 ? ordered_json(nullptr) : ordered_json(hop->mtu)},
		{"error", text_or_null(hop->error)}};
}

std::size_t active(const Pool &pool)
{
	return static_cast<std::size_t>(
		std::ranges::count(pool.backends, AX_BACKEND_ACTIVE, &Backend::state));
}

class Steps {
public:
	void add(std::string_view step, const std::string &what)
	{
		text_ += fmt::format("  {:<11} {}\n", step, what);
	}
	std::string take() { return std::move(text_); }

private:
	std::string text_;
};

std::string bytes_step(const std::string &hex)
{
	const std::size_t bytes = hex.size() / 2;
	std::string shown;
	for (std::size_t i = 0; i < std::min(bytes, kShownBytes); i++)
		shown += (i % 16 == 0 ? "\n    " : " ") + hex.substr(2 * i, 2);
	return fmt::format("{} bytes{}{}", bytes, shown, bytes > kShownBytes ? " ..." : "");
}

void add_hop(Steps &steps, const Explained &e)
{
	const Explained::Hop &hop = *e.hop;
	if (!hop.error.empty()) {
		steps.add("next hop", hop.error);
		return;
	}
	steps.add("next hop", fmt::format("{} on {}, at {}", hop.gateway, hop.interface, hop.mac));
	if (hop.mtu > e.reserve)
		steps.add("mtu", fmt::format("{}, of which {} are kept for outer headers: packets "
					     "of {} bytes fit",
					     hop.mtu, e.reserve, hop.mtu - e.reserve));
}

} // namespace

ordered_json explained_json(const Explained &e)
{
	ordered_json known = nullptr;
	if (e.known)
		known = {{"backend", text_or_null(e.known->backend)},
			 {"packets", e.known->packets},
			 {"generation", e.known->generation}};
	ordered_json backend = nullptr;
	if (e.backend != nullptr)
		backend = {{"backend", e.backend->name},
			   {"address", e.backend->address.text()},
			   {"state", state_name(e.backend->state)},
			   {"local", e.local}};
	return {{"interface", text_or_null(e.interface)},
		{"generation", e.generation},
		{"flow", text_or_null(e.flow)},
		{"vip", vip_json(e.vip)},
		{"known", std::move(known)},
		{"pool", e.pool != nullptr ? ordered_json(e.pool->name) : ordered_json(nullptr)},
		{"table_size", e.table_size},
		{"hash", value_or_null(e.hash)},
		{"slot", value_or_null(e.slot)},
		{"candidates", e.candidates},
		{"backend", std::move(backend)},
		{"next_hop", hop_json(e.hop)},
		{"reserve", e.reserve},
		{"verdict", e.verdict},
		{"reason", text_or_null(e.reason)},
		{"frame_in", e.in},
		{"frame_out", text_or_null(e.out)}};
}

std::string explained_text(const Explained &e)
{
	Steps steps;

	if (e.vip != nullptr)
		steps.add("vip", fmt::format("{}: {} port {} {}, {}", e.vip->name, place_of(*e.vip),
					     port_text(e.vip->port), protocol_name(e.vip->protocol),
					     forward_name(e.vip->forward)));
	else
		steps.add("vip", "none");
	if (e.known)
		steps.add("flow table",
			  fmt::format("known: backend {}, {} packets, held against generation {}",
				      e.known->backend.empty() ? "gone" : e.known->backend,
				      e.known->packets, e.known->generation));
	else if (e.table_asked)
		steps.add("flow table", "not known here");
	if (e.pool != nullptr)
		steps.add("pool",
			  fmt::format("{}: {} slots, {} of {} backends active", e.pool->name,
				      e.table_size, active(*e.pool), e.pool->backends.size()));
	if (e.slot)
		steps.add("hash", e.hash ? fmt::format("{:#010x} modulo {} is slot {}", *e.hash,
						       e.table_size, *e.slot)
					 : fmt::format("slot {}", *e.slot));
	if (!e.candidates.empty())
		steps.add("slot", fmt::format("{}", fmt::join(e.candidates, ", then ")));
	if (e.backend != nullptr)
		steps.add("backend",
			  fmt::format("{} at {}, {}{}", e.backend->name, e.backend->address.text(),
				      state_name(e.backend->state), e.local ? ", this node" : ""));
	if (e.hop)
		add_hop(steps, e);
	steps.add("verdict", fmt::format("{}: {}{}{}", e.verdict, e.reason,
					 e.help.empty() ? "" : ": ", e.help));
	steps.add("arrives", bytes_step(e.in));
	if (!e.out.empty())
		steps.add("leaves", bytes_step(e.out));
	return fmt::format("{}{}\n{}",
			   e.interface.empty()
				   ? std::string("not attached: ")
				   : fmt::format("{}, generation {}: ", e.interface, e.generation),
			   e.flow.empty() ? "a packet" : e.flow, steps.take());
}

} // namespace anycast::render
