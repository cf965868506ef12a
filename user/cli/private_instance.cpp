// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/private_instance.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <linux/bpf.h>

#include "kernel/features.h"

namespace anycast::cli {

namespace {

constexpr std::uint8_t kSourceMac[6] = {2, 0, 0, 0, 0, 1}, kNextHopMac[6] = {2, 0, 0, 0, 0, 2};

} // namespace

// A page less XDP's headroom and skb_shared_info. What is longer the kernel cuts into fragments, or
// refuses; the program would see a frame that ends too early.
std::size_t longest_run()
{
	return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) - 256 - 320;
}

// Flow tables, seeds and SYN sketches are per CPU: all packets have to meet the same.
Status stay_on_this_cpu()
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(::sched_getcpu(), &set);
	if (::sched_setaffinity(0, sizeof(set), &set) != 0)
		return fail_errno("stay on one CPU", errno);
	return {};
}

Result<Image> portable_image(Config config)
{
	if (!config.source_v4)
		config.source_v4 = Address::parse("192.0.2.1");
	if (!config.source_v6)
		config.source_v6 = Address::parse("2001:db8::1");
	auto image = compile(config, NodeFacts{}, Ids{});
	if (!image)
		return image;
	for (ax_backend &backend : image->backends) {
		if (backend.state == AX_BACKEND_ABSENT)
			continue;
		backend.flags |= AX_BACKEND_RESOLVED; // by the ingress: the verdict is tx
		backend.ifindex = kLoopback;
		backend.mtu = 65535;
		std::memcpy(backend.smac, kSourceMac, sizeof(backend.smac));
		std::memcpy(backend.dmac, kNextHopMac, sizeof(backend.dmac));
	}
	return image;
}

Result<Program> load_private(const Config &config, const Image &image)
{
	if (!has_feature("test_run"))
		return fail(Exit::kUnsupported,
			    "this kernel, or this user, runs no program on a frame (test_run)",
			    "`anycast-xdp features` tells what is missing; run it as root");
	LoadOptions options;
	options.roles = config.roles;
	options.replay = true;
	options.limits = config.limits;
	options.limits.flows_v4 = 65536;
	options.limits.flows_v6 = 16384;
	auto program = Program::load(options);
	if (!program)
		return program;

	ax_ctl control{};
	control.abi = AX_ABI_VERSION;
	control.table_seed[0] = 0x616e796361737478; // nobody aims at these tables
	control.table_seed[1] = 0x6470207265706c61;
	AX_TRY(program->dataplane().write_control(control));
	AX_TRY(program->dataplane().apply(image));
	return program;
}

std::string verdict_name(std::uint32_t verdict)
{
	switch (verdict) {
	case XDP_ABORTED:
		return "aborted";
	case XDP_DROP:
		return "drop";
	case XDP_PASS:
		return "pass";
	case XDP_TX:
		return "tx";
	case XDP_REDIRECT:
		return "redirect";
	default:
		return std::to_string(verdict);
	}
}

} // namespace anycast::cli
