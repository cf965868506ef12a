// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/mark_json.h"

#include <stdexcept>

#include <fmt/format.h>

namespace anycast {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostRecords = 1 << 22; // of what another node says

ordered_json time_json(const std::optional<std::int64_t> &time)
{
	return time ? ordered_json(*time) : ordered_json(nullptr);
}

ordered_json name_json(const std::string &name)
{
	return name.empty() ? ordered_json(nullptr) : ordered_json(name);
}

ordered_json record_json(const MarkRecord &record)
{
	const MarkKey &key = record.key;
	ordered_json json{{"edge", key.edge.text()},
			  {"backend", key.backend.text()},
			  {"vip", key.vip.text()},
			  {"port", key.port},
			  {"protocol", key.protocol}};
	if (key.client) {
		json["client"] = key.client->text();
		json["client_port"] = key.client_port;
	}
	if (!record.vip.empty() || !record.backend.empty()) {
		json["vip_name"] = name_json(record.vip);
		json["backend_name"] = name_json(record.backend);
	}
	json["packets"] = record.packets();
	json["since"] = record.since;
	json["last"] = record.last;
	json["first"] = record.first;
	json["settled"] = record.settled;
	ordered_json &periods = json["periods"] = ordered_json::array();
	for (const MarkPeriod &period : record.periods)
		periods.push_back({{"period", period.period},
				   {"packets", period.packets},
				   {"began", period.began}});
	return json;
}

ordered_json side_json(const MarkSide &side, bool with_flows)
{
	ordered_json json{{"since", time_json(side.since)},
			  {"no_room", side.no_room},
			  {"last_no_room", time_json(side.last_no_room)}};
	ordered_json &sums = json["services"] = ordered_json::array();
	for (const MarkRecord &record : side.sums)
		sums.push_back(record_json(record));
	ordered_json &flows = json["flows"] = ordered_json::array();
	if (with_flows)
		for (const MarkRecord &record : side.flows)
			flows.push_back(record_json(record));
	return json;
}

Address address_from(const ordered_json &json)
{
	const auto address = Address::parse(json.get_ref<const std::string &>());
	if (!address)
		throw std::runtime_error("not an address: " + json.dump());
	return *address;
}

template <typename T> T below(const ordered_json &json, std::uint64_t limit)
{
	const auto value = json.get<std::uint64_t>();
	if (!json.is_number_unsigned() || value >= limit)
		throw std::runtime_error("out of range: " + json.dump());
	return static_cast<T>(value);
}

std::optional<std::int64_t> time_from(const ordered_json &json)
{
	return json.is_null() ? std::nullopt : std::optional(json.get<std::int64_t>());
}

std::string name_from(const ordered_json &json, const char *key)
{
	const auto found = json.find(key);
	return found == json.end() || found->is_null() ? std::string() : found->get<std::string>();
}

MarkRecord record_from(const ordered_json &json, bool flow)
{
	MarkRecord record;
	MarkKey &key = record.key;

	key.edge = address_from(json.at("edge"));
	key.backend = address_from(json.at("backend"));
	key.vip = address_from(json.at("vip"));
	key.port = below<std::uint16_t>(json.at("port"), 65536);
	key.protocol = below<std::uint8_t>(json.at("protocol"), 256);
	if (flow) {
		key.client = address_from(json.at("client"));
		key.client_port = below<std::uint16_t>(json.at("client_port"), 65536);
	}
	record.vip = name_from(json, "vip_name");
	record.backend = name_from(json, "backend_name");
	record.since = json.at("since").get<std::int64_t>();
	record.last = json.at("last").get<std::int64_t>();
	record.first = below<std::uint8_t>(json.at("first"), AX_MARK_PERIOD + 1);
	record.settled = json.at("settled").get<std::uint64_t>();
	for (const ordered_json &period : json.at("periods"))
		record.periods.push_back(
			{below<std::uint8_t>(period.at("period"), AX_MARK_PERIOD + 1),
			 below<std::uint32_t>(period.at("packets"), UINT64_C(1) << 32),
			 period.at("began").get<std::int64_t>()});
	return record;
}

void side_from(const ordered_json &json, MarkSide &side)
{
	side.since = time_from(json.at("since"));
	side.no_room = json.at("no_room").get<std::uint64_t>();
	side.last_no_room = time_from(json.at("last_no_room"));
	if (json.at("services").size() + json.at("flows").size() > kMostRecords)
		throw std::runtime_error("too many records");
	for (const ordered_json &record : json.at("services"))
		side.sums.push_back(record_from(record, false));
	for (const ordered_json &record : json.at("flows"))
		side.flows.push_back(record_from(record, true));
}

} // namespace

ordered_json marks_to_json(const MarkReport &report, bool with_flows)
{
	return {{"node", report.node},
		{"time", report.time},
		{"period_ms", report.period_ms},
		{"period", report.period},
		{"period_began", report.period_began},
		{"sent", side_json(report.sent, with_flows)},
		{"received", side_json(report.received, with_flows)}};
}

Result<MarkReport> marks_from_json(const ordered_json &json)
{
	MarkReport report;

	try {
		const ordered_json &marks = json.contains("marking") ? json.at("marking") : json;
		report.node = marks.at("node").get<std::string>();
		report.time = marks.at("time").get<std::int64_t>();
		report.period_ms = marks.at("period_ms").get<double>();
		report.period = marks.at("period").get<std::uint64_t>();
		report.period_began = marks.at("period_began").get<std::int64_t>();
		if (report.period_ms < 0 || report.period_ms > 1e6 ||
		    (report.period_ms > 0 && report.period_ms < 1))
			throw std::runtime_error("period_ms: out of range");
		side_from(marks.at("sent"), report.sent);
		side_from(marks.at("received"), report.received);
	} catch (const std::exception &error) {
		return fail(Exit::kFailed,
			    fmt::format("no report of alternate marking: {}", error.what()),
			    "save one with `anycast-xdp loss --json`");
	}
	return report;
}

Result<MarkReport> parse_marks(std::string_view text)
{
	const auto json = ordered_json::parse(text, nullptr, false);

	if (json.is_discarded())
		return fail(Exit::kFailed, "no JSON",
			    "save a report with `anycast-xdp loss --json`");
	return marks_from_json(json);
}

} // namespace anycast
