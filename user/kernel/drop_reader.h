// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Samples of dropped frames from a running data plane: the last one of each reason, or all as they
// come. The program takes them at a limited rate (bpf/sample.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/drop_sample.h"
#include "kernel/dataplane.h"
#include "util/result.h"

struct ring_buffer;
struct perf_buffer;

namespace anycast {

// The newest over all CPUs; none if there was none, or the program that runs takes no samples.
Result<std::optional<DropSample>> last_sample(const Dataplane &dataplane, int reason);

// Who follows takes samples out of the buffer: two followers share them.
class DropFollower {
public:
	using Visit = std::function<void(const DropSample &)>;

	// Samples from before are discarded. Unsupported: the program that runs takes none.
	static Result<DropFollower> open(const Dataplane &dataplane, Visit visit);

	// Readable when there is something for consume(). Two where the pins are of two builds.
	[[nodiscard]] std::vector<int> fds() const;
	Status consume();
	// Samples that found the buffer full, where the kernel tells (perf buffer).
	[[nodiscard]] std::uint64_t missed() const { return sink_->missed; }

private:
	struct Sink {
		Visit visit;
		std::uint64_t since = 0, missed = 0;
	};
	struct Free {
		void operator()(ring_buffer *buffer) const;
		void operator()(perf_buffer *buffer) const;
	};
	static int take(Sink &sink, const void *data, std::size_t size);
	Status follow_ring(const Map &map);
	Status follow_perf(const Map &map);

	std::unique_ptr<Sink> sink_; // at one address: libbpf holds it
	std::unique_ptr<ring_buffer, Free> ring_;
	std::unique_ptr<perf_buffer, Free> perf_;
};

} // namespace anycast
