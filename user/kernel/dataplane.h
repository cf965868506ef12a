// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The maps of one loaded data plane, whether pinned by an attached interface or private to a
// replay. Knows the halves and the generation; knows nothing about interfaces and pins.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <anycast_xdp/abi.h>

#include "core/image.h"
#include "kernel/map.h"
#include "util/result.h"

namespace anycast {

struct ReasonCount {
	int reason = 0;
	std::uint64_t packets = 0, bytes = 0;
};

// Sizes that were fixed when the maps were made.
struct DataplaneSizes {
	std::uint32_t cpus, buckets4, buckets6, anomalies; // per CPU, but `cpus`
	std::uint32_t vips, pools, slots, backends, peers; // of one half
	std::uint32_t marked_flows;
	// Everything the maps take, as the kernel accounts it or, where it does not say, computed.
	std::uint64_t bytes;
	bool operator==(const DataplaneSizes &) const = default;
};

// What [limits] comes to on this machine (flow tables are rounded up to a power of two per CPU).
// `both_ways`: with the map of the tc program, which is there where services of this node answer.
DataplaneSizes sizes_for(const Limits &limits, std::uint32_t cpus, bool both_ways = false);

// [limits] inserts_per_second as ax_ctl.insert_limit counts it: per window of 16 jiffies.
std::uint32_t inserts_per_window(std::uint32_t per_second);

// The generation behind this one: 0 means "never configured", and the parity goes on alternating
// when the number wraps.
inline std::uint32_t next_generation(std::uint32_t generation)
{
	return generation + 1 ? generation + 1 : 2;
}

// Returns when every packet that is in the program now has left it: XDP programs are RCU readers.
void grace_period();

class Dataplane {
public:
	// Names of all maps, in the order `map list` shows them. Some are made only where they are
	// used: maps() says which there are.
	static std::span<const std::string_view> map_names();

	static Result<Dataplane> from_maps(std::map<std::string, Map, std::less<>> maps);

	[[nodiscard]] Map &map(std::string_view name); // one of map_names()
	[[nodiscard]] const Map &map(std::string_view name) const;
	[[nodiscard]] const Map *optional_map(std::string_view name) const; // or nothing
	[[nodiscard]] const std::map<std::string, Map, std::less<>> &maps() const { return maps_; }
	[[nodiscard]] DataplaneSizes sizes() const;

	// Control record. By value: works without a mapping too.
	Result<ax_ctl> control() const;
	Status write_control(const ax_ctl &ctl); // all of it: before the program is attached only
	Status set_generation(std::uint32_t generation);
	Status set_insert_limit(std::uint32_t per_window);
	Status set_active(std::uint32_t instance); // under a dispatcher
	Status set_clock(std::uint64_t ns);	   // replay
	Result<ax_trace> trace() const;		   // replay

	// Fills the idle half with the image, then raises the generation: the data path sees all of
	// it or nothing. On an error the running half is as it was. Returns the new generation.
	Result<std::uint32_t> apply(const Image &image);

	// For maps of marks that are new while marking goes on.
	Status restart_marking();

	// Does the running half hold just this image? (The ids' names are not in the maps.)
	Result<bool> holds(const Image &image) const;
	// What the running half holds, so that it can be shown.
	Result<std::vector<ax_slot>> read_slots(std::uint32_t first, std::uint32_t count) const;

	// Of one reason for which packets ended, and of all, zero ones too: each packet once; and,
	// besides, rules that only count and notes.
	Result<ReasonCount> reason(int number) const;
	Result<std::vector<ReasonCount>> reasons() const;
	Result<std::vector<ReasonCount>> notes() const;
	Result<std::vector<ax_traffic>> vip_counters() const;
	Result<std::vector<ax_traffic>> backend_counters() const;
	Result<std::vector<ax_loss_sum>> vip_loss() const;
	Result<std::vector<ax_loss_sum>> backend_loss() const;
	Result<std::vector<ax_peer_counters>> peer_counters() const;

private:
	Status fill(const Image &image, std::uint32_t half);
	Status clear_reused_counters(const Image &image, std::uint32_t running);
	Status start_marking(const Image &image, const ax_settings &before);
	Status say_that_marks_count(); // since now

	std::map<std::string, Map, std::less<>> maps_;
};

} // namespace anycast
