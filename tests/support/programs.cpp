// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/programs.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <atomic>

#include "support/dropper.h"
#include "lab.skel.h"
#include "support/isolation.h"

namespace anycast::test {

namespace {

unsigned index_of(const LinkEnd &end)
{
	const unsigned index = if_nametoindex(end.name.c_str());
	if (index == 0)
		throw_errno(end.netns.name() + " " + end.name);
	return index;
}

void attach_tc(const LinkEnd &end, const bpf_program *program, bpf_tc_attach_point point)
{
	end.netns.run([&] {
		bpf_tc_hook hook{};
		hook.sz = sizeof(hook);
		hook.ifindex = static_cast<int>(index_of(end));
		hook.attach_point = point;
		bpf_tc_hook_create(&hook); // EEXIST is fine
		bpf_tc_opts options{};
		options.sz = sizeof(options);
		options.prog_fd = bpf_program__fd(program);
		if (const int error = bpf_tc_attach(&hook, &options)) {
			errno = -error;
			throw_errno("tc program on " + end.netns.name() + " " + end.name);
		}
	});
}

void attach_egress(const LinkEnd &end, const bpf_program *program)
{
	attach_tc(end, program, BPF_TC_EGRESS);
}

} // namespace

void LabPrograms::Destroy::operator()(lab_bpf *skeleton) const
{
	lab_bpf__destroy(skeleton);
}

LabPrograms::LabPrograms() : skeleton_(lab_bpf__open_and_load())
{
	if (!skeleton_)
		throw_errno("load the lab's programs");
}

LabPrograms::~LabPrograms() = default;

void LabPrograms::pass_xdp(const LinkEnd &end)
{
	end.netns.run([&] {
		const int error = bpf_xdp_attach(static_cast<int>(index_of(end)),
						 bpf_program__fd(skeleton_->progs.xdp_pass),
						 XDP_FLAGS_DRV_MODE, nullptr);
		if (error) {
			errno = -error;
			throw_errno("native XDP on " + end.netns.name() + " " + end.name);
		}
	});
	disable_offloads(end); // veth switches GRO on with its first XDP program
}

void LabPrograms::forget_hash(const LinkEnd &end)
{
	attach_egress(end, skeleton_->progs.forget_hash);
}

void LabPrograms::tag(const LinkEnd &end)
{
	attach_tc(end, skeleton_->progs.untag_arriving, BPF_TC_INGRESS);
	attach_egress(end, skeleton_->progs.tag_leaving);
}

void LabPrograms::attach_dropper(const LinkEnd &end)
{
	attach_egress(end, skeleton_->progs.drop_some);
}

void LabPrograms::attach_dropper_ingress(const LinkEnd &end)
{
	attach_tc(end, skeleton_->progs.drop_some, BPF_TC_INGRESS);
}

void LabPrograms::drop(std::uint64_t seed, unsigned per_10000, const std::string &address,
		       std::uint16_t port)
{
	lab_dropper dropper{};
	dropper.seed = seed;
	dropper.port = htons(port);
	dropper.per_10000 = per_10000;
	dropper.address[2] = htonl(0xffff);
	if (inet_pton(AF_INET, address.c_str(), &dropper.address[3]) != 1 &&
	    inet_pton(AF_INET6, address.c_str(), dropper.address) != 1)
		throw LabError("not an address: " + address);
	skeleton_->bss->dropper = dropper;
	std::atomic_thread_fence(std::memory_order_seq_cst);
	skeleton_->bss->dropper.active = 1;
}

void LabPrograms::stop_dropping()
{
	skeleton_->bss->dropper.active = 0;
}

DropperCounts LabPrograms::dropped() const
{
	const lab_dropper &dropper = skeleton_->bss->dropper;
	return {dropper.packets, dropper.bytes, dropper.dropped_first, dropper.dropped_again};
}

} // namespace anycast::test
