// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/program_object.h"

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include <bpf/libbpf.h>

#include "anycast.skel.h"
#include "anycast_legacy.skel.h"

#include "kernel/clock.h"
#include "kernel/features.h"
#include "kernel/program.h"

namespace anycast {

namespace {

template <typename Switches>
void set_switches(Switches &rodata, const LoadOptions &options, const DataplaneSizes &sizes)
{
	if constexpr (requires { rodata.ax_hz; })
		rodata.ax_hz = kernel_hz();
	rodata.ax_role = options.roles;
	rodata.ax_samples = samples_by(options);
	rodata.ax_frags = options.frags;
	rodata.ax_instance = options.replay ? AX_REPLAY : options.instance;
	rodata.ax_buckets4 = sizes.buckets4;
	rodata.ax_buckets6 = sizes.buckets6;
	rodata.ax_anomalies = sizes.anomalies;
	rodata.ax_prefix4 = options.limits.loss_prefix_v4;
	rodata.ax_prefix6 = options.limits.loss_prefix_v6;
	rodata.ax_vips = sizes.vips;
	rodata.ax_pools = sizes.pools;
	rodata.ax_slots = sizes.slots;
	rodata.ax_backends = sizes.backends;
}

constexpr std::string_view kVariable = ".data."; // the section of a map that is a variable

// Another build has the same switches and maps.
anycast_bpf *open_skeleton(std::string_view build)
{
	if (build.empty())
		return anycast_bpf__open();
	auto *skeleton = static_cast<anycast_bpf *>(std::calloc(1, sizeof(anycast_bpf)));
	int error = skeleton ? anycast_bpf__create_skeleton(skeleton) : -ENOMEM;

	if (error == 0) {
		skeleton->skeleton->data = build.data();
		skeleton->skeleton->data_sz = build.size();
		error = bpf_object__open_skeleton(skeleton->skeleton, nullptr);
	}
	if (error == 0)
		return skeleton;
	anycast_bpf__destroy(skeleton);
	errno = -error;
	return nullptr;
}

} // namespace

ax_samples samples_by(const LoadOptions &options)
{
	if (options.samples == Samples::kNone)
		return AX_SAMPLES_NONE;
	if (options.samples == Samples::kPerf || !has_feature("ring_buffer") ||
	    needs_legacy_build())
		return AX_SAMPLES_PERF;
	return AX_SAMPLES_RING;
}

bool needs_legacy_build()
{
	return !has_feature("global_functions") || !has_feature("jiffies64");
}

std::string name_of(const bpf_map *map)
{
	const std::string name = bpf_map__name(map);

	if (!bpf_map__is_internal(map))
		return name;
	return name.starts_with(kVariable) ? name.substr(kVariable.size()) : "";
}

bpf_map *ProgramObject::map(const std::string &name) const
{
	bpf_map *map = bpf_object__find_map_by_name(object_, name.c_str());

	return map ? map
		   : bpf_object__find_map_by_name(object_, (std::string(kVariable) + name).c_str());
}

bool ProgramObject::open(const LoadOptions &options, const DataplaneSizes &sizes)
{
	const auto take = [&](auto *skeleton, auto *destroy, auto load) {
		if (!skeleton)
			return false;
		skeleton_ = {skeleton, destroy};
		load_ = load;
		object_ = skeleton->obj;
		program_ = skeleton->progs.anycast;
		set_switches(*skeleton->rodata, options, sizes);
		return true;
	};

	if (needs_legacy_build())
		return take(anycast_legacy_bpf__open(), &anycast_legacy_bpf__destroy,
			    [](void *skeleton) {
				    return anycast_legacy_bpf__load(
					    static_cast<anycast_legacy_bpf *>(skeleton));
			    });
	return take(open_skeleton(options.build), &anycast_bpf__destroy, [](void *skeleton) {
		return anycast_bpf__load(static_cast<anycast_bpf *>(skeleton));
	});
}

int ProgramObject::load()
{
	return load_(skeleton_.get());
}

} // namespace anycast
