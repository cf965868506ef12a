// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/marks.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/endpoint.h"
#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

std::string end_text(const Address &address, std::uint16_t port)
{
	return port == 0 ? address.text() : Endpoint{address, port}.text();
}

std::string protocol_text(std::uint8_t protocol)
{
	return protocol == 6 ? " tcp" : protocol == 17 ? " udp" : "";
}

std::string flow_text(const MarkKey &key)
{
	return fmt::format("{} > {}{}", end_text(key.client.value_or(Address()), key.client_port),
			   end_text(key.vip, key.port), protocol_text(key.protocol));
}

std::string vip_text(const MarkLoss &loss)
{
	if (!loss.vip.empty())
		return loss.vip;
	return end_text(loss.key.vip, loss.key.port) + protocol_text(loss.key.protocol);
}

std::vector<std::string> cells_of(const MarkLoss &loss)
{
	const bool known = loss.lost.has_value();
	return {loss.key.edge.text(),
		vip_text(loss),
		loss.backend.empty() ? loss.key.backend.text() : loss.backend,
		known ? std::to_string(*loss.lost) : "-",
		known ? std::to_string(loss.of) : "",
		known && loss.of != 0 ? percent_text(static_cast<double>(*loss.lost) /
						     static_cast<double>(loss.of))
				      : "",
		known ? "exact/altmark" : loss.why};
}

std::vector<Column> columns()
{
	return {{"EDGE"},
		{"VIP"},
		{"BACKEND"},
		{"LOST", Align::kRight},
		{"OF", Align::kRight},
		{"RATE", Align::kRight},
		{"KIND"}};
}

} // namespace

ordered_json mark_figure_json(const MarkLoss &loss)
{
	const bool rate = loss.lost && loss.of != 0;
	return {{"value", loss.lost ? ordered_json(*loss.lost) : ordered_json(nullptr)},
		{"kind", loss.lost ? "exact" : "unsupported"},
		{"basis", "altmark"},
		{"of", loss.of},
		{"rate",
		 rate ? ordered_json(static_cast<double>(*loss.lost) / static_cast<double>(loss.of))
		      : ordered_json(nullptr)},
		{"why", loss.why.empty() ? ordered_json(nullptr) : ordered_json(loss.why)}};
}

ordered_json mark_loss_json(const MarkLoss &loss)
{
	ordered_json json;
	if (loss.key.client)
		json["flow"] = {{"source", loss.key.client->text()},
				{"source_port", loss.key.client_port},
				{"destination", loss.key.vip.text()},
				{"destination_port", loss.key.port},
				{"protocol", loss.key.protocol}};
	json["edge"] = loss.key.edge.text();
	json["vip"] = vip_text(loss);
	json["backend"] = loss.key.backend.text();
	if (!loss.backend.empty())
		json["backend_name"] = loss.backend;
	json["lb_backend_lost"] = mark_figure_json(loss);
	json["sent"] = loss.counts ? ordered_json(loss.sent) : ordered_json(nullptr);
	json["received"] = loss.counts ? ordered_json(loss.received) : ordered_json(nullptr);
	return json;
}

ordered_json mark_join_json(const MarkJoin &join, std::size_t limit)
{
	const std::size_t shown =
		limit == 0 ? join.flows.size() : std::min(limit, join.flows.size());
	ordered_json flows = ordered_json::array(), sums = ordered_json::array();
	for (std::size_t i = 0; i < shown; i++)
		flows.push_back(mark_loss_json(join.flows[i]));
	for (const MarkLoss &sum : join.sums)
		sums.push_back(mark_loss_json(sum));
	return {{"flows", std::move(flows)},
		{"total", join.flows.size()},
		{"services", std::move(sums)},
		{"notes", join.notes}};
}

std::string mark_join_text(const MarkJoin &join, std::size_t limit)
{
	std::string text;

	if (join.sums.empty() && join.flows.empty())
		text = "no edge's report has marked packets\n";
	if (!join.sums.empty()) {
		Table table(columns());
		for (const MarkLoss &sum : join.sums)
			table.row(cells_of(sum));
		text += table.text();
	}
	if (!join.flows.empty()) {
		std::vector<Column> all = columns();
		all.insert(all.begin(), {"FLOW"});
		Table table(all);
		const std::size_t shown =
			limit == 0 ? join.flows.size() : std::min(limit, join.flows.size());
		for (std::size_t i = 0; i < shown; i++) {
			std::vector<std::string> cells = cells_of(join.flows[i]);
			cells.insert(cells.begin(), flow_text(join.flows[i].key));
			table.row(std::move(cells));
		}
		text += (text.empty() ? "" : "\n") + table.text() +
			more_text(shown, join.flows.size());
	}
	for (const std::string &note : join.notes)
		text += "note: " + note + "\n";
	return text;
}

} // namespace anycast::render
