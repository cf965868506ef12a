// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/drop_reader.h"

#include <ctime>

#include <cstring>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/libbpf_log.h"

namespace anycast {

namespace {

constexpr std::size_t kPerfPages = 4; // per CPU

const Map *map_of(const Dataplane &dataplane, std::string_view name)
{
	const auto found = dataplane.maps().find(name);
	return found == dataplane.maps().end() ? nullptr : &found->second;
}

std::uint64_t monotonic_ns()
{
	timespec now{};
	::clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
	       static_cast<std::uint64_t>(now.tv_nsec);
}

Result<std::vector<ax_sample>> all_cpus(const Map &map, std::uint32_t reason)
{
	std::vector<ax_sample> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));

	if (const int error = bpf_map_lookup_elem(map.fd(), &reason, values.data()))
		return fail_errno("read map ax_drop_last", error);
	return values;
}

bool are_equal(const std::vector<ax_sample> &a, const std::vector<ax_sample> &b)
{
	return std::memcmp(a.data(), b.data(), a.size() * sizeof(ax_sample)) == 0;
}

} // namespace

static_assert(sizeof(ax_sample) % 8 == 0, "per-CPU values are laid out in words");

Result<std::optional<DropSample>> last_sample(const Dataplane &dataplane, int reason)
{
	const Map *map = map_of(dataplane, "ax_drop_last");
	if (!map)
		return std::optional<DropSample>{};
	// The program may be writing: what reads the same twice is whole. It writes a few times a
	// second.
	auto values = all_cpus(*map, static_cast<std::uint32_t>(reason));
	for (int tries = 0; values && tries < 8; ++tries) {
		auto again = all_cpus(*map, static_cast<std::uint32_t>(reason));
		if (again && are_equal(*values, *again))
			break;
		values = std::move(again);
	}
	if (!values)
		return tl::unexpected(std::move(values.error()));
	const ax_sample *newest = nullptr;
	for (const ax_sample &sample : *values)
		if (sample.time_ns != 0 && (!newest || sample.time_ns > newest->time_ns))
			newest = &sample;
	if (!newest)
		return std::optional<DropSample>{};
	return std::optional(decode_sample(*newest));
}

void DropFollower::Free::operator()(ring_buffer *buffer) const
{
	ring_buffer__free(buffer);
}

void DropFollower::Free::operator()(perf_buffer *buffer) const
{
	perf_buffer__free(buffer);
}

int DropFollower::take(Sink &sink, const void *data, std::size_t size)
{
	ax_sample sample{};

	if (size < sizeof(sample))
		return 0;
	std::memcpy(&sample, data, sizeof(sample));
	if (sample.time_ns >= sink.since)
		sink.visit(decode_sample(sample));
	return 0;
}

Status DropFollower::follow_ring(const Map &map)
{
	const auto visit = [](void *sink, void *data, std::size_t size) {
		return take(*static_cast<Sink *>(sink), data, size);
	};
	ring_.reset(ring_buffer__new(map.fd(), visit, sink_.get(), nullptr));
	if (!ring_)
		return fail_errno("open the ring buffer ax_drop_ring", errno,
				  "its pin must be writable for who follows");
	return {};
}

Status DropFollower::follow_perf(const Map &map)
{
	const auto visit = [](void *sink, int, void *data, std::uint32_t size) {
		take(*static_cast<Sink *>(sink), data, size);
	};
	const auto lost = [](void *sink, int, unsigned long long count) {
		static_cast<Sink *>(sink)->missed += count;
	};
	perf_.reset(perf_buffer__new(map.fd(), kPerfPages, visit, lost, sink_.get(), nullptr));
	if (!perf_)
		return fail_errno("open perf buffers for ax_drop_perf", errno,
				  errno == EPERM || errno == EACCES ? "CAP_PERFMON is needed" : "");
	return {};
}

Result<DropFollower> DropFollower::open(const Dataplane &dataplane, Visit visit)
{
	const Map *ring = map_of(dataplane, "ax_drop_ring");
	const Map *perf = map_of(dataplane, "ax_drop_perf");
	LibbpfLog quiet;
	DropFollower follower;

	follower.sink_ = std::make_unique<Sink>();
	follower.sink_->visit = std::move(visit);
	follower.sink_->since = monotonic_ns();
	if (!ring && !perf)
		return fail(Exit::kUnsupported, "the program that runs takes no samples",
			    "attach again: it is of an older build");
	if (ring)
		AX_TRY(follower.follow_ring(*ring));
	if (perf)
		AX_TRY(follower.follow_perf(*perf));
	return follower;
}

std::vector<int> DropFollower::fds() const
{
	std::vector<int> fds;
	if (ring_)
		fds.push_back(ring_buffer__epoll_fd(ring_.get()));
	if (perf_)
		fds.push_back(perf_buffer__epoll_fd(perf_.get()));
	return fds;
}

Status DropFollower::consume()
{
	if (ring_)
		if (const int error = ring_buffer__consume(ring_.get()); error < 0)
			return fail_errno("read the ring buffer ax_drop_ring", error);
	if (perf_)
		if (const int error = perf_buffer__consume(perf_.get()); error < 0)
			return fail_errno("read the perf buffers of ax_drop_perf", error);
	return {};
}

} // namespace anycast
