// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp map list, dump, lookup
#include <algorithm>
#include <charconv>
#include <memory>

#include <CLI/CLI.hpp>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "cli/app.h"
#include "core/reasons.h"
#include "kernel/btf_dump.h"
#include "render/maps.h"

namespace anycast::cli {

namespace {

using Json = nlohmann::ordered_json;

struct MapArguments {
	std::string map, key;
	bool all = false;
};

constexpr std::uint32_t kChunk = 4096; // elements read at a time

bool is_per_cpu(const Map &map)
{
	return map.type() == BPF_MAP_TYPE_PERCPU_ARRAY || map.type() == BPF_MAP_TYPE_PERCPU_HASH;
}

bool is_array(const Map &map)
{
	return map.type() == BPF_MAP_TYPE_ARRAY || map.type() == BPF_MAP_TYPE_PERCPU_ARRAY;
}

// Has it elements that can be looked at?
Status require_elements(const Map &map)
{
	if (map.type() != BPF_MAP_TYPE_RINGBUF && map.type() != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return {};
	return fail(Exit::kUsage, fmt::format("{} is a stream and has no elements", map.name()),
		    "see: anycast-xdp drops --follow, or map dump ax_drop_last");
}

bool all_zero(std::span<const std::byte> bytes)
{
	return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// Which map of which interface; interfaces that have none of that name are an error.
Result<const Map *> find_map(const Instance &instance, const std::string &name)
{
	const auto &maps = instance.dataplane.maps();
	const auto found = maps.find(name);
	if (found != maps.end())
		return &found->second;
	std::vector<std::string> names;
	for (const auto &[known, map] : maps)
		names.push_back(known);
	return fail(Exit::kUsage, fmt::format("no map is called {}", name),
		    fmt::format("maps: {}", fmt::join(names, " ")));
}

bool is_by_reason(const Map &map)
{
	return map.name() == "ax_reason" || map.name() == "ax_note" || map.name() == "ax_drop_last";
}

// What an index of an array means, where that is known.
Json index_key(const Map &map, std::uint32_t index)
{
	static const std::vector<std::string> kHalves{"ax_vip_info", "ax_pool", "ax_slot",
						      "ax_owner", "ax_backend"};
	if (is_by_reason(map))
		if (const ReasonInfo *info = find_reason(static_cast<int>(index)))
			return Json{{"index", index}, {"reason", info->label}};
	if (std::ranges::find(kHalves, map.name()) != kHalves.end()) {
		const std::uint32_t size = map.max_entries() / 2;
		return Json{{"half", index / size}, {"id", index % size}};
	}
	return index;
}

// All CPUs' values of one element, one after the other.
Result<std::vector<std::byte>> per_cpu_value(const Map &map, const void *key)
{
	const std::size_t step = (map.value_size() + 7) / 8 * 8;
	std::vector<std::byte> values(step * static_cast<std::size_t>(libbpf_num_possible_cpus()));
	if (const int error = bpf_map_lookup_elem(map.fd(), key, values.data()))
		return fail_errno(fmt::format("look up in map {}", map.name()), error);
	return values;
}

Json per_cpu_json(const Map &map, const MapTypes &types, std::span<const std::byte> values)
{
	const std::size_t step = (map.value_size() + 7) / 8 * 8;
	Json json = Json::array();
	for (std::size_t at = 0; at < values.size(); at += step)
		json.push_back(types.value(values.subspan(at, map.value_size())));
	return json;
}

void emit(const Context &context, const std::string &interface, const Json &key, const Json &value)
{
	if (context.json())
		context.print_line(Json{{"interface", interface}, {"key", key}, {"value", value}});
	else
		context.print(render::element_text(key, value));
}

// ---- dump -----------------------------------------------------------------------------------

Status dump_per_cpu(const Context &context, const std::string &interface, const Map &map,
		    const MapTypes &types, bool all)
{
	for (std::uint32_t i = 0; i < map.max_entries(); i++) {
		const auto values = per_cpu_value(map, &i);
		if (!values)
			return tl::unexpected(values.error());
		if (all || !all_zero(*values))
			emit(context, interface, index_key(map, i),
			     per_cpu_json(map, types, *values));
	}
	return {};
}

Status dump_array(const Context &context, const std::string &interface, const Map &map,
		  const MapTypes &types, bool all)
{
	const std::size_t size = map.value_size();
	std::vector<std::byte> values;
	for (std::uint32_t first = 0; first < map.max_entries(); first += kChunk) {
		const std::uint32_t count = std::min(kChunk, map.max_entries() - first);
		values.resize(count * size);
		AX_TRY(map.read(first, values));
		for (std::uint32_t i = 0; i < count; i++) {
			const auto value =
				std::span<const std::byte>(values).subspan(i * size, size);
			if (all || !all_zero(value))
				emit(context, interface, index_key(map, first + i),
				     types.value(value));
		}
	}
	return {};
}

Status run_dump(const Context &context, const MapArguments &arguments)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	for (const Instance &instance : *instances) {
		const auto map = find_map(instance, arguments.map);
		if (!map)
			return tl::unexpected(map.error());
		AX_TRY(require_elements(**map));
		const auto types = MapTypes::of(**map);
		if (!types)
			return tl::unexpected(types.error());
		if (!context.json() && instances->size() > 1)
			context.print(fmt::format("{}:\n", instance.interface));
		if (is_per_cpu(**map)) {
			AX_TRY(dump_per_cpu(context, instance.interface, **map, *types,
					    arguments.all));
		} else if (is_array(**map)) {
			AX_TRY(dump_array(context, instance.interface, **map, *types,
					  arguments.all));
		} else {
			const auto visit = [&](const std::byte *key, const std::byte *value) {
				emit(context, instance.interface,
				     types->key({key, (*map)->key_size()}),
				     types->value({value, (*map)->value_size()}));
			};
			AX_TRY((*map)->for_each(visit));
		}
	}
	return {};
}

// ---- lookup ---------------------------------------------------------------------------------

// An array's index, or an address whose entry in the running half is meant.
Result<std::vector<std::vector<std::byte>>> matching_keys(const Map &map, const MapTypes &types,
							  const std::string &text)
{
	std::vector<std::vector<std::byte>> keys;
	if (is_array(map)) {
		std::uint32_t index = 0;
		const auto end = text.data() + text.size();
		const auto parsed = std::from_chars(text.data(), end, index);
		if (parsed.ec != std::errc() || parsed.ptr != end) {
			const ReasonInfo *info = find_reason(text);
			if (!info || !is_by_reason(map))
				return fail(Exit::kUsage, fmt::format("{}: not an index of {}",
								      text, map.name()));
			index = static_cast<std::uint32_t>(info->number);
		}
		if (index >= map.max_entries())
			return fail(Exit::kUsage, fmt::format("{} has indices 0..{}", map.name(),
							      map.max_entries() - 1));
		const auto *bytes = reinterpret_cast<const std::byte *>(&index);
		keys.emplace_back(bytes, bytes + sizeof(index));
		return keys;
	}
	AX_TRY(map.for_each([&](const std::byte *key, const std::byte *) {
		const std::span<const std::byte> bytes(key, map.key_size());
		if (types.key(bytes).value("addr", "") == text)
			keys.emplace_back(bytes.begin(), bytes.end());
	}));
	return keys;
}

Status run_lookup(const Context &context, const MapArguments &arguments)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	bool found = false;
	for (const Instance &instance : *instances) {
		const auto which = find_map(instance, arguments.map);
		if (!which)
			return tl::unexpected(which.error());
		const Map &map = **which;
		AX_TRY(require_elements(map));
		const auto types = MapTypes::of(map);
		if (!types)
			return tl::unexpected(types.error());
		const auto keys = matching_keys(map, *types, arguments.key);
		if (!keys)
			return tl::unexpected(keys.error());
		for (const std::vector<std::byte> &key : *keys) {
			std::uint32_t index = 0;
			if (is_array(map))
				std::memcpy(&index, key.data(), sizeof(index));
			const Json shown = is_array(map) ? index_key(map, index) : types->key(key);
			if (is_per_cpu(map)) {
				const auto values = per_cpu_value(map, key.data());
				if (!values)
					return tl::unexpected(values.error());
				emit(context, instance.interface, shown,
				     per_cpu_json(map, *types, *values));
				found = true;
				continue;
			}
			std::vector<std::byte> value(map.value_size());
			const auto there = map.lookup(key.data(), value.data());
			if (!there)
				return tl::unexpected(there.error());
			if (*there)
				emit(context, instance.interface, shown, types->value(value));
			found |= *there;
		}
	}
	if (!found)
		return fail(Exit::kFailed,
			    fmt::format("{} has no key {}", arguments.map, arguments.key),
			    fmt::format("see: anycast-xdp map dump {}", arguments.map));
	return {};
}

// ---- list -----------------------------------------------------------------------------------

std::string type_name(bpf_map_type type)
{
	const char *name = libbpf_bpf_map_type_str(type);
	return name ? name : std::to_string(type);
}

Status run_list(const Context &context)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	std::vector<render::MapLine> lines;
	for (const Instance &instance : *instances)
		for (const std::string_view name : Dataplane::map_names()) {
			if (!instance.dataplane.maps().contains(name))
				continue;
			const Map &map = instance.dataplane.map(name);
			lines.push_back({instance.interface, std::string(name),
					 type_name(map.type()), map.key_size(), map.value_size(),
					 map.max_entries(), map.mapped() != nullptr});
		}
	if (context.json())
		context.print(map_list_json(lines));
	else
		context.print(map_list_text(lines));
	return {};
}

} // namespace

void add_maps(CLI::App &app, Action &chosen)
{
	CLI::App *maps = app.add_subcommand("map", "The maps behind it: list, dump, lookup");
	maps->require_subcommand(1);
	maps->add_subcommand("list", "Names, types and sizes")->callback([&chosen] {
		chosen = run_list;
	});

	const auto arguments = std::make_shared<MapArguments>();
	CLI::App *command =
		maps->add_subcommand("dump", "All elements, by the names of their fields");
	command->footer("With --json: one object an element. Per-CPU maps show one value per CPU.");
	command->add_option("MAP", arguments->map, "A name of `map list`")
		->required()
		->type_name("");
	command->add_flag("--all", arguments->all, "Elements of arrays that are zero, too");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_dump(context, *arguments);
		};
	});

	command = maps->add_subcommand("lookup", "One element");
	command->add_option("MAP", arguments->map, "A name of `map list`")
		->required()
		->type_name("");
	command->add_option("KEY", arguments->key,
			    "An array's index, a reason's name, or an address")
		->required()
		->type_name("");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_lookup(context, *arguments);
		};
	});
}

} // namespace anycast::cli
