// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/features.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "kernel/dispatcher.h"
#include "kernel/libbpf_log.h"
#include "net/interfaces.h"
#include "util/fd.h"

namespace anycast {

namespace {

// Each returns 0 where the feature is there, or the errno that says why not.
using Probe = int (*)();

constexpr int kTcxIngress = 46; // BPF_TCX_INGRESS (6.6); newer than Debian 12's headers
constexpr int kLoopback = 1;	// ifindex of lo in every network namespace

int load_xdp(std::uint32_t verdict, std::uint32_t flags = 0)
{
	const std::array<bpf_insn, 2> code = {{
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, static_cast<std::int32_t>(verdict)},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	}};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = flags);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "ax_probe", "Dual BSD/GPL", code.data(),
			     code.size(), &options);
}

int map_probe(bpf_map_type type, std::uint32_t key, std::uint32_t value, std::uint32_t entries,
	      std::uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	Fd map(bpf_map_create(type, "ax_probe", key, value, entries, &options));

	return map.valid() ? 0 : errno;
}

int probe_xdp()
{
	Fd program(load_xdp(XDP_PASS));
	return program.valid() ? 0 : errno;
}

template <bpf_func_id helper> int helper_probe()
{
	// libbpf looks for words in the verifier's log, and without the right to load there is
	// none.
	if (const int error = probe_xdp())
		return error;
	const int found = libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, helper, nullptr);

	if (found == 1)
		return 0;
	return found < 0 ? -found : ENOSYS;
}

// Frees them.
int load_types(btf *types)
{
	std::uint32_t size = 0;
	const void *raw = btf__raw_data(types, &size);
	Fd fd(raw ? bpf_btf_load(raw, size, nullptr) : -1);
	const int error = fd.valid() ? 0 : errno;
	btf__free(types);
	return error;
}

int probe_btf()
{
	btf *types = btf__new_empty();
	if (!types)
		return errno;
	btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	return load_types(types);
}

// libbpf makes them static for kernels that know no others, which then verify for ever.
int probe_global_functions()
{
	btf *types = btf__new_empty();
	if (!types)
		return errno;
	const int number = btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	const int function = btf__add_func_proto(types, number);
	btf__add_func(types, "f", BTF_FUNC_GLOBAL, function);
	return load_types(types);
}

int probe_mmap_array()
{
	return map_probe(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE);
}

int probe_ring_buffer()
{
	return map_probe(BPF_MAP_TYPE_RINGBUF, 0, 0, static_cast<std::uint32_t>(::getpagesize()),
			 0);
}

int probe_map_in_map()
{
	Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "ax_probe", 4, 8, 1, nullptr));
	if (!inner.valid())
		return errno;
	LIBBPF_OPTS(bpf_map_create_opts, options,
		    .inner_map_fd = static_cast<std::uint32_t>(inner.get()));
	Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "ax_probe", 4, 4, 1, &options));
	return outer.valid() ? 0 : errno;
}

int probe_batch_ops()
{
	Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "ax_probe", 4, 8, 2, nullptr));
	if (!map.valid())
		return errno;
	const std::uint32_t keys[2] = {0, 1};
	const std::uint64_t values[2] = {7, 8};
	std::uint32_t count = 2;
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	return bpf_map_update_batch(map.get(), keys, values, &count, &options) ? errno : 0;
}

// lo has no native XDP, so this attaches nothing: a kernel with XDP links answers EOPNOTSUPP (or
// EEXIST, EBUSY if somebody is there), one without them EINVAL before it looks at the device.
int probe_xdp_link()
{
	Fd program(load_xdp(XDP_PASS));
	if (!program.valid())
		return errno;
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
	Fd link(bpf_link_create(program.get(), kLoopback, BPF_XDP, &options));
	return link.valid() || errno != EINVAL ? 0 : errno;
}

int probe_xdp_frags()
{
	Fd program(load_xdp(XDP_PASS, BPF_F_XDP_HAS_FRAGS));
	return program.valid() ? 0 : errno;
}

int probe_managed_neighbour()
{
	return managed_neighbours() ? 0 : ENOTSUP;
}

int probe_tcx()
{
	std::uint32_t count = 0;

	return bpf_prog_query(kLoopback, static_cast<bpf_attach_type>(kTcxIngress), 0, nullptr,
			      nullptr, &count)
		       ? errno
		       : 0;
}

int run_once(std::uint32_t verdict, std::uint32_t flags)
{
	Fd program(load_xdp(verdict));
	if (!program.valid())
		return errno;
	std::array<std::uint8_t, 64> frame{};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
		    .data_size_in = frame.size(), .repeat = 1, .flags = flags);
	return bpf_prog_test_run_opts(program.get(), &options) ? errno : 0;
}

int probe_test_run()
{
	return run_once(XDP_PASS, 0);
}

