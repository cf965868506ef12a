// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/katran.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <sched.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "kernel/sizes.h"
#include "util/fd.h"

#include "katran_proxy.skel.h"

#include "bench/katran_proxy.h"

namespace anycast::bench {

namespace {

constexpr std::uint32_t kFlowKey = 40, kOtherLru = 1000;

Status put(bpf_map *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) != 0)
		return fail_errno(fmt::format("fill {}", bpf_map__name(map)), errno);
	return {};
}

proxy_vip_key key_of(const Vip &vip)
{
	const ax_addr address = vip.address.raw();
	proxy_vip_key key{};

	if (vip.address.is_v4())
		key.addr[0] = address.word[3];
	else
		std::memcpy(key.addr, address.word, sizeof(key.addr));
	key.port = htons(vip.port);
	key.proto = vip.protocol;
	return key;
}

proxy_real real_of(const Backend &backend)
{
	const ax_addr address = backend.address.raw();
	proxy_real real{};

	if (backend.address.is_v4()) {
		real.dst[0] = address.word[3];
	} else {
		std::memcpy(real.dst, address.word, sizeof(real.dst));
		real.flags = PROXY_REAL_V6;
	}
	return real;
}

// One kernel LRU for each CPU, without flags; those of CPUs that run nothing here are small.
// With the types of the one that Katran falls back to: 6.1 takes no other.
Status make_lrus(const katran_proxy_bpf &skeleton, std::uint32_t entries)
{
	const auto &maps = skeleton.maps;
	const auto own = static_cast<std::uint32_t>(::sched_getcpu());

	for (std::uint32_t cpu = 0; cpu < possible_cpus(); ++cpu) {
		LIBBPF_OPTS(bpf_map_create_opts, types,
			    .btf_fd = static_cast<__u32>(bpf_object__btf_fd(skeleton.obj)),
			    .btf_key_type_id = bpf_map__btf_key_type_id(maps.proxy_fallback),
			    .btf_value_type_id = bpf_map__btf_value_type_id(maps.proxy_fallback));
		const Fd lru(bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "katran_lru", kFlowKey,
					    sizeof(proxy_flow), cpu == own ? entries : kOtherLru,
					    &types));
		if (!lru.valid())
			return fail_errno("make a kernel LRU", errno);
		const int fd = lru.get();
		AX_TRY(put(maps.proxy_lrus, &cpu, &fd));
	}
	return {};
}

// Katran's ring of a VIP, here by turns: what it holds does not change what reading it costs.
Status fill_ring(bpf_map *rings, std::uint32_t vip, std::uint32_t first, std::uint32_t reals)
{
	std::vector<std::uint32_t> keys(PROXY_RING), values(PROXY_RING);
	std::uint32_t count = PROXY_RING;

	for (std::uint32_t i = 0; i < PROXY_RING; ++i) {
		keys[i] = vip * PROXY_RING + i;
		values[i] = first + i % reals;
	}
	if (int error = bpf_map_update_batch(bpf_map__fd(rings), keys.data(), values.data(), &count,
					     nullptr))
		return fail_errno("fill the Katran proxy's ring", error);
	return {};
}

} // namespace

void KatranProxy::Close::operator()(katran_proxy_bpf *skeleton) const
{
	katran_proxy_bpf__destroy(skeleton);
}

KatranProxy::KatranProxy(KatranProxy &&) noexcept = default;
KatranProxy &KatranProxy::operator=(KatranProxy &&) noexcept = default;
KatranProxy::~KatranProxy() = default;

Result<KatranProxy> KatranProxy::load(const NodeOptions &options, std::uint32_t flood_guard,
				      std::uint32_t lru_entries)
{
	const Config config = node_config(options);
	const proxy_mac mac{.mac = {2, 0, 0, 0, 0, 2}};
	const std::uint32_t zero = 0;
	std::uint32_t reals = 1, number = 0; // real 0 is none
	KatranProxy proxy;

	proxy.skeleton_.reset(katran_proxy_bpf__open());
	if (!proxy.skeleton_)
		return fail_errno("open the Katran proxy", errno);
	const auto &maps = proxy.skeleton_->maps;
	proxy.skeleton_->rodata->proxy_max_rate = flood_guard;
	const auto vips = static_cast<std::uint32_t>(std::min<std::size_t>(config.vips.size(), 5));
	bpf_map__set_max_entries(maps.proxy_rings, vips * PROXY_RING);
	if (int error = katran_proxy_bpf__load(proxy.skeleton_.get()))
		return fail_errno("load the Katran proxy", error);

	AX_TRY(make_lrus(*proxy.skeleton_, lru_entries));
	AX_TRY(put(maps.proxy_ctl, &zero, &mac));
	for (const Pool &pool : config.pools) {
		const std::uint32_t first = reals;
		for (const Backend &backend : pool.backends) {
			const proxy_real real = real_of(backend);
			AX_TRY(put(maps.proxy_reals, &reals, &real));
			reals++;
		}
		for (const Vip &vip : config.vips) {
			if (vip.pool != pool.name || number == vips)
				continue;
			const proxy_vip_key key = key_of(vip);
			const proxy_vip value{0, number};
			AX_TRY(put(maps.proxy_vips, &key, &value));
			AX_TRY(fill_ring(maps.proxy_rings, number++, first,
					 static_cast<std::uint32_t>(pool.backends.size())));
		}
	}
	return proxy;
}

int KatranProxy::fd() const
{
	return bpf_program__fd(skeleton_->progs.katran_proxy);
}

} // namespace anycast::bench
