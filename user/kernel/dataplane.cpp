// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/dataplane.h"

#include <atomic>
#include <cstddef>
#include <fstream>
#include <span>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "core/reasons.h"
#include "kernel/clock.h"
#include "kernel/sizes.h"

namespace anycast {

std::uint32_t inserts_per_window(std::uint32_t per_second)
{
	static const std::uint32_t hz = kernel_hz();

	if (per_second == 0)
		return 0;
	return std::max<std::uint32_t>(
		1, static_cast<std::uint32_t>(std::uint64_t{per_second} * 16 / hz));
}

std::span<const std::string_view> Dataplane::map_names()
{
	static const std::vector<std::string_view> names = [] {
		std::vector<std::string_view> list;
		for (const MapShape &shape : map_shapes({}))
			list.push_back(shape.name);
		return list;
	}();
	return names;
}

Result<Dataplane> Dataplane::from_maps(std::map<std::string, Map, std::less<>> maps)
{
	Dataplane dataplane;

	dataplane.maps_ = std::move(maps);
	for (const MapShape &shape : map_shapes({})) {
		const auto found = dataplane.maps_.find(shape.name);
		if (found == dataplane.maps_.end() && shape.optional)
			continue;
		if (found == dataplane.maps_.end())
			return fail(Exit::kFailed, fmt::format("map {} is missing", shape.name),
				    shape.name == std::string_view("ax_ctl")
					    ? "detach the interface, then attach it again: flows "
					      "are lost"
					    : "attach the interface again with its configuration: "
					      "packets flow on meanwhile, and what the map held "
					      "begins anew");
		const Map &map = found->second;
		if (map.key_size() != shape.key_size || map.value_size() != shape.value_size ||
		    map.type() != shape.type)
			return fail(
				Exit::kFailed,
				fmt::format("map {} is not ours: type {}, key {} bytes, value {} "
					    "bytes instead of type {}, {} and {}",
					    shape.name, static_cast<int>(map.type()),
					    map.key_size(), map.value_size(),
					    static_cast<int>(shape.type), shape.key_size,
					    shape.value_size),
				"it was pinned by another build or by hand: detach the interface, "
				"then attach it again");
	}
	return dataplane;
}

Map &Dataplane::map(std::string_view name)
{
	return const_cast<Map &>(std::as_const(*this).map(name));
}

const Map &Dataplane::map(std::string_view name) const
{
	const auto found = maps_.find(name);

	if (found == maps_.end())
		throw std::logic_error(fmt::format("no map is called {}", name));
	return found->second;
}

const Map *Dataplane::optional_map(std::string_view name) const
{
	const auto found = maps_.find(name);

	return found == maps_.end() ? nullptr : &found->second;
}

DataplaneSizes Dataplane::sizes() const
{
	DataplaneSizes s{};

	s.cpus = map("ax_cpu").max_entries();
	s.buckets4 = map("ax_flow4_idx").max_entries() / s.cpus;
	s.buckets6 = map("ax_flow6_idx").max_entries() / s.cpus;
	s.anomalies = map("ax_anomaly").max_entries() / s.cpus;
	s.vips = map("ax_vip_info").max_entries() / 2;
	s.pools = map("ax_pool").max_entries() / 2;
	s.slots = map("ax_slot").max_entries() / 2;
	s.backends = map("ax_backend").max_entries() / 2;
	s.peers = map("ax_peer_ctr").max_entries();
	if (const Map *marks = optional_map("ax_mark"))
		s.marked_flows = marks->max_entries();
	for (const MapShape &shape : map_shapes(s)) {
		if (!maps_.contains(shape.name))
			continue;
		// Before 6.4 a map that grows is accounted as if it were full.
		const std::uint64_t accounted = shape.grows ? 0 : map(shape.name).memory();
		s.bytes += accounted ? accounted : map_bytes(shape, s.cpus);
	}
	return s;
}

// ---- control record --------------------------------------------------------------------------

Result<ax_ctl> Dataplane::control() const
{
	ax_ctl ctl{};

	AX_TRY(map("ax_ctl").read_at<ax_ctl>(0, std::span(&ctl, 1)));
	return ctl;
}

Status Dataplane::write_control(const ax_ctl &ctl)
{
	return map("ax_ctl").write_at<ax_ctl>(0, std::span(&ctl, 1));
}

namespace {

// One aligned store into the mapped record; without a mapping the whole record is written back.
template <typename T> Status store(Dataplane &dataplane, T ax_ctl::*member, T value)
{
	Map &map = dataplane.map("ax_ctl");

	if (map.mapped() && map.writable()) {
		T &field = reinterpret_cast<ax_ctl *>(map.mapped())->*member;
		std::atomic_thread_fence(std::memory_order_seq_cst);
		std::atomic_ref<T>(field).store(value, std::memory_order_seq_cst);
		return {};
	}
	auto ctl = dataplane.control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	(*ctl).*member = value;
	return dataplane.write_control(*ctl);
}

} // namespace

Status Dataplane::set_generation(std::uint32_t generation)
{
	return store(*this, &ax_ctl::generation, generation);
}

Status Dataplane::set_insert_limit(std::uint32_t per_window)
{
	return store(*this, &ax_ctl::insert_limit, per_window);
}

Status Dataplane::set_active(std::uint32_t instance)
{
	return store(*this, &ax_ctl::active, instance);
}

Status Dataplane::set_clock(std::uint64_t ns)
{
	static_assert(sizeof(__u64) == sizeof(std::uint64_t));
	return store<__u64>(*this, &ax_ctl::clock_ns, ns);
}

Result<ax_trace> Dataplane::trace() const
{
	const Map &record = map("ax_ctl");

	if (record.mapped())
		return reinterpret_cast<const ax_ctl *>(record.mapped())->trace;
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	return ctl->trace;
}

Result<std::vector<ax_slot>> Dataplane::read_slots(std::uint32_t first, std::uint32_t count) const
{
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));

	const Map &slots = map("ax_slot");
	const std::uint32_t half = slots.max_entries() / 2;
	std::vector<ax_slot> values(count);
	if (first > half || count > half - first)
		return fail(Exit::kFailed, fmt::format("slots {}..{} are beyond the table's {}",
						       first, std::uint64_t{first} + count, half));
	AX_TRY(slots.read_at<ax_slot>((ctl->generation & 1) * half + first, values));
	return values;
}

