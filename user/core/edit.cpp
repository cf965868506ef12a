// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/edit.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include <fmt/format.h>

#include "core/names.h"
#include "core/vip_places.h"

namespace anycast {

namespace {

Result<Address> address_from(const std::string &text)
{
	const auto address = Address::parse(text);
	if (!address)
		return fail(Exit::kUsage, fmt::format("{}: not an IP address", text));
	return *address;
}

template <typename T> std::string names_of(const std::vector<T> &things)
{
	std::vector<std::string> names;
	for (const T &thing : things)
		names.push_back(thing.name);
	return names.empty() ? "there is none"
			     : fmt::format("there are: {}", fmt::join(names, ", "));
}

template <typename Things>
auto find_named(Things &things, const std::string &name, std::string_view kind)
	-> Result<decltype(&*things.begin())>
{
	const auto found = std::ranges::find(things, name, &Things::value_type::name);
	if (found == things.end())
		return fail(Exit::kUsage, fmt::format("no {} is called {}", kind, name),
			    names_of(things));
	return &*found;
}

// POOL/NAME, or NAME in any pool; a backend's address is a name too.
std::vector<std::pair<Pool *, Backend *>> matching_backends(Config &config,
							    const std::string &wanted)
{
	const std::size_t slash = wanted.find('/');
	const std::string pool_name = slash == wanted.npos ? "" : wanted.substr(0, slash);
	const std::string name = slash == wanted.npos ? wanted : wanted.substr(slash + 1);
	std::vector<std::pair<Pool *, Backend *>> found;
	for (Pool &pool : config.pools)
		for (Backend &backend : pool.backends)
			if ((pool_name.empty() || pool_name == pool.name) &&
			    (backend.name == name || backend.address.text() == name))
				found.emplace_back(&pool, &backend);
	return found;
}

} // namespace

Result<const Vip *> find_vip(const Config &config, const std::string &name)
{
	return find_named(config.vips, name, "VIP");
}

Result<std::pair<Pool *, Backend *>> find_backend(Config &config, const std::string &wanted)
{
	const auto found = matching_backends(config, wanted);
	if (found.empty())
		return fail(Exit::kUsage, fmt::format("no backend is called {}", wanted),
			    "see: anycast-xdp backend list");
	if (found.size() > 1)
		return fail(Exit::kUsage, fmt::format("several pools have a backend {}", wanted),
			    fmt::format("say which: {}/{}", found[0].first->name,
					found[0].second->name));
	return found[0];
}

Status add_vip(Config &config, const ObjectEdit &edit)
{
	const auto place = Prefix::parse(edit.address);
	if (!place)
		return fail(Exit::kUsage,
			    fmt::format("{}: not an IP address or prefix", edit.address));
	AX_TRY(find_named(config.pools, edit.pool, "pool"));
	const auto protocol = protocol_from(edit.protocol);
	const auto forward = forward_from(edit.forward);
	if (!protocol || !forward)
		return fail(Exit::kUsage, fmt::format("{}, {}: no such protocol or forwarding",
						      edit.protocol, edit.forward));
	Vip vip{.name = edit.name,
		.address = place->address,
		.port = edit.port,
		.protocol = *protocol,
		.pool = edit.pool,
		.forward = *forward,
		.prefix = place->is_host() ? std::uint8_t{0} : place->bits};
	// One address is one route.
	const auto route = std::ranges::find_if(
		config.vips, [&](const Vip &other) { return prefix_of(other) == prefix_of(vip); });
	if (route != config.vips.end())
		vip.bgp = route->bgp;
	if (vip.protocol == 0 && vip.port != 0)
		return fail(Exit::kUsage, "protocol any has no ports", "leave --port out");
	const auto same = std::ranges::find(config.vips, vip.name, &Vip::name);
	if (same != config.vips.end()) {
		vip.bgp = same->bgp; // what an edit cannot say stays as it is
		vip.checks = same->checks;
		vip.canary = same->canary;
		vip.measure = same->measure;
		if (*same == vip)
			return {};
		return fail(Exit::kUsage, fmt::format("VIP {} exists, and is another", vip.name),
			    "del it first, or choose another name");
	}
	for (const Vip &other : config.vips)
		if (prefix_of(other) == prefix_of(vip) && other.port == vip.port &&
		    other.protocol == vip.protocol)
			return fail(Exit::kUsage,
				    fmt::format("VIP {} has that address, port and protocol",
						other.name));
	config.vips.push_back(std::move(vip));
	return {};
}

// Absent already is what was asked for: `del` twice is unchanged, not an error.
Status del_vip(Config &config, const ObjectEdit &edit)
{
	std::erase_if(config.vips, [&](const Vip &vip) { return vip.name == edit.name; });
	return {};
}

Status add_backend(Config &config, const ObjectEdit &edit)
{
	const auto address = address_from(edit.address);
	if (!address)
		return tl::unexpected(address.error());
	const auto pool = find_named(config.pools, edit.pool, "pool");
	if (!pool)
		return tl::unexpected(pool.error());
	Backend backend{.name = edit.name.empty() ? address->text() : edit.name,
			.address = *address,
			.weight = edit.weight,
			.server_id = edit.server_id};
	std::ranges::transform(backend.server_id, backend.server_id.begin(),
			       [](unsigned char c) { return std::tolower(c); });
	for (const Backend &other : (*pool)->backends) {
		if (other.name == backend.name && other.address == backend.address &&
		    other.weight == backend.weight && other.server_id == backend.server_id)
			return {};
		if (other.name == backend.name || other.address == backend.address)
			return fail(Exit::kUsage,
				    fmt::format("pool {} has backend {} at {}, weight {}",
						edit.pool, other.name, other.address.text(),
						other.weight),
				    "change it with `backend weight`, or del it first");
	}
	(*pool)->backends.push_back(std::move(backend));
	return {};
}

Status del_backend(Config &config, const ObjectEdit &edit)
{
	if (matching_backends(config, edit.name).empty())
		return {};
	const auto found = find_backend(config, edit.name);
	if (!found)
		return tl::unexpected(found.error());
	const Backend gone = *found->second;
	std::erase(found->first->backends, gone);
	return {};
}

Status set_state(Config &config, const ObjectEdit &edit, ax_backend_state state)
{
	const auto found = find_backend(config, edit.name);
	if (!found)
		return tl::unexpected(found.error());
	found->second->state = state;
	return {};
}

Status set_weight(Config &config, const ObjectEdit &edit)
{
	const auto found = find_backend(config, edit.name);
	if (!found)
		return tl::unexpected(found.error());
	found->second->weight = edit.weight;
	return {};
}

} // namespace anycast