// Old kernels ignore every flag of a test run: one that means nothing must be refused first.
int probe_live_frames()
{
	constexpr std::uint32_t kUnknown = 1u << 7;

	if (run_once(XDP_DROP, kUnknown) == 0)
		return EOPNOTSUPP;
	return run_once(XDP_DROP, BPF_F_TEST_XDP_LIVE_FRAMES);
}

struct Entry {
	Feature feature;
	Probe probe;
	bool asked = false;
};

Entry entry(std::string_view name, bool required, std::string_view used_for,
	    std::string_view fallback, Probe probe)
{
	return {{name, false, required, true, used_for, fallback, {}}, probe};
}

// For a report to us: it says what else the kernel has, and changes nothing here.
Entry told(std::string_view name, std::string_view what, Probe probe)
{
	return {{name, false, false, false, what, "", {}}, probe};
}

std::vector<Entry> &table()
{
	static std::vector<Entry> entries = {
		entry("xdp", true, "the program itself", "", probe_xdp),
		entry("test_run", false, "replay, explain", "these commands refuse",
		      probe_test_run),
		entry("fib_lookup", true, "next hop of a backend", "",
		      helper_probe<BPF_FUNC_fib_lookup>),
		entry("mmap_array", false, "reading flows and tables without system calls",
		      "batched or single look-ups", probe_mmap_array),
		entry("batch_ops", false, "reading and filling maps in few system calls",
		      "single look-ups", probe_batch_ops),
		entry("xdp_link", false, "attachment that only its owner can take off",
		      "netlink attachment", probe_xdp_link),
		entry("dispatcher", false, "running beside other XDP programs (libxdp)",
		      "attach refuses where another program is", dispatcher::probe),
		entry("managed_neighbour", false, "next hops that the kernel keeps resolved",
		      "resolved at attach and apply; `ip neigh` entries age",
		      probe_managed_neighbour),
		entry("global_functions", false, "stages that are verified once each",
		      "the legacy build of the program", probe_global_functions),
		entry("jiffies64", false, "a clock that costs nothing",
		      "the legacy build of the program", helper_probe<BPF_FUNC_jiffies64>),
		entry("ring_buffer", false, "samples of dropped packets", "perf buffer",
		      probe_ring_buffer),
		entry("tcx", false, "server-to-client half of the loss report", "clsact qdisc",
		      probe_tcx),
		entry("xdp_frags", false, "frames in several buffers (jumbo)",
		      "the driver limits the MTU", probe_xdp_frags),
		entry("skc_lookup_tcp", true, "second chance at a backend", "",
		      helper_probe<BPF_FUNC_skc_lookup_tcp>),
		told("btf", "map contents by field name in bpftool, by libbpf (4.18)", probe_btf),
		told("map_in_map", "maps in maps (4.12)", probe_map_in_map),
		told("bpf_loop", "loops that are verified once (5.17)",
		     helper_probe<BPF_FUNC_loop>),
		told("xdp_load_bytes", "reading behind the first buffer (5.18)",
		     helper_probe<BPF_FUNC_xdp_load_bytes>),
		told("live_frames", "test runs that send (5.18)", probe_live_frames),
	};
	return entries;
}

std::vector<std::string> &absent()
{
	static std::vector<std::string> names = [] {
		std::vector<std::string> list;
		const char *text = std::getenv("AX_WITHOUT");
		std::string_view rest = text ? text : "";
		while (!rest.empty()) {
			const std::size_t comma = rest.find(',');
			list.emplace_back(rest.substr(0, comma));
			rest.remove_prefix(comma == std::string_view::npos ? rest.size()
									   : comma + 1);
		}
		return list;
	}();
	return names;
}

std::mutex &mutex()
{
	static std::mutex lock;
	return lock;
}

void ask(Entry &entry)
{
	if (!entry.asked) {
		LibbpfLog quiet;
		const int error = entry.probe();
		entry.feature.available = error == 0;
		entry.feature.detail = error ? std::strerror(error) : "";
		entry.asked = true;
	}
	for (const std::string &name : absent()) {
		if (name == entry.feature.name) {
			entry.feature.available = false;
			entry.feature.detail = "switched off for a test";
		}
	}
}

} // namespace

const std::vector<Feature> &features()
{
	static std::vector<Feature> list;
	const std::lock_guard guard(mutex());

	list.clear();
	for (Entry &entry : table()) {
		ask(entry);
		list.push_back(entry.feature);
	}
	return list;
}

bool has_feature(std::string_view name)
{
	const std::lock_guard guard(mutex());

	for (Entry &entry : table()) {
		if (entry.feature.name == name) {
			ask(entry);
			return entry.feature.available;
		}
	}
	return false;
}

void force_absent(std::string_view name)
{
	const std::lock_guard guard(mutex());

	absent().emplace_back(name);
}

} // namespace anycast