// ---- counters --------------------------------------------------------------------------------

namespace {

template <typename T> Result<std::vector<T>> sums(const Map &map)
{
	std::vector<T> list(map.max_entries());

	for (std::uint32_t i = 0; i < list.size(); ++i) {
		auto words = map.sum(i);
		if (!words)
			return tl::unexpected(std::move(words.error()));
		std::memcpy(&list[i], words->data(), sizeof(T));
	}
	return list;
}

Result<ReasonCount> count_in(const Map &map, int reason)
{
	auto words = map.sum(static_cast<std::uint32_t>(reason));

	if (!words)
		return tl::unexpected(std::move(words.error()));
	return ReasonCount{reason, (*words)[0], (*words)[1]};
}

// Of all reasons.
template <typename Count> Result<std::vector<ReasonCount>> each(const Count &count_of)
{
	std::vector<ReasonCount> list;

	for (const ReasonInfo &info : reasons()) {
		auto count = count_of(info.number);
		if (!count)
			return tl::unexpected(std::move(count.error()));
		list.push_back(*count);
	}
	return list;
}

} // namespace

Result<ReasonCount> Dataplane::reason(int number) const
{
	auto count = count_in(map("ax_reason"), number);
	ax_counter ax_usual::*const usual = number == AX_R_STEERED  ? &ax_usual::steered
					    : number == AX_R_NOT_IP ? &ax_usual::not_ip
								    : nullptr;

	if (!count || !usual)
		return count;
	std::vector<ax_usual> cpus(AX_USUAL_CPUS);
	AX_TRY(map("ax_usual").read(0, std::as_writable_bytes(std::span(cpus))));
	for (const ax_usual &cpu : cpus) {
		count->packets += (cpu.*usual).packets;
		count->bytes += (cpu.*usual).bytes;
	}
	return count;
}

Result<std::vector<ReasonCount>> Dataplane::reasons() const
{
	return each([&](int number) { return reason(number); });
}

Result<std::vector<ReasonCount>> Dataplane::notes() const
{
	return each([&](int number) { return count_in(map("ax_note"), number); });
}

Result<std::vector<ax_traffic>> Dataplane::vip_counters() const
{
	return sums<ax_traffic>(map("ax_vip_ctr"));
}

Result<std::vector<ax_traffic>> Dataplane::backend_counters() const
{
	return sums<ax_traffic>(map("ax_backend_ctr"));
}

Result<std::vector<ax_loss_sum>> Dataplane::vip_loss() const
{
	return sums<ax_loss_sum>(map("ax_vip_loss"));
}

Result<std::vector<ax_loss_sum>> Dataplane::backend_loss() const
{
	return sums<ax_loss_sum>(map("ax_backend_loss"));
}

Result<std::vector<ax_peer_counters>> Dataplane::peer_counters() const
{
	return sums<ax_peer_counters>(map("ax_peer_ctr"));
}

} // namespace anycast
