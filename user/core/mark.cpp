// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/mark.h"

#include <arpa/inet.h>

#include <algorithm>

#include "core/vip_places.h"

namespace anycast {

std::uint8_t mark_shift(Milliseconds period, std::uint32_t hz)
{
	const std::uint64_t wanted = static_cast<std::uint64_t>(period.count()) * std::max(hz, 1U);
	std::uint8_t shift = 1;

	while (shift < 20 && (std::uint64_t{1000} << shift) < wanted)
		shift++;
	return shift;
}

bool is_marked(const Config &config, const Vip &vip)
{
	return config.marking && unmarked_because(config, vip).empty();
}

std::string unmarked_because(const Config &config, const Vip &vip)
{
	if (vip.forward != AX_FORWARD_GUE && vip.forward != AX_FORWARD_IPIP)
		return "no second observer: the packet reaches its backend as it is";
	if (vip.forward == AX_FORWARD_GUE && config.gue_variant != 0)
		return "GUE variant 1 has no room for a mark";
	if (!config.marking)
		return "[tunnel] marking is off";
	return {};
}

std::uint64_t MarkRecord::packets() const
{
	std::uint64_t all = settled;
	for (const MarkPeriod &period : periods)
		all += period.packets;
	return all;
}

std::int64_t MarkClock::unix_ms(std::uint64_t at) const
{
	const auto ago = static_cast<std::int64_t>(jiffies - at);
	return now - ago * 1000 / std::max<std::int64_t>(hz, 1);
}

std::int64_t MarkClock::unix_ms_of_low(std::uint32_t at) const
{
	const auto ago = static_cast<std::int32_t>(static_cast<std::uint32_t>(jiffies) - at);
	return now - std::int64_t{ago} * 1000 / std::max<std::int64_t>(hz, 1);
}

namespace {

MarkRecord record_of(const ax_mark_key &key, const ::ax_mark &mark, const MarkClock &clock)
{
	MarkRecord record;

	record.key.edge = Address(key.edge);
	record.key.backend = Address(key.backend);
	record.key.vip = Address(key.vip);
	record.key.port = ntohs(key.port);
	record.key.protocol = key.proto;
	if (key.client.pair[0] != 0 || key.client.pair[1] != 0) {
		record.key.client = Address(key.client);
		record.key.client_port = ntohs(key.client_port);
	}
	record.settled = mark.settled;
	record.since = clock.unix_ms(mark.since);
	record.last = clock.unix_ms_of_low(mark.stamp);
	record.first = mark.first;
	for (const ax_mark_slot &slot : mark.slot)
		if (slot.used)
			record.periods.push_back(
				{slot.period, slot.packets, clock.unix_ms_of_low(slot.stamp)});
	std::ranges::sort(record.periods, {}, &MarkPeriod::began);
	return record;
}

// Another interface may have seen the same: the slots of both are kept, side by side.
void add_record(std::vector<MarkRecord> &to, MarkRecord record)
{
	const auto known = std::ranges::find(to, record.key, &MarkRecord::key);
	if (known == to.end()) {
		to.push_back(std::move(record));
		return;
	}
	if (record.since < known->since) {
		known->since = record.since;
		known->first = record.first;
	}
	known->last = std::max(known->last, record.last);
	known->settled += record.settled;
	known->periods.insert(known->periods.end(), record.periods.begin(), record.periods.end());
	std::ranges::sort(known->periods, {}, &MarkPeriod::began);
}

void add_state(MarkSide &side, const ::ax_mark &mark, const MarkClock &clock)
{
	const MarkRecord record = record_of({}, mark, clock);

	side.since = std::max(side.since.value_or(record.since), record.since);
	side.no_room += record.packets();
	if (record.packets() != 0)
		side.last_no_room = std::max(side.last_no_room.value_or(record.last), record.last);
}

} // namespace

void add_marks(MarkReport &report, const std::vector<MarkEntry> &entries, const MarkClock &clock)
{
	const bool first = report.sent.flows.empty() && report.received.flows.empty() &&
			   report.sent.sums.empty() && report.received.sums.empty();

	for (const auto &[key, mark] : entries) {
		if (key.kind == AX_MARK_UNSENT || key.kind == AX_MARK_UNRECEIVED) {
			add_state(key.kind == AX_MARK_UNSENT ? report.sent : report.received, mark,
				  clock);
			continue;
		}
		if (mark.since == 0) // made, and not counted yet
			continue;
		MarkSide &side = key.kind == AX_MARK_SENT ? report.sent : report.received;
		MarkRecord record = record_of(key, mark, clock);
		auto &list = record.key.client ? side.flows : side.sums;
		if (first) // a million flows: no search where each comes once
			list.push_back(std::move(record));
		else
			add_record(list, std::move(record));
	}
}

namespace {

// One port of one protocol, else all services of the address.
bool is_of(const MarkKey &key, const Vip &vip)
{
	return prefix_of(vip).contains(key.vip) && (vip.port == 0 || vip.port == key.port) &&
	       (vip.protocol == 0 || vip.protocol == key.protocol);
}

void name_records(std::vector<MarkRecord> &records, const Config &config)
{
	for (MarkRecord &record : records) {
		if (!record.vip.empty())
			continue;
		const MarkKey &key = record.key;
		const Vip *found = nullptr; // the most particular of those it may be
		for (const Vip &vip : config.vips) {
			const bool whole =
				key.port == 0 && vip.port == 0 && prefix_of(vip).contains(key.vip);
			if ((is_of(key, vip) || whole) &&
			    (!found || (vip.port != 0 && found->port == 0)))
				found = &vip;
		}
		if (!found)
			continue;
		record.vip = found->name;
		for (const Pool &pool : config.pools)
			if (pool.name == found->pool)
				for (const Backend &backend : pool.backends)
					if (backend.address == key.backend)
						record.backend = pool.name + "/" + backend.name;
	}
}

} // namespace

void name_marks(MarkReport &report, const Config &config)
{
	name_records(report.sent.sums, config);
	name_records(report.sent.flows, config);
}

void set_period(MarkReport &report, std::uint8_t shift, const MarkClock &clock)
{
	report.time = clock.now;
	if (shift == 0)
		return;
	report.period_ms = 1000.0 * static_cast<double>(1U << shift) / clock.hz;
	report.period = clock.jiffies >> shift;
	report.period_began = clock.unix_ms(report.period << shift);
}

} // namespace anycast
