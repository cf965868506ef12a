// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/program.h"

#include <unistd.h>

#include <limits>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "kernel/dispatcher.h"
#include "kernel/features.h"
#include "kernel/libbpf_log.h"
#include "kernel/pins.h"
#include "kernel/program_object.h"
#include "kernel/sizes.h"

namespace anycast {

namespace {

constexpr std::size_t kLargestFrame = 65536 + 256; // a frame and what encapsulation adds

// A map that is pinned already must be just what would be made. `replaced`: but for its size.
Status check_pinned(const std::string &path, const MapShape &shape, bool replaced)
{
	auto map = Map::open_pinned(path);
	if (!map)
		return tl::unexpected(std::move(map.error()));
	if (map->type() != shape.type || map->key_size() != shape.key_size ||
	    map->value_size() != shape.value_size)
		return fail(
			Exit::kFailed,
			fmt::format("{} is not a map of this program: type {}, key {} bytes, value "
				    "{} bytes instead of type {}, {} and {}",
				    path, static_cast<int>(map->type()), map->key_size(),
				    map->value_size(), static_cast<int>(shape.type), shape.key_size,
				    shape.value_size),
			"another build or somebody's hand made it: detach the interface (or remove "
			"that directory, if nothing is attached), then attach it again");
	if (map->max_entries() != shape.entries && !replaced) {
		if (shape.limit.empty())
			return fail(Exit::kFailed,
				    fmt::format("{} has {} entries, this build makes {}", path,
						map->max_entries(), shape.entries),
				    "detach the interface, then attach it again");
		return fail(
			Exit::kUsage,
			fmt::format(
				"[limits] {} cannot change while attached: map {} has {} entries, "
				"the configuration asks for {}",
				shape.limit, shape.name, map->max_entries(), shape.entries),
			reset_group(shape).empty() ? kDetachForLimits : kResetForLimits);
	}
	return {};
}

// Groups of which a map is pinned with another size than it shall have.
Result<std::set<std::string_view>> groups_of_other_size(const std::string &directory,
							const std::set<std::string> &pinned,
							const std::vector<MapShape> &shapes)
{
	std::set<std::string_view> groups;

	for (const MapShape &shape : shapes) {
		const std::string_view group = reset_group(shape);
		if (group.empty() || !pinned.contains(std::string(shape.name)))
			continue;
		const auto map = Map::open_pinned(fmt::format("{}/{}", directory, shape.name));
		if (!map)
			return tl::unexpected(map.error());
		if (map->max_entries() != shape.entries)
			groups.insert(group);
	}
	return groups;
}

bool is_wanted(const MapShape &shape, ax_samples samples)
{
	if (shape.type == BPF_MAP_TYPE_RINGBUF)
		return samples == AX_SAMPLES_RING;
	if (shape.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return samples == AX_SAMPLES_PERF;
	return !shape.optional || !shape.legacy || samples != AX_SAMPLES_NONE;
}

Error load_failed(int error, const LibbpfLog &log)
{
	Error result;
	const std::string said = log.tail();

	error = error < 0 ? -error : error;
	result.what = fmt::format("load the XDP program: {}", std::strerror(error));
	if (!said.empty())
		result.what += "\n" + said;
	if (error == EPERM || error == EACCES)
		result.hint = ::geteuid() == 0 ? "the verifier or a security module refused it"
					       : "root, or CAP_BPF with CAP_NET_ADMIN, is needed";
	else if (error == ENOMEM)
		result.hint = "smaller [limits] flows_v4 and flows_v6 take less memory";
	return result;
}

} // namespace

Result<Program> Program::load(const LoadOptions &options)
{
	const DataplaneSizes sizes = sizes_for(options.limits, possible_cpus());
	const std::set<std::string> pinned =
		options.pin_dir.empty() ? std::set<std::string>{} : entries_of(options.pin_dir);
	std::uint64_t new_bytes = 0; // of maps that are not there yet
	LibbpfLog log;
	Program program;

	if (!program.object_.open(options, sizes))
		return tl::unexpected(load_failed(errno, log));
	bpf_object *object = program.object_.object();

	const std::vector<MapShape> shapes = map_shapes(sizes);
	std::set<std::string> staged; // final paths
	if (options.reset_flows) {
		auto groups = groups_of_other_size(options.pin_dir, pinned, shapes);
		if (!groups)
			return tl::unexpected(std::move(groups.error()));
		program.reset_ = std::move(*groups);
	}
	for (const MapShape &shape : shapes) {
		if (shape.egress || (!shape.legacy && needs_legacy_build()))
			continue;
		const std::string name(shape.name);
		bpf_map *map = program.object_.map(name);
		if (!map)
			return fail(Exit::kFailed, fmt::format("the program has no map {}", name));
		if (!is_wanted(shape, samples_by(options))) {
			bpf_map__set_autocreate(map, false);
			continue;
		}
		if (shape.entries > std::numeric_limits<std::uint32_t>::max())
			return fail(Exit::kUsage,
				    fmt::format("[limits] {} is too large", shape.limit));
		const std::string path = options.pin_dir + "/" + name;
		const bool replaced = program.reset_.contains(reset_group(shape));
		if (pinned.contains(name))
			AX_TRY(check_pinned(path, shape, replaced));
		if (!pinned.contains(name) || replaced)
			new_bytes += map_bytes(shape, sizes.cpus);
		if (replaced)
			staged.insert(path);
		if (!has_feature("mmap_array"))
			bpf_map__set_map_flags(map, bpf_map__map_flags(map) & ~BPF_F_MMAPABLE);
		bpf_map__set_max_entries(map, static_cast<std::uint32_t>(shape.entries));
	}
	if (new_bytes != 0)
		AX_TRY(require_memory(options.limits, new_bytes));
	if (!options.pin_dir.empty()) {
		bpf_map *map;
		AX_TRY(require_bpffs(options.pin_dir));
		AX_TRY(make_directories(options.pin_dir));
		bpf_object__for_each_map(map, object)
		{
			const std::string name = name_of(map);
			if (name.empty())
				continue;
			std::string path = options.pin_dir + "/" + name;
			if (staged.contains(path)) {
				path = staged_pin(path);
				::unlink(path.c_str()); // else libbpf would take it for the map
			}
			bpf_map__set_pin_path(map, path.c_str());
		}
	}

	if (options.frags && !needs_legacy_build())
		bpf_program__set_flags(program.object_.program(), BPF_F_XDP_HAS_FRAGS);
	Fd slots;
	if (options.under_dispatcher)
		AX_TRY(dispatcher::make_extension(program.object_.program(), slots));

	// When this fails, libbpf unpins the maps that it pinned, and no others.
	if (int error = program.object_.load())
		return tl::unexpected(load_failed(error, log));
	for (const std::string &path : staged)
		share_staged_pin(path);

	std::map<std::string, Map, std::less<>> maps;
	bpf_map *loaded;
	bpf_object__for_each_map(loaded, object)
	{
		const std::string name = name_of(loaded);
		if (name.empty() || !bpf_map__autocreate(loaded))
			continue;
		auto map = Map::from_fd(bpf_map__fd(loaded));
		if (!map)
			return tl::unexpected(std::move(map.error()));
		maps.emplace(name, std::move(*map));
	}
	auto dataplane = Dataplane::from_maps(std::move(maps));
	if (!dataplane)
		return tl::unexpected(std::move(dataplane.error()));
	program.dataplane_ = std::move(*dataplane);
	return program;
}

int Program::fd() const
{
	return bpf_program__fd(object_.program());
}

namespace {

bpf_prog_info info_of(int fd)
{
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);

	bpf_obj_get_info_by_fd(fd, &info, &length);
	return info;
}

} // namespace

std::uint32_t Program::id() const
{
	return info_of(fd()).id;
}

std::uint32_t Program::verified_instructions() const
{
	return info_of(fd()).verified_insns;
}

Result<TestRun> Program::run(std::span<const std::uint8_t> frame) const
{
	TestRun result;

	result.frame.resize(kLargestFrame);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
		    .data_out = result.frame.data(),
		    .data_size_in = static_cast<std::uint32_t>(frame.size()),
		    .data_size_out = static_cast<std::uint32_t>(result.frame.size()), .repeat = 1);
	if (int error = bpf_prog_test_run_opts(fd(), &options)) {
		const std::string what =
			fmt::format("run the program on a frame of {} bytes", frame.size());
		if (frame.size() < 14)
			return fail(Exit::kFailed, what + ": the kernel takes none below 14 bytes");
		return fail_errno(what, error);
	}
	result.verdict = options.retval;
	result.duration_ns = options.duration;
	result.frame.resize(options.data_size_out);
	return result;
}

} // namespace anycast
