// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/lru_flow.h"

#include <bpf/libbpf.h>

#include "lru_flow.skel.h"

namespace anycast::bench {

void KernelLru::Close::operator()(lru_flow_bpf *skeleton) const
{
	lru_flow_bpf__destroy(skeleton);
}

KernelLru::KernelLru(KernelLru &&) noexcept = default;
KernelLru &KernelLru::operator=(KernelLru &&) noexcept = default;
KernelLru::~KernelLru() = default;

Result<KernelLru> KernelLru::load(std::uint32_t entries)
{
	KernelLru lru;

	lru.skeleton_.reset(lru_flow_bpf__open());
	if (!lru.skeleton_)
		return fail_errno("open the kernel LRU's program", errno);
	bpf_map__set_max_entries(lru.skeleton_->maps.lru_flows, entries);
	if (int error = lru_flow_bpf__load(lru.skeleton_.get()))
		return fail_errno("load the kernel LRU's program", error);
	return lru;
}

int KernelLru::fd() const
{
	return bpf_program__fd(skeleton_->progs.lru_flow);
}

} // namespace anycast::bench
